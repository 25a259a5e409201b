"""Engine `verl` over recorded rollouts: Ray, TransferQueue, FSDP workers and trainer are the real ones, vLLM is left out.

Run as `python tests/cluster/recorded.py FOLDER`, a process of its own, since verl reads its platform from the environment
at import. Engine `local` trains first, in FOLDER/local; what it sampled is then given to the cluster, in FOLDER/cluster.
"""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch
from cluster_runs import two_nodes
from makers import recipe, tiny

from medrl.cluster.driver import prepare_environment, ray_cluster
from medrl.cluster.settings import Machine, compose, overrides
from medrl.learning import train as local
from medrl.learning.attempt import StopRequest
from medrl.learning.cold_start import cold_start
from medrl.learning.model import save_model
from medrl.preflight import check
from medrl.recipe import Recipe, Sft
from medrl.record.run import Run

REWARD = '''
"""Rewards that differ within nearly every group, and are missing where asked for: a third of the replies has none."""


def compute_score(data_source, solution_str, ground_truth, extra_info=None, gives_up=False):
    if gives_up and len(solution_str) % 3 == 1 and "A trial reply" not in solution_str:
        raise ValueError("this reply has no score")
    return len(solution_str) % 7 / 7
'''
AMONG = '''
"""A reward of a group: the share of its replies that are shorter."""


def compute_group_scores(group):
    lengths = [len(one["solution_str"]) for one in group]
    return [sum(other < length for other in lengths) / len(group) for length in lengths]
'''
# everything that an update depends on differs from its default; both schedules and both bounds are met within the steps
WHOLE = {
    "algorithm": {"advantage": "grpo", "kl_coef": 0.1},
    "training": {"steps": 4, "minibatches": 1, "micro_batch_size": 8},
    "optimizer": {
        "lr": 1e-3, "weight_decay": 0.1, "beta1": 0.8, "beta2": 0.95, "max_grad_norm": 0.2, "warmup_steps": 2,
        "schedule": "linear",
    },
    "curriculum": {"replay_share": 0.25, "replay_window": 2},  # which samples come next depends on what was scored
}  # fmt: skip
HALVES = {
    "algorithm": {"advantage": "dr_grpo", "mask_over_turns": True, "kl_coef": 0.1, "clip_low": 0.02, "clip_high": 0.05},
    "training": {"steps": 2, "minibatches": 2, "micro_batch_size": 4},
    "optimizer": {**WHOLE["optimizer"], "warmup_steps": 0, "schedule": "cosine", "max_grad_norm": 10.0},
}
# the tiny model is about as unsure of every question, to a tenth of a nat; in deviations of its own (`scale: std`) the
# difference is larger, and so are those of 1e-7 between two programs
SHAPED = {**WHOLE, "algorithm": {"advantage": "uadt", "kwargs": {"lambda": 0.9, "scale": 0.5}, "kl_coef": 0.1}}
UNSHAPED = {"advantage": "uadt", "kwargs": {"lambda": 0.0}}  # laid over WHOLE
SEQUENCE = {
    **HALVES,
    "algorithm": {
        **HALVES["algorithm"],
        "advantage": "grpo",
        "ratio": "sequence",
        "clip_low": 0.003,
        "clip_high": 0.006,
    },
}


def case(folder: Path, room: str, name: str, changes: dict, gives_up: bool, **more: dict) -> Recipe:
    """The recipe of one run; `more` are sections laid over `changes`."""
    sections = {key: {**changes.get(key, {}), **more.get(key, {})} for key in {*changes, *more}}
    sections["model"] = {"path": str(folder / "start"), **sections.get("model", {})}
    sections["engine"] = {
        "name": {"local": "local", "cluster": "verl"}[room],
        "start_timeout_s": 300,
        **sections.get("engine", {}),
    }
    own_rewards = sections.pop("rewards", {})
    return recipe(
        folder / room,
        name,
        **sections,
        sft={"steps": 0},
        sampling={"temperature": 0.8},
        scoring={"max_missing": 0.9},
        rewards={
            "length": {"use": str(folder / "length.py"), "kwargs": {"gives_up": gives_up}},
            "among": {"use": str(folder / "among.py"), "weight": 0.3},
            "format": {"use": "rewards/format.py", "weight": 0.1},
            **own_rewards,
        },
        checkpoint={"every": 1, "keep": 9},
        val={"every": 9},
        seed=3,
    )


def make_start(folder: Path) -> None:
    """The tiny model after a short cold start, so that replies end at different lengths, and the reward files."""
    (folder / "length.py").write_text(REWARD)
    (folder / "among.py").write_text(AMONG)
    plan = check(recipe(folder, "start", model={"path": "tiny"}))
    loaded = tiny()
    samples = plan.demonstrations.samples
    cold_start(loaded.policy, plan.builder, samples, Sft(steps=40, batch_size=8, lr=3e-3), 0, lambda entry: None)
    save_model(loaded.policy, loaded.processor, folder / "start")


# some minibatches have nothing to train on, and a mean over tokens shows which tokens are counted
FILTERED = {
    "algorithm": {"filter_groups": True, "max_refills": 1, "loss_aggregation": "token-mean", "kl_coef": 0.1},
    "rewards": {"answer": {"use": "rewards/count.py"}},
    "training": {"steps": 3, "minibatches": 2, "micro_batch_size": 4},
    "optimizer": {**WHOLE["optimizer"], "warmup_steps": 0, "max_grad_norm": 10.0},
}


def record(given: Recipe) -> dict:
    """Run engine `local`; all that it sampled by (0-based step, sample, attempt). Advantages in the update are kept in
    advantages.json."""
    trained, asked = [], {}

    def update(policy, optimizer, rollouts, *settings):
        trained.append([replace(rollout) for rollout in rollouts])
        return real_update(policy, optimizer, rollouts, *settings)

    def give_advantages(recipe, rollouts, step, *more):
        asked.update(
            {(step, one.prompt.sample.id, one.attempt): replace(one, filtered=False, entropy=None) for one in rollouts}
        )
        return real_advantages(recipe, rollouts, step, *more)

    real_update, local.update = local.update, update
    real_advantages, local.give_advantages = local.give_advantages, give_advantages
    run = Run.open(given)
    try:
        local.train(check(given), run)
    finally:
        local.update, local.give_advantages = real_update, real_advantages
    given_advantages = {
        f"{step}/{one.prompt.sample.id}/{one.attempt}": one.advantage
        for step, rollouts in enumerate(trained) for one in rollouts
    }  # fmt: skip
    (run.folder / "advantages.json").write_text(json.dumps(given_advantages))
    return asked


def follow(given: Recipe, recording: dict, resumed_from: Path | None = None) -> None:
    """Run engine `verl` on recorded rollouts; the Ray cluster is there."""
    import transfer_queue as tq
    from omegaconf import OmegaConf, open_dict

    from medrl.cluster.episodes import Built, EpisodeWorker
    from medrl.cluster.start import prepare
    from medrl.cluster.trainer import ClusterTrainer
    from medrl.cluster.watch import watch
    from medrl.scoring.rewards import score_each

    class RecordedWorker(EpisodeWorker):
        """medrl's and verl's own way from a batch of prompts to TransferQueue, with the episode looked up and scored anew."""

        def __init__(self, config, processor) -> None:
            self.config, self.processor, self.background_tasks = config, processor, set()
            self._finished, self._faults, self._rewards, self._pool = {}, [], plan.rewards, None

        async def _rollout(self, sample, uid, attempt, trajectory):
            recorded = recording[trajectory["step"] - 1, sample.id, attempt]
            rollout = replace(recorded, scores={}, missing={}, reward=None)
            await score_each([rollout], self._rewards)
            await asyncio.sleep(len(rollout.token_ids) / 100)  # short replies are finished first, as on a server
            return rollout, built.setdefault(uid, Built(rollout.prompt, []))

    built: dict[str, Built] = {}

    class RecordedManager:
        """In place of the workers' processes: the same worker, in this one."""

        def __init__(self, worker) -> None:
            self.worker = worker

        def generate_sequences(self, batch) -> None:
            async def everything() -> None:
                await self.worker.generate_sequences(batch)
                await asyncio.gather(*self.worker.background_tasks)

            asyncio.run(everything())

        def faults(self) -> list[str]:
            return asyncio.run(self.worker.faults())

    class RecordedTrainer(ClusterTrainer):
        with_servers = False

        def on_init_end(self) -> None:  # no servers that weights could go to
            self.given_advantages = {}
            self.agent_loop_manager = RecordedManager(RecordedWorker(self.config, self.processor))

        def on_step_end(self) -> None: ...

        def _held_out(self, step):
            return {}

        def _compute_advantage(self, batch, metrics):
            batch = super()._compute_advantage(batch, metrics)
            fields = ["advantages", "response_mask"]
            data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
            for key, values, mask in zip(batch.keys, data["advantages"].unbind(), data["response_mask"].unbind()):
                uid, attempt, _ = key.split("_")
                place = f"{self.global_steps - 1}/{self.samples[uid].id}/{attempt}"
                self.given_advantages[place] = {"advantages": values.tolist(), "mask": mask.tolist()}
            return batch

    # checked as a local run: what preflight asks of Ray it asks before it is started
    plan = replace(check(replace(given, engine=replace(given.engine, name="local", nodes=1))), recipe=given)
    run = Run.open(given)
    if resumed_from is not None:
        shutil.copytree(resumed_from, run.checkpoints / resumed_from.name)
    start = prepare(plan, run)
    config = compose(overrides(given, Machine("cpu", 2), start.model_path))
    with open_dict(config):
        config.transfer_queue.enable = True
        config.medrl = {}
    OmegaConf.resolve(config)
    with watch(print, given.engine.start_timeout_s) as watching:
        trainer = RecordedTrainer(config, plan, run, run.log, start, watching, StopRequest())
        with closing(_Released(trainer)):
            trainer.init()
            print(given.name, "steps done:", list(trainer.fit()), flush=True)
    (run.folder / "advantages.json").write_text(json.dumps(trainer.given_advantages))


class _Released:
    """Gives a trainer's workers and their place back, so that the next one finds the cluster free."""

    def __init__(self, trainer) -> None:
        self.trainer = trainer

    def close(self) -> None:
        import ray
        from ray.util import remove_placement_group

        for worker in self.trainer.actor_rollout_wg.workers:
            ray.kill(worker)
        for pool in self.trainer.resource_pool_manager.resource_pool_dict.values():
            for group in pool.pgs:
                remove_placement_group(group)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    make_start(folder)
    whole = record(case(folder, "local", "whole", WHOLE, gives_up=True))
    halves = record(case(folder, "local", "halves", HALVES, gives_up=False))
    shaped = record(case(folder, "local", "shaped", SHAPED, gives_up=True))
    sequence = record(case(folder, "local", "sequence", SEQUENCE, gives_up=False))
    filtered = record(case(folder, "local", "filtered", FILTERED, gives_up=False))
    with tempfile.TemporaryDirectory(prefix="mp-", dir="/tmp") as short:  # a unix socket's path is short
        temp = Path(short)
        given = case(folder, "cluster", "whole", WHOLE, gives_up=True)
        environment = prepare_environment(given, Machine("cpu", os.cpu_count() or 1), temp)
        with two_nodes(temp), ray_cluster(given, Machine("cpu", 2), environment, temp, folder / "logs"):
            follow(given, whole)
            follow(case(folder, "cluster", "unshaped", WHOLE, gives_up=True, algorithm=UNSHAPED), whole)
            unbroken = case(folder, "cluster", "shaped", SHAPED, gives_up=True)
            follow(unbroken, shaped)
            resumed = case(folder, "cluster", "resumed", SHAPED, gives_up=True)
            follow(resumed, shaped, unbroken.run_dir / "checkpoints" / "global_step_2")
            follow(case(folder, "cluster", "halves", HALVES, gives_up=False), halves)
            follow(case(folder, "cluster", "sequence", SEQUENCE, gives_up=False), sequence)
            one_step = {"training": {"steps": 1}, "model": {"lora_rank": 4, "lora_alpha": 8}}
            follow(case(folder, "cluster", "adapter", WHOLE, gives_up=True, **one_step), whole)
            two = {"engine": {"nodes": 2, "gpus_per_node": 1}}
            follow(case(folder, "cluster", "two", WHOLE, gives_up=True, **two), whole)
            follow(case(folder, "cluster", "filtered", FILTERED, gives_up=False), filtered)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
