"""From a recipe to verl's configuration: every key of ours is mapped, used by medrl itself, or refused with a reason.

`overrides` is what one would type behind `python -m verl.trainer.main_ppo`; `compose` lets the installed verl check it.
"""

import importlib.util
import os
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from medrl.cluster.layout import micro_batch
from medrl.errors import MedrlError
from medrl.learning.estimator import BUILT_IN
from medrl.learning.losses import default_aggregation
from medrl.learning.model import pick_device
from medrl.recipe import Recipe

# linear layers of the language model: all that vLLM can adapt in a running server
LANGUAGE_LINEAR = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
# vLLM's CPU platform turns "uni" into a worker process of its own, 25 s of imports; the class by its name it leaves alone
IN_ENGINE = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
CACHE_FRIENDLY = 32  # rollouts per micro-batch on a CPU: more fall out of its caches and take longer
NO_DUAL_CLIP = 1e9  # verl's third bound on the ratio is not in the published loss; out of reach, it does nothing

# our key: the verl keys it sets. `overrides` says how; the table is what `medrl check` shows and a test holds complete
MAPPED = {
    "model.path": ("actor_rollout_ref.model.path",),
    "model.dtype": ("actor_rollout_ref.rollout.dtype", "actor_rollout_ref.actor.fsdp_config.mixed_precision"),
    "model.lora_rank": ("actor_rollout_ref.model.lora_rank",),
    "model.lora_alpha": ("actor_rollout_ref.model.lora_alpha",),
    "model.lora_targets": ("actor_rollout_ref.model.target_modules",),
    "model.freeze_vision": ("actor_rollout_ref.actor.optim.override_optimizer_config.freeze_vision",),
    "model.gradient_checkpointing": ("actor_rollout_ref.model.enable_gradient_checkpointing",),
    "model.min_pixels": ("actor_rollout_ref.rollout.engine_kwargs.vllm.mm_processor_kwargs",),
    "model.max_pixels": ("actor_rollout_ref.rollout.engine_kwargs.vllm.mm_processor_kwargs",),
    "algorithm.group_size": ("actor_rollout_ref.rollout.n",),
    "algorithm.advantage": ("algorithm.adv_estimator",),
    "algorithm.clip_low": ("actor_rollout_ref.actor.clip_ratio_low",),
    "algorithm.clip_high": ("actor_rollout_ref.actor.clip_ratio_high",),
    "algorithm.kl_coef": ("actor_rollout_ref.actor.use_kl_loss", "actor_rollout_ref.actor.kl_loss_coef"),
    "algorithm.ratio": ("actor_rollout_ref.actor.policy_loss.loss_mode",),
    "algorithm.loss_aggregation": (
        "actor_rollout_ref.actor.loss_agg_mode", "actor_rollout_ref.actor.loss_scale_factor",
    ),
    "sampling.temperature": ("actor_rollout_ref.rollout.temperature",),
    "sampling.max_new_tokens": ("data.max_response_length",),
    "sampling.max_prompt_tokens": ("data.max_prompt_length",),
    "optimizer.lr": ("actor_rollout_ref.actor.optim.lr",),
    "optimizer.weight_decay": ("actor_rollout_ref.actor.optim.weight_decay",),
    "optimizer.beta1": ("actor_rollout_ref.actor.optim.betas",),
    "optimizer.beta2": ("actor_rollout_ref.actor.optim.betas",),
    "optimizer.warmup_steps": ("actor_rollout_ref.actor.optim.lr_warmup_steps",),
    "optimizer.schedule": ("actor_rollout_ref.actor.optim.override_optimizer_config.schedule",),
    "optimizer.max_grad_norm": ("actor_rollout_ref.actor.optim.clip_grad",),
    "training.steps": ("trainer.total_training_steps",),
    "training.prompts_per_step": ("data.train_batch_size",),
    "training.minibatches": ("actor_rollout_ref.actor.ppo_mini_batch_size",),
    "training.micro_batch_size": ("actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu",),
    "val.attempts": ("actor_rollout_ref.rollout.val_kwargs.n",),
    "engine.nodes": ("trainer.nnodes",),
    "engine.gpus_per_node": ("trainer.n_gpus_per_node",),
    "engine.tensor_parallel": ("actor_rollout_ref.rollout.tensor_model_parallel_size",),
    "engine.sequence_parallel": ("actor_rollout_ref.actor.ulysses_sequence_parallel_size",),
    "engine.vllm_memory": ("actor_rollout_ref.rollout.gpu_memory_utilization",),
    "engine.offload": (
        "actor_rollout_ref.actor.fsdp_config.param_offload", "actor_rollout_ref.actor.fsdp_config.optimizer_offload",
    ),
    "engine.rows_at_once": ("actor_rollout_ref.rollout.max_num_seqs",),
    "name": ("trainer.experiment_name",),
    "loggers.project": ("trainer.project_name",),
}  # fmt: skip
# sections and keys that medrl does itself, around verl, as in engine `local`
OURS = {
    "runs_dir": "the run directory", "seed": "sample order and every rollout's own seed", "data": "samples",
    "prompt": "prompt building", "env": "episodes", "rewards": "scoring", "scoring": "scoring",
    "sft": "the cold start, before verl starts", "algorithm.mask_over_turns": "advantages",
    "algorithm.kwargs": "advantages", "algorithm.filter_groups": "which groups are trained on", "algorithm.max_refills": "",
    "curriculum": "sample order", "health": "alarms",
    "val": "validation", "checkpoint": "checkpoints", "loggers": "loggers", "engine.name": "", "engine.device": "",
    "engine.threads": "", "engine.start_timeout_s": "", "model.lora_dropout": "refused above 0", "verl": "raw keys, set last",
}  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """What the run works on. `cpus`: cores this process may use; `flash_attention`: whether the package is installed."""

    device: str
    cpus: int
    flash_attention: bool = field(default_factory=lambda: importlib.util.find_spec("flash_attn") is not None)


def this_machine(recipe: Recipe) -> Machine:
    """The machine this process is on, as the recipe wants to use it."""
    return Machine(pick_device(recipe.engine.device), len(os.sched_getaffinity(0)))


def refused(recipe: Recipe) -> list[str]:
    """What engine `local` does and engine `verl` cannot, each with the reason and the way out."""
    faults = []
    if recipe.model.lora_dropout:
        faults.append(
            f"model.lora_dropout={recipe.model.lora_dropout}: vLLM samples without dropout and verl's adapters have none; "
            "set it to 0, or use engine.name=local"
        )
    if recipe.model.lora_alpha % 1:
        faults.append(f"model.lora_alpha={recipe.model.lora_alpha}: verl takes whole numbers only")
    if recipe.model.dtype == "bfloat16" and pick_device(recipe.engine.device) == "cpu":
        faults.append("model.dtype=bfloat16 on a CPU is several times slower than float32; leave it at auto")
    return faults


def overrides(recipe: Recipe, machine: Machine, model_path: str) -> dict[str, Any]:
    """verl's keys and values for a recipe; `model_path` is the folder or hub name the policy starts from."""
    actor, rollout, model = (f"actor_rollout_ref.{part}" for part in ("actor", "rollout", "model"))
    algorithm, training, engine = recipe.algorithm, recipe.training, recipe.engine
    aggregation = algorithm.loss_aggregation or default_aggregation(algorithm.advantage)
    workers = engine.nodes * engine.gpus_per_node
    micro = micro_batch(recipe) if machine.device == "cuda" else min(CACHE_FRIENDLY, micro_batch(recipe))
    keys: dict[str, Any] = {
        f"{model}.path": model_path,
        f"{model}.external_lib": "medrl.cluster.engine",
        f"{model}.enable_gradient_checkpointing": recipe.model.gradient_checkpointing,
        f"{model}.lora_rank": recipe.model.lora_rank,
        f"{model}.lora_alpha": int(recipe.model.lora_alpha),
        f"{model}.target_modules": _lora_targets(recipe),
        f"{actor}.strategy": "fsdp2",
        f"{actor}.ppo_mini_batch_size": training.prompts_per_step // training.minibatches,
        f"{actor}.ppo_micro_batch_size_per_gpu": micro,
        f"{actor}.ulysses_sequence_parallel_size": engine.sequence_parallel,
        f"{actor}.clip_ratio_low": algorithm.clip_low,
        f"{actor}.clip_ratio_high": algorithm.clip_high,
        f"{actor}.clip_ratio_c": NO_DUAL_CLIP,
        f"{actor}.policy_loss.loss_mode": "gspo" if algorithm.ratio == "sequence" else "vanilla",
        f"{actor}.loss_agg_mode": aggregation,
        f"{actor}.loss_scale_factor": recipe.sampling.max_new_tokens if aggregation.endswith("-norm") else None,
        f"{actor}.use_kl_loss": algorithm.kl_coef > 0,
        f"{actor}.kl_loss_coef": algorithm.kl_coef,
        f"{actor}.kl_loss_type": "low_var_kl",
        f"{actor}.optim.lr": recipe.optimizer.lr,
        f"{actor}.optim.weight_decay": recipe.optimizer.weight_decay,
        f"{actor}.optim.betas": [recipe.optimizer.beta1, recipe.optimizer.beta2],
        f"{actor}.optim.lr_warmup_steps": recipe.optimizer.warmup_steps,
        f"{actor}.optim.clip_grad": recipe.optimizer.max_grad_norm,
        f"{actor}.optim.override_optimizer_config": {
            "schedule": recipe.optimizer.schedule, "freeze_vision": recipe.model.freeze_vision,
        },
        f"{actor}.fsdp_config.param_offload": engine.offload,
        f"{actor}.fsdp_config.optimizer_offload": engine.offload,
        "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu": micro,
        "actor_rollout_ref.ref.fsdp_config.param_offload": engine.offload,
        f"{rollout}.name": "vllm",
        f"{rollout}.n": algorithm.group_size,
        f"{rollout}.temperature": recipe.sampling.temperature,
        f"{rollout}.tensor_model_parallel_size": engine.tensor_parallel,
        f"{rollout}.gpu_memory_utilization": engine.vllm_memory,
        f"{rollout}.log_prob_micro_batch_size_per_gpu": micro,
        f"{rollout}.max_model_len": recipe.sampling.max_prompt_tokens + recipe.sampling.max_new_tokens,
        f"{rollout}.max_num_seqs": engine.rows_at_once,
        f"{rollout}.val_kwargs.n": recipe.val.attempts,
        f"{rollout}.engine_kwargs.vllm.mm_processor_kwargs": {
            "size": {"shortest_edge": recipe.model.min_pixels, "longest_edge": recipe.model.max_pixels}
        },
        "data.train_batch_size": training.prompts_per_step,
        "data.max_prompt_length": recipe.sampling.max_prompt_tokens,
        "data.max_response_length": recipe.sampling.max_new_tokens,
        # medrl's trainer gives the advantages; the name is for plain verl, which does not know a user's own
        "algorithm.adv_estimator": f"medrl_{algorithm.advantage if algorithm.advantage in BUILT_IN else 'grpo'}",
        "trainer.nnodes": engine.nodes,
        "trainer.n_gpus_per_node": engine.gpus_per_node,
        "trainer.total_training_steps": training.steps,
        "trainer.project_name": recipe.loggers.project,
        "trainer.experiment_name": recipe.name,
        "trainer.logger": [],
        "trainer.resume_mode": "disable",
        "reward.num_workers": 0,  # medrl scores in the worker of the episode
        "transfer_queue.backend.SimpleStorage.num_data_storage_units": max(1, workers // 8),
    }  # fmt: skip
    keys |= _device_keys(recipe, machine)
    for key, value in _flat(recipe.verl):
        keys[key] = value
    return keys


def compose(keys: dict[str, Any]) -> DictConfig:
    """verl's whole configuration, checked by the installed verl. MedrlError names the key it does not take."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module

    with initialize_config_module("verl.trainer.config", version_base=None):
        config = hydra_compose("ppo_trainer")
    problems = []
    with open_dict(config):
        for key, value in keys.items():
            try:
                known = OmegaConf.select(config, key.rpartition(".")[0], throw_on_missing=False) is not None
                if not known:
                    problems.append(f"verl has no section for {key}")
                    continue
                OmegaConf.update(config, key, value, merge=isinstance(value, dict))
            except OmegaConfBaseException as error:
                problems.append(f"{key}={value!r}: {str(error).splitlines()[0]}")
    if problems:
        raise MedrlError("the installed verl refuses these settings:\n" + "\n".join(f"  - {one}" for one in problems))
    return config


def _device_keys(recipe: Recipe, machine: Machine) -> dict[str, Any]:
    """What differs between GPUs and a machine without any."""
    actor, rollout = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
    ref, model = "actor_rollout_ref.ref", "actor_rollout_ref.model"
    packed = machine.device == "cuda" and machine.flash_attention
    keys: dict[str, Any] = {
        f"{model}.use_remove_padding": packed,
        f"{model}.override_config.attn_implementation": "flash_attention_2" if packed else "sdpa",
        "trainer.device": machine.device,
    }
    if machine.device == "cuda":
        half = recipe.model.dtype != "float32"
        precision = {"param_dtype": "bf16" if half else "fp32", "reduce_dtype": "fp32", "buffer_dtype": "fp32"}
        workers = recipe.engine.nodes * recipe.engine.gpus_per_node
        return keys | {
            f"{actor}.fsdp_config.mixed_precision": precision,
            f"{ref}.fsdp_config.mixed_precision": precision,
            f"{rollout}.dtype": "bfloat16" if half else "float32",
            f"{rollout}.agent.num_workers": min(8, workers),
        }
    full = {"param_dtype": "fp32", "reduce_dtype": "fp32", "buffer_dtype": "fp32"}
    longest = recipe.sampling.max_prompt_tokens + recipe.sampling.max_new_tokens
    return keys | {
        # verl's autocast would compute in bfloat16, which a CPU without it emulates
        f"{actor}.fsdp_config.mixed_precision": full,
        f"{ref}.fsdp_config.mixed_precision": full,
        f"{actor}.fsdp_config.use_torch_compile": False,
        f"{ref}.fsdp_config.use_torch_compile": False,
        f"{actor}.use_torch_compile": False,
        f"{ref}.use_torch_compile": False,
        f"{ref}.fsdp_config.model_dtype": "fp32",
        f"{rollout}.dtype": "float32",
        f"{rollout}.enforce_eager": True,
        f"{rollout}.free_cache_engine": False,
        f"{rollout}.enable_sleep_mode": False,
        # a prompt in two pieces would rewind its random generator, which torch's on the CPU cannot
        f"{rollout}.enable_chunked_prefill": False,
        f"{rollout}.max_num_batched_tokens": max(1024, longest),
        f"{rollout}.max_num_seqs": min(256, recipe.engine.rows_at_once),
        f"{rollout}.agent.num_workers": 1,
        f"{rollout}.checkpoint_engine.update_weights_bucket_megabytes": 64,
        f"{rollout}.engine_kwargs.vllm.skip_mm_profiling": True,
        f"{rollout}.engine_kwargs.vllm.distributed_executor_backend": IN_ENGINE,
        f"{rollout}.engine_kwargs.vllm.enable_sleep_mode": False,
    }


def _lora_targets(recipe: Recipe) -> str | list[str]:
    wanted = recipe.model.lora_targets
    return LANGUAGE_LINEAR if wanted == "all-linear" else wanted.split(",")


def _flat(section: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted keys of the raw `verl:` section."""
    found: list[tuple[str, Any]] = []
    for key, value in section.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, value))
    return found
