"""What transformers' Trainer is told so that one, or several, processes take the same optimizer steps.

Batches, their order and the loss do not depend on the number of processes: a step sees sft.batch_size demonstrations, and
its loss is the mean over their model tokens, counted over all processes.
"""

import importlib.util
import os
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from medrl.errors import MedrlError
from medrl.learning.model import pick_device
from medrl.recipe import Recipe

MAX_GRAD_NORM = 1.0
SHARDED = ("fsdp", "zero2", "zero3")


def world_size() -> int:
    """Processes that train together; 1 outside torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def parallel_faults(recipe: Recipe, processes: int, without_pictures: int, samples: int) -> list[str]:
    """What does not fit together in a recipe run by so many processes."""
    sft, problems = recipe.sft, []
    together = sft.micro_batch_size * processes
    if sft.batch_size % together and sft.batch_size > together:
        problems.append(
            f"sft.batch_size={sft.batch_size} is not divided by {processes} processes x sft.micro_batch_size="
            f"{sft.micro_batch_size}. Choose a multiple of {together}."
        )
    elif sft.batch_size % processes:
        problems.append(f"sft.batch_size={sft.batch_size} is not divided by {processes} processes.")
    if sft.parallel == "none" and processes > 1:
        problems.append(
            f"sft.parallel=none, but {processes} processes were started. Set sft.parallel to ddp, fsdp, zero2 or zero3."
        )
    if sft.parallel.startswith("zero") and importlib.util.find_spec("deepspeed") is None:
        problems.append(
            f"sft.parallel={sft.parallel}: DeepSpeed is not installed. Install it with pip install 'medrl[deepspeed]', or use "
            "sft.parallel=fsdp."
        )
    if sft.parallel in SHARDED and 0 < without_pictures < samples:
        # a process whose batch has no picture never asks for the vision tower's shards, and the others wait for ever
        problems.append(
            f"sft.parallel={sft.parallel}: {without_pictures} of {samples} demonstrations have no picture, and processes would "
            "wait for each other. Use sft.parallel=ddp, or data with pictures only."
        )
    return problems


def training_arguments(recipe: Recipe, folder: Path, device: str, processes: int, mixed: bool) -> TrainingArguments:
    """The Trainer's arguments. `mixed`: some demonstrations have no picture, so some weights have no gradient in a step."""
    sft = recipe.sft
    bfloat16 = recipe.model.dtype == "bfloat16" or (device == "cuda" and recipe.model.dtype == "auto")
    micro = min(sft.micro_batch_size, sft.batch_size // processes)
    made = TrainingArguments(
        output_dir=str(folder),
        max_steps=sft.steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=sft.batch_size // (micro * processes),
        average_tokens_across_devices=True,
        train_sampling_strategy="sequential",  # the data set is in the order of the steps already
        learning_rate=sft.lr,
        max_grad_norm=MAX_GRAD_NORM,
        logging_steps=1,
        logging_nan_inf_filter=False,  # a loss that is no number must be seen
        save_strategy="steps",
        save_steps=recipe.checkpoint.every,
        save_total_limit=recipe.checkpoint.keep,
        seed=recipe.seed,
        bf16=bfloat16,
        use_cpu=device == "cpu",
        ddp_backend="gloo" if device == "cpu" and processes > 1 else None,
        ddp_find_unused_parameters=mixed,
        dataloader_pin_memory=device == "cuda",
        remove_unused_columns=False,
        label_names=["labels"],
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        log_level_replica="error",
        fsdp="full_shard auto_wrap" if sft.parallel == "fsdp" else "",
        fsdp_config=_fsdp(recipe) if sft.parallel == "fsdp" else None,
        deepspeed=_deepspeed(recipe, bfloat16, micro) if sft.parallel.startswith("zero") else None,
    )
    if sft.parallel == "none":
        made._n_gpu = min(made.n_gpu, 1)  # else a second GPU in the machine would make it torch's DataParallel
    return made


def prepare_environment(recipe: Recipe) -> None:
    """Before deepspeed is imported by anything: on a CPU it must not look for a GPU."""
    if recipe.sft.parallel.startswith("zero") and pick_device(recipe.engine.device) == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    if recipe.engine.threads:
        torch.set_num_threads(recipe.engine.threads)


def start_deepspeed(recipe: Recipe, device: str) -> None:
    """Join DeepSpeed's processes before a model is loaded: ZeRO-3 shares out its weights while they are read."""
    if not recipe.sft.parallel.startswith("zero"):
        return
    import deepspeed

    if device == "cpu":
        # its own all-reduce over shared memory would be compiled first, for minutes; gloo has one
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend="gloo" if device == "cpu" else "nccl", verbose=False)


def launch_command(recipe: Recipe, arguments: list[str], python: str) -> list[str]:
    """How several processes are started on this machine; MedrlError where more machines than this one are asked for."""
    processes = recipe.engine.gpus_per_node
    if recipe.engine.nodes > 1:
        raise MedrlError(
            f"engine.nodes={recipe.engine.nodes}: start one torchrun on each node, such as torchrun --nnodes {recipe.engine.nodes} "
            f"--nproc-per-node {processes} --rdzv-backend c10d --rdzv-endpoint FIRST_NODE:29500 -m medrl {' '.join(arguments)}"
        )
    launcher = [python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [*launcher, "-m", "medrl", *arguments]


def _fsdp(recipe: Recipe) -> dict[str, Any]:
    """FSDP2: weights stay whole tensors with their names and shapes, so the optimizer's groups are those of one process."""
    return {
        "version": 2,
        "state_dict_type": "SHARDED_STATE_DICT",
        "activation_checkpointing": False,  # model.gradient_checkpointing has been applied to the model itself
        "cpu_ram_efficient_loading": False,
    }


def _deepspeed(recipe: Recipe, bfloat16: bool, micro: int) -> dict[str, Any]:
    stage = int(recipe.sft.parallel[-1])
    offload = {"device": "cpu", "pin_memory": True} if recipe.engine.offload else {"device": "none"}
    zero: dict[str, Any] = {"stage": stage, "overlap_comm": False, "offload_optimizer": offload}
    if stage == 3:
        zero |= {"stage3_gather_16bit_weights_on_model_save": True, "offload_param": offload}
    return {
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "train_batch_size": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": bfloat16},
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,  # torch's AdamW, the same as in one process
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 10**9,
    }
