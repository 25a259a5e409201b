"""`medrl sft`: supervised fine-tuning on trajectories, on one device or on several processes, through transformers' Trainer.

Ids, mask and pictures come from the code that makes rollouts; loss, optimizer, order and rate are those of the cold start in
engine local, and the loss is the mean over the model's tokens of the whole batch, however many processes share it.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedType, FullyShardedDataParallelPlugin
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from medrl.dialogue.taught import FILE, taught_with
from medrl.dialogue.tokens import PromptBuilder
from medrl.learning.attempt import StopRequest, attempt, stop_on_signal
from medrl.learning.batches import batch_indices
from medrl.learning.cold_start import schedule_of
from medrl.learning.demonstrations import Demonstrated, imitated
from medrl.learning.model import Loaded, export_model, load_model, pick_device
from medrl.learning.parallel import start_deepspeed, training_arguments, world_size
from medrl.learning.policy import look_up
from medrl.learning.state import load_weights
from medrl.learning.tiny import save_tiny
from medrl.learning.update import adamw, learning_rate
from medrl.recipe import Optimizer, Recipe
from medrl.record.checkpoint import save_checkpoint
from medrl.record.files import write_json
from medrl.record.run import Run
from medrl.rollout.interaction import Interaction
from medrl.rollout.seeds import derive_seed
from medrl.rollout.types import Rollout

IGNORED = -100  # the label of a token that is not the model's own
FINISHED = "finished"  # marks a trainer checkpoint that is whole


@dataclass(frozen=True)
class SftPlan:
    """A recipe checked for `medrl sft`. `notes`: what was left out of the data, with reasons."""

    recipe: Recipe
    items: list[Demonstrated]
    builder: PromptBuilder
    interaction: Interaction
    data_sha256: str
    notes: list[str]
    longest: int  # tokens of the longest trajectory tried

    @property
    def taught(self) -> dict[str, str | None]:
        return taught_with(self.builder.style, self.interaction.tools, self.interaction.action_format)


def fine_tune(
    plan: SftPlan, run: Run | None, observe: Callable[[dict[str, Any]], None] = lambda entry: None
) -> dict[str, Any]:
    """Train, or go on from the newest whole checkpoint; returns summary.json. `run` is None in all processes but rank 0."""

    def steps(stop: StopRequest) -> Iterator[int]:
        yield _train(plan, run, observe, stop)

    if run is not None:
        return attempt(run, plan.recipe.sft.steps, "sft", steps)
    stop = StopRequest()
    with stop_on_signal(stop):
        _train(plan, None, observe, stop)
    return {}


def _train(plan: SftPlan, run: Run | None, observe: Callable[[dict[str, Any]], None], stop: StopRequest) -> int:
    recipe = plan.recipe
    device = pick_device(recipe.engine.device)
    folder = recipe.run_dir
    mixed = 0 < sum(not item.sample.images for item in plan.items) < len(plan.items)
    model = recipe.model
    with tempfile.TemporaryDirectory(prefix="medrl-") as temp:
        if model.path == "tiny":  # on disk before DeepSpeed is there, as every other model is
            place = folder / "base_model" if run is not None else Path(temp)
            model = replace(model, path=str(save_tiny(place, recipe.seed)))
        arguments = training_arguments(recipe, folder / "trainer", device, world_size(), mixed)
        start_deepspeed(recipe, device)
        loaded = load_model(model, recipe.engine, recipe.seed, folder / "base_model")
    if recipe.sft.parallel == "fsdp":
        loaded.policy.model.float()  # one precision in each shard: LoRA over a bfloat16 base has two
    journal = _Journal(run, observe, stop)
    trainer = _Trainer(
        model=loaded.policy.model,
        args=arguments,
        train_dataset=_Trajectories(plan),
        data_collator=_Collator(loaded),
        compute_loss_func=_Loss(loaded.policy.forbidden_ids),
        processing_class=loaded.processor,
        callbacks=[journal],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.schedule = schedule_of(recipe.sft)
    found = newest_checkpoint(folder / "trainer")
    if run is not None:
        run.cut_journal(int(found.rpartition("-")[2]) if found else 0)
    trainer.train(resume_from_checkpoint=found)
    done = trainer.state.global_step
    if done == recipe.sft.steps:
        _save(trainer, plan, run, done)
    return done


def newest_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint of the trainer, or None; one that was being written when the run was killed is none."""
    steps = [int(path.parent.name.split("-")[1]) for path in folder.glob(f"checkpoint-*/{FINISHED}")]
    return str(folder / f"checkpoint-{max(steps)}") if steps else None


class _Trajectories(Dataset):
    """Every demonstration of every step, in the order the steps take them."""

    def __init__(self, plan: SftPlan) -> None:
        self.plan = plan
        self.size = plan.recipe.sft.batch_size

    def __len__(self) -> int:
        return self.plan.recipe.sft.steps * self.size

    def __getitem__(self, index: int) -> Rollout:
        plan, (step, place) = self.plan, divmod(index, self.size)
        chosen = batch_indices(len(plan.items), step, self.size, derive_seed(plan.recipe.seed, "sft"))
        item = plan.items[chosen[place]]
        return imitated(plan.builder, [plan.builder.build(item.sample)], plan.interaction, [item])[0]


class _Collator:
    """Rollouts as the model's arguments, right-padded. Only positions that predict the model's own tokens get logits.

    `labels`: (rows, positions kept), IGNORED where the next token is not the model's own.
    """

    def __init__(self, loaded: Loaded) -> None:
        self.policy = loaded.policy
        core = loaded.policy.core
        self.rope_index, self.image_token = core.model.get_rope_index, core.config.image_token_id

    def __call__(self, rollouts: Sequence[Rollout]) -> dict[str, Any]:
        prompts = [rollout.whole_prompt for rollout in rollouts]
        rows = [[*prompt.token_ids, *rollout.token_ids] for prompt, rollout in zip(prompts, rollouts)]
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self.policy.pad_id, dtype=torch.long)
        attention, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
        for row, (whole, rollout) in enumerate(zip(rows, rollouts)):
            ids[row, : len(whole)] = torch.tensor(whole)
            attention[row, : len(whole)] = 1
            said = torch.tensor(rollout.mask, dtype=torch.bool)
            start = len(whole) - len(rollout.token_ids) - 1  # the token before predicts the first of the response
            labels[row, start : len(whole) - 1][said] = torch.tensor(rollout.token_ids)[said]
        kept = (labels != IGNORED).any(0).nonzero()[:, 0]
        seen = [prompt for prompt in prompts if prompt.pixel_values is not None and prompt.image_grid_thw is not None]
        grids = (
            torch.cat([prompt.image_grid_thw for prompt in seen if prompt.image_grid_thw is not None]) if seen else None
        )
        positions, _ = self.rope_index(
            ids, (ids == self.image_token).int(), image_grid_thw=grids, attention_mask=attention
        )
        batch = {
            "input_ids": ids, "attention_mask": attention, "position_ids": positions, "use_cache": False,
            "logits_to_keep": kept, "labels": labels[:, kept],
        }  # fmt: skip
        if seen:
            pixels = [prompt.pixel_values for prompt in seen if prompt.pixel_values is not None]
            batch |= {"pixel_values": torch.cat(pixels), "image_grid_thw": grids}
        return batch


class _Loss:
    """Sum over the own tokens here, over the number of own tokens in the whole batch: all processes, all micro-batches."""

    def __init__(self, forbidden_ids: Tensor) -> None:
        self.forbidden_ids = forbidden_ids

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        own = labels != IGNORED
        logits = outputs.logits[own].float().index_fill(-1, self.forbidden_ids.to(labels.device), float("-inf"))
        logprobs, _ = look_up(logits, labels[own], with_entropy=False)
        return -logprobs.sum() / (own.sum() if num_items_in_batch is None else num_items_in_batch)


class _Trainer(Trainer):
    """The Trainer with the cold start's optimizer and rate, and two of its faults mended."""

    schedule: Optimizer
    is_fsdp_enabled: bool
    optimizer: Any
    lr_scheduler: Any

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        if self.args.fsdp and not self.is_fsdp_enabled:
            # accelerate shards on GPUs and their like alone, and falls back to DDP without a word; torch shards on gloo too
            state = self.accelerator.state
            state.fsdp_plugin = FullyShardedDataParallelPlugin(**self.args.fsdp_plugin_args)
            state.distributed_type = DistributedType.FSDP
            self.is_fsdp_enabled = True

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:  # the Trainer takes the hub's names in the file for the module's, and skips what it does not find
            load_weights(self.model, Path(resume_from_checkpoint))

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = adamw((self.model if model is None else model).parameters(), self.schedule)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        if self.lr_scheduler is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer,
                lambda step: learning_rate(self.schedule, step, num_training_steps) / self.schedule.lr,
            )
        return self.lr_scheduler


class _Journal(TrainerCallback):
    """Each step's loss into the run's journal; a checkpoint counts once it is marked; SIGTERM ends after a saved step."""

    def __init__(self, run: Run | None, observe: Callable[[dict[str, Any]], None], stop: StopRequest) -> None:
        self.run, self.observe, self.stop = run, observe, stop
        self.started = time.perf_counter()

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        self.started = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        asked = torch.tensor([float(self.stop.reason is not None)], device=args.device)
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(asked)  # a signal finds the processes at different places
        if asked.item():
            control.should_save = control.should_training_stop = True

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **more: Any
    ) -> None:
        if self.run is None or "loss" not in (logs or {}):
            return
        entry = {
            "stage": "sft",
            "step": state.global_step,
            "sft/loss": float(logs["loss"]),
            "optimizer/lr": float(logs["learning_rate"]),
            "optimizer/grad_norm": float(logs.get("grad_norm", 0.0)),
            "time/step_s": time.perf_counter() - self.started,
        }
        self.run.log(entry)
        self.observe(entry)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # every process has written its part
        if state.is_world_process_zero:
            Path(args.output_dir, f"checkpoint-{state.global_step}", FINISHED).touch()


def _save(trainer: Trainer, plan: SftPlan, run: Run | None, step: int) -> None:
    """The whole model as `checkpoints/global_step_<step>/model`, LoRA merged into it; what it was taught with beside it."""
    whole = plan.recipe.run_dir / "trainer" / "whole"
    shutil.rmtree(whole, ignore_errors=True)
    if trainer.is_fsdp_enabled:
        weights = _gathered(trainer.model)
        if run is not None:
            trainer.model.save_pretrained(whole, state_dict=weights)
            trainer.processing_class.save_pretrained(whole)
    else:
        trainer.save_model(str(whole))  # under ZeRO-3 every process gives its shards
    if run is None:
        return
    (whole / "training_args.bin").unlink(missing_ok=True)  # a pickle, and of no use to a reader

    def write(folder: Path) -> None:
        if (whole / "adapter_config.json").is_file():
            shutil.copytree(whole, folder / "adapter")
            export_model(whole, folder / "model")
        else:
            shutil.copytree(whole, folder / "model")
        write_json(folder / "model" / FILE, plan.taught)

    save_checkpoint(run.checkpoints, step, write, plan.recipe.checkpoint.keep)
    shutil.rmtree(whole)


def _gathered(model: Any) -> dict[str, Tensor]:
    """The weights of an FSDP2 model whole, on the CPU, those that are one (tied embeddings) still one."""
    whole: dict[int, Tensor] = {}
    named: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        if not isinstance(value, DTensor):
            named[name] = value.cpu()
            continue
        place = value.to_local().data_ptr()
        gathered = value.full_tensor().cpu()  # by all processes, for every name
        named[name] = whole.setdefault(place, gathered) if place else gathered  # 0: no row of it lies here
    return named
