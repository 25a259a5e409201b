"""verl's synchronous trainer with medrl's samples, scores, advantages, journal and checkpoints around it.

One GRPO step is verl's own `step`: episodes through the workers of episodes.py, old and reference log-probabilities and
the update on the FSDP workers, the new weights to the vLLM servers. `fit` is the same loop as engine `local`'s `_steps`.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transfer_queue as tq
from ray.exceptions import RayError
from tensordict import TensorDict
from verl.checkpoint_engine import CheckpointEngineManager
from verl.experimental.reward_loop import RewardLoopManager
from verl.single_controller.ray import RayClassWithInitArgs, RayWorkerGroup, create_colocated_worker_cls
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils import tensordict_utils as tu
from verl.utils.config import omega_conf_to_dataclass
from verl.utils.debug import marked_timer
from verl.utils.skip import SkipManager
from verl.workers.utils.padding import response_to_nested

from medrl.cluster.episodes import BAD_SAMPLE, EpisodeManager
from medrl.cluster.metrics import journal_metrics, mean_entropies, policy_metrics
from medrl.cluster.order import training_order
from medrl.cluster.parcel import unpacked
from medrl.cluster.refill import StepBuffer
from medrl.cluster.servers import Servers
from medrl.cluster.start import Start
from medrl.cluster.watch import GO_ON, Watch
from medrl.data.sample import Sample
from medrl.errors import MedrlError
from medrl.evaluation.slices import Slicing
from medrl.evaluation.validate import best_constant, summarise
from medrl.learning.attempt import StopRequest
from medrl.learning.course import Course
from medrl.learning.filtering import Gathered
from medrl.learning.plan import Plan
from medrl.learning.state import read_trainer
from medrl.learning.step import SHOWN_PROMPTS, SHOWN_QUESTIONS, give_advantages, keep_validation
from medrl.learning.update import learning_rate
from medrl.record.checkpoint import save_checkpoint
from medrl.record.files import write_json
from medrl.record.run import Run
from medrl.rollout.types import Rollout
from medrl.scoring.workers.service import Service

POLL_S = 0.05


class ClusterTrainer(PPOTrainerSync):
    """Holds the worker groups, the servers and the run."""

    with_servers = True  # without, rollouts must come from elsewhere: recorded ones, in the parity tests

    def __init__(
        self,
        config: Any,
        plan: Plan,
        run: Run,
        log: Callable[[dict[str, Any]], None],
        start: Start,
        watching: Watch,
        stop: StopRequest,
        scoring: Service | None = None,
    ) -> None:
        self.scoring = scoring
        self.plan, self.run, self.log, self.start, self.watching, self.stop = plan, run, log, start, watching, stop
        self.recipe = plan.recipe
        self.course = Course(self.recipe, plan.train.samples, plan.rates)
        self.samples: dict[str, Sample] = {}  # of the prompts that are out
        self.held: dict[str, Rollout] = {}  # of this step, by verl's key
        self.gathered = Gathered([])
        self.rollouts: list[Rollout] = []
        self.curr_step_profile = False
        self.global_steps = 0
        self.timing_raw: dict[str, float] = {}
        super().__init__(config)

    def fit(self) -> Iterator[int]:
        """Yield the number of steps done: first after loading or the first validation, then after every step."""
        SkipManager.init(self.config)
        recipe, run = self.recipe, self.run
        first = saved = self.global_steps
        if self.start.resumed is None:
            self.watching.waiting_for("the first validation", starting=False)
            self.log({"stage": "grpo", "step": 0, **self._held_out(0)})
            run.keep_images(self.plan.val.samples[:SHOWN_QUESTIONS], self.plan.builder.root)
            self._save(0)
        yield first

        for step in range(first, recipe.training.steps):
            self.watching.waiting_for(f"step {step + 1}", starting=False)
            if self.stop.reason:
                if saved < step:
                    self._save(step)
                return
            started = time.perf_counter()
            self.global_steps, self.timing_raw = step + 1, {}
            metrics: dict[str, Any] = {}
            with marked_timer("step", self.timing_raw):
                batch = self._one_step(metrics)
                self.on_step_end()
            metrics["optimizer/lr"] = learning_rate(recipe.optimizer, step, recipe.training.steps)
            self._compute_metrics(batch, metrics, self.timing_raw, global_steps=step + 1, epoch=0)
            tq.kv_clear(keys=batch.keys, partition_id=batch.partition_id)

            done = step + 1
            last = done == recipe.training.steps
            validating = time.perf_counter()
            if done % recipe.val.every == 0 or last:
                metrics |= self._held_out(done)
                shown = list(self.samples.values())[:SHOWN_PROMPTS]
                run.keep_images(shown, self.plan.builder.root)
            ended = time.perf_counter()
            metrics |= {"time/validate_s": ended - validating, "time/step_s": ended - started}
            run.write_rollouts(done, self.rollouts, self.plan.builder.root)
            self.log({"stage": "grpo", "step": done, **journal_metrics(metrics)})
            if done % recipe.checkpoint.every == 0 or last:
                self._save(done)
                saved = done
            yield done

    # ---- where verl's trainer asks its subclass

    def _setup(self) -> None:
        """verl's set-up for the parts medrl uses, with all that can start at once started at once: most of it is imports."""
        self._init_tokenizer()
        self._init_dataloader()
        self._init_dump_executor()
        self._init_resource_pool_mgr()
        wait = self.watching.waiting_for
        wait(f"Ray to place {self.recipe.engine.nodes} x {self.recipe.engine.gpus_per_node} FSDP workers")
        self.resource_pool_manager.create_resource_pool()
        role = next(iter(self.role_worker_mapping))
        pool = self.resource_pool_manager.get_resource_pool(role)
        self.ref_in_actor = self.recipe.model.lora_rank > 0
        with ThreadPoolExecutor() as beside:
            queue = beside.submit(tq.init, self.config.transfer_queue)
            self.actor_rollout_wg = self._place_workers(role, pool)
            self.ref_policy_wg = self.actor_rollout_wg
            servers = None
            if self.with_servers:
                servers = beside.submit(
                    Servers.create, self.config, worker_group=self.actor_rollout_wg, rollout_resource_pool=pool
                )
            wait("verl's transfer queue")
            queue.result()
            self.agent_loop_manager: Any = EpisodeManager.create(self.config, None, None, []) if servers else None
            wait("the cold start", starting=False)
            self.start.finish(self.log)
            val_prompts = [self.plan.builder.build(sample) for sample in self.plan.val.samples]
            self.constant = best_constant(val_prompts, self.plan.builder, self.plan.rewards, pool=self.scoring)
            wait("the FSDP workers to load the model")
            self.actor_rollout_wg.init_model()
            wait("the vLLM servers")
            self.llm_server_manager = (
                servers.result() if servers else Servers.create_empty(self.config, self.actor_rollout_wg)
            )
        self.reward_loop_manager = RewardLoopManager(config=self.config, rm_resource_pool=None)
        self.teacher_model_manager = self.distillation_config = None
        replicas = self.llm_server_manager.get_replicas()
        settings = omega_conf_to_dataclass(self.config.actor_rollout_ref.rollout.checkpoint_engine)
        self.checkpoint_manager = CheckpointEngineManager(settings, self.actor_rollout_wg, replicas)
        self.checkpoint_manager.sleep_replicas()
        self._load_checkpoint()
        if self.agent_loop_manager:
            wait("the episode workers")
            self.agent_loop_manager.connect(self.get_llm_client())
        self.watching.servers = [server for replica in replicas for server in replica.servers]
        wait("the first weights to reach the servers")

    def _place_workers(self, role: Any, pool: Any) -> Any:
        """One worker process per GPU that holds actor, reference and the link to its vLLM server."""
        settings = RayClassWithInitArgs(
            cls=self.role_worker_mapping[role],
            config=self.config.actor_rollout_ref,
            distillation_config=self.config.get("distillation"),
            role=str(role),
        )
        group = RayWorkerGroup(
            resource_pool=pool,
            ray_cls_with_init=create_colocated_worker_cls({str(role): settings}),
            device_name=self.config.trainer.device,
        )
        return group.spawn(prefix_set=[str(role)])[str(role)]

    def _build_replay_buffer(self) -> StepBuffer:
        buffer = super()._build_replay_buffer()
        buffer.poll_interval = POLL_S  # verl looks every 2 s
        return StepBuffer(buffer, self)

    def _init_dataloader(self) -> None:
        steps = self.recipe.training.steps
        self.total_training_steps = steps
        self.config.actor_rollout_ref.actor.optim.total_training_steps = steps

    def prepare_step(self) -> dict[str, Any]:
        """Nothing yet: the step's samples are asked when verl wants their rollouts, in refill.py."""
        return {}

    def _balance_batch(self, batch: Any, metrics: dict[str, Any], *arguments: Any, **named: Any) -> Any:
        """verl's own padding, then the order of order.py."""
        batch = super()._balance_batch(batch, metrics, *arguments, **named)  # pads, and asks for the number of workers
        lengths = [tag["seq_len"] for tag in batch.tags]
        size = self.config.actor_rollout_ref.actor.ppo_mini_batch_size * self.recipe.algorithm.group_size
        workers = max(self.actor_rollout_wg._dispatch_info["actor"]) + 1
        batch.reorder(training_order(batch.keys, lengths, self.samples, size, workers))
        return batch

    def _compute_advantage(self, batch: Any, metrics: dict[str, Any]) -> Any:
        """medrl's advantages and metrics; a rollout without an advantage is masked out of the loss."""
        fields = ["response_mask", "old_log_probs", "entropy", "rollout_log_probs"]
        if self.use_reference_policy:
            fields.append("ref_log_prob")
        data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
        mask = data["response_mask"]
        # verl pads a batch that does not divide with copies; they carry no rollout and get advantage 0
        rollouts = [self.held.get(key) for key in batch.keys]
        self.rollouts = self.gathered.rollouts
        step = self.global_steps - 1
        entropies = mean_entropies(data["entropy"].to_padded_tensor(0.0), mask.to_padded_tensor(0.0))
        for rollout, entropy in zip(rollouts, entropies):
            if rollout is not None:
                rollout.entropy = entropy
        metrics |= {
            "data/lost_samples": self._lost(),
            **give_advantages(self.recipe, self.rollouts, step, self.plan.estimator),
            **self.gathered.metrics,
        }
        metrics |= self.course.observe(step, self.rollouts)
        advantages = torch.tensor([(one.advantage or 0.0) if one is not None else 0.0 for one in rollouts])
        trained = torch.tensor([one is not None and one.advantage is not None for one in rollouts])
        padded = {name: data[name].to_padded_tensor(0.0) for name in fields}
        metrics |= policy_metrics(padded, trained)
        spread = advantages[:, None] * padded["response_mask"]
        output = {name: response_to_nested(spread, mask) for name in ("advantages", "returns")}
        if not trained.all():
            masked = response_to_nested(padded["response_mask"] * trained[:, None], mask)
            output |= {"response_mask": masked, "loss_mask": masked}  # the latter is what a mean over tokens is over
        return tq.kv_batch_put(
            keys=batch.keys, partition_id=batch.partition_id, fields=TensorDict(output, batch_size=len(batch))
        )

    def _load_checkpoint(self) -> None:
        """The checkpoint the run resumes from, if there is one."""
        self.global_steps = 0
        if (found := self.start.resumed) is not None:
            self.actor_rollout_wg.load_checkpoint(local_path=str(found.resolve()))
            kept = read_trainer(found)
            self.global_steps = int(kept["step"])
            self.plan.estimator.state, self.course.state = kept.get("advantage", {}), kept.get("course", {})

    # ---- our own

    def _one_step(self, metrics: dict[str, Any]) -> Any:
        """verl's `step`; where it ends for want of rollouts, what the episodes met is the reason."""
        try:
            return self.step(metrics, self.timing_raw)
        except RuntimeError as error:
            if isinstance(error, RayError) or not self.agent_loop_manager:
                raise
            raise MedrlError(_why(f"step {self.global_steps}: {error}", self.agent_loop_manager.faults())) from error

    def _held_out(self, step: int) -> dict[str, float]:
        """Validate and keep the result in eval/; returns it as `val/…` metrics."""
        attempts = self.recipe.val.attempts
        train_samples = self.samples
        batch = self.batch_of(self.plan.val.samples)
        tu.assign_non_tensor_data(batch, "validate", True)
        tu.assign_non_tensor_data(batch, "__rollout_n__", attempts + 1)  # the last one is greedy
        keys = list(batch["uid"])
        self.samples = dict(zip(keys, self.plan.val.samples))
        tags = [{"is_prompt": True, "status": "pending", "global_steps": step} for _ in keys]
        tq.kv_batch_put(keys=keys, partition_id="val", tags=tags)
        self.agent_loop_manager.generate_sequences(batch)
        found, _ = self.replay_buffer.sample(global_steps=step, partition_id="val", batch_size=len(keys))
        if not found.keys:
            raise MedrlError(_why("every held-out episode failed", self.agent_loop_manager.faults()))
        data = tq.kv_batch_get(keys=found.keys, partition_id="val", select_fields=["extra_fields"])
        by_key = dict(zip(found.keys, self.unpack(found.keys, data["extra_fields"])))
        tq.kv_clear(keys=found.keys, partition_id="val")
        self.samples = train_samples
        if missing := [key for key in keys for n in range(attempts + 1) if f"{key}_{n}_0" not in by_key]:
            raise MedrlError(_why(f"{len(missing)} held-out episodes failed", self.agent_loop_manager.faults()))
        sampled = [by_key[f"{key}_{attempt}_0"] for key in keys for attempt in range(attempts)]
        greedy = [by_key[f"{key}_{attempts}_0"] for key in keys]
        summary = summarise(sampled, greedy, attempts, self.plan.rewards, self.scoring, Slicing.of(self.recipe))
        return keep_validation(self.run, step, summary, sampled, self.constant)

    def batch_of(self, samples: Sequence[Sample]) -> TensorDict:
        """Samples as verl's batch; each gets an id of its own."""
        columns: dict[str, Any] = {
            "uid": np.array([uuid.uuid4().hex for _ in samples], dtype=object),
            "sample": np.empty(len(samples), dtype=object),
            "index": np.arange(len(samples)),
        }
        columns["sample"][:] = samples
        batch = tu.get_tensordict(columns)
        tu.assign_non_tensor_data(batch, "agent_name", "medrl")
        tu.assign_non_tensor_data(batch, "global_steps", self.global_steps)
        return batch

    def unpack(self, keys: list[str], extras: Iterable[Any]) -> list[Rollout | None]:
        """Rollouts of `samples` in the order of the keys, their samples put back, one Prompt object per group."""
        prompts: dict[str, Any] = {}
        found: list[Rollout | None] = []
        for key, extra in zip(keys, extras):
            extra = getattr(extra, "data", extra)  # tensordict wraps what is no tensor, or not
            parcel = extra.get("rollout") if isinstance(extra, dict) else None
            group = key.rsplit("_", 2)[0]
            if parcel is None or group not in self.samples:
                found.append(None)
                continue
            rollout = unpacked(parcel)
            prompt = prompts.setdefault(group, replace(rollout.prompt, sample=self.samples[group]))
            found.append(replace(rollout, prompt=prompt))
        return found

    def _lost(self) -> int:
        """Samples of this step that no prompt could be built of. Any other fault in an episode ends the run."""
        made = {id(one.prompt.sample) for one in self.rollouts}
        lost = [sample for sample in self.samples.values() if id(sample) not in made]
        absent = len(self.samples) * self.recipe.algorithm.group_size - len(self.rollouts)
        if not absent:
            return 0
        faults = self.agent_loop_manager.faults()
        unbuilt = absent == len(lost) * self.recipe.algorithm.group_size and all(
            BAD_SAMPLE in fault for fault in faults
        )
        if not faults or not unbuilt or len(lost) == len(self.samples):
            raise MedrlError(_why(f"step {self.global_steps}: {absent} episodes failed", faults))
        return len(lost)

    def _save(self, step: int) -> None:
        def write(folder: Path) -> None:
            self.actor_rollout_wg.save_checkpoint(str(folder.resolve()))
            remembered = {"advantage": self.plan.estimator.state, "course": self.course.state}
            write_json(folder / "trainer.json", {"step": step, **remembered})

        save_checkpoint(self.run.checkpoints, step, write, self.recipe.checkpoint.keep)


def _why(what: str, faults: list[str]) -> str:
    """What went wrong with the first reasons that episodes gave, and how to go on."""
    dead = "vLLM's engine process died. " if any("EngineDead" in fault for fault in faults) else ""
    listed = "\n".join(f"  {fault}" for fault in faults[:3]) or "  no worker gave a reason"
    return f"{dead}{what}. The first reasons:\n{listed}\n{GO_ON}"
