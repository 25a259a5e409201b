"""verl's FSDP engine with medrl's optimizer, schedule, forbidden tokens and checkpoints; on CUDA and on the CPU.

Chosen through verl's own registry with VERL_ENGINE_VENDOR=medrl; verl imports this file in every worker, since the
configuration names it as `actor_rollout_ref.model.external_lib`. What an update computes is thereby what engine `local`
computes: parameters that are norms or biases are not decayed, tokens a reply may not hold carry no probability.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tensordict import TensorDict
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForImageTextToText
from verl.utils import tensordict_utils as tu
from verl.utils.device import get_device_name
from verl.workers.engine import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from medrl.cluster import upstream
from medrl.cluster.estimators import register_all
from medrl.dialogue.control import forbidden_ids
from medrl.errors import MedrlError
from medrl.learning.model import stop_ids
from medrl.learning.policy import TOKENS_TOGETHER, look_up
from medrl.learning.shared_pictures import read_once
from medrl.learning.update import adamw, learning_rate
from medrl.recipe import Optimizer

register_all()  # verl imports this file for its effect
upstream.mend()
NEVER = -1e4  # a logit: no probability in float32, and unlike -inf it keeps p log p a number in verl's own entropy


@EngineRegistry.register(model_type="language_model", backend=["fsdp", "fsdp2"], device=["cuda", "cpu"], vendor="medrl")
class MedrlEngine(FSDPEngineWithLMHead):
    """One rank's share of the policy (or of the frozen reference)."""

    def initialize(self) -> None:
        if self.engine_config.strategy == "fsdp" or self.model_config.use_fused_kernels:
            raise MedrlError(
                "engine verl works with strategy fsdp2 and without fused kernels, which never show the logits."
            )
        super().initialize()
        tokenizer = self.model_config.tokenizer
        stops = stop_ids(self.model_config.generation_config, tokenizer)
        self._forbidden = torch.tensor(
            forbidden_ids(tokenizer, stops, self.model_config.hf_config.get_text_config().vocab_size), dtype=torch.long
        )

    def prepare_model_outputs(
        self, output: Any, output_args: dict[str, Any], micro_batch: TensorDict, logits_processor_func: Any
    ) -> dict[str, Tensor]:
        """Log-probabilities, and entropies where asked for, as verl wants them: nested, one value per token."""
        forbidden = self._forbidden.to(output.logits.device)
        if self.use_remove_padding:  # packed rows, for which verl has its own kernels
            output.logits = output.logits.index_fill(-1, forbidden, NEVER)
            return super().prepare_model_outputs(output, output_args, micro_batch, logits_processor_func)
        ids = micro_batch["input_ids"]
        starts, ends = _response_columns(micro_batch)
        columns = torch.arange(output.logits.shape[1], device=starts.device)
        predicting = (columns >= starts[:, None]) & (columns < ends[:, None])  # (rows, columns): what the loss looks at
        inside = columns < ids.offsets().diff()[:, None]
        logits = output.logits[predicting].float() / output_args["temperature"][0]
        logits = logits.index_fill(-1, forbidden, NEVER)  # (response tokens, vocabulary)
        labels = output_args["input_ids_rmpad_rolled"][predicting[inside]]
        with_entropy = tu.get_non_tensor_data(micro_batch, "calculate_entropy", False)
        found = [
            # the tables are made again in the backward pass: all tokens by a vocabulary of 150,000 would not fit
            checkpoint(look_up, part, chosen, with_entropy, use_reentrant=False)
            for part, chosen in zip(logits.split(TOKENS_TOGETHER), labels.split(TOKENS_TOGETHER))
        ]
        values = [torch.cat(parts) for parts in zip(*found)]
        spread = [
            value.new_zeros(len(predicting[inside])).masked_scatter(predicting[inside], value) for value in values
        ]
        nested = [torch.nested.nested_tensor_from_jagged(value, ids.offsets()) for value in spread]
        return {"log_probs": nested[0], **({"entropy": nested[1]} if with_entropy else {})}

    def forward_backward_batch(self, data: TensorDict, loss_function: Any, forward_only: bool = False) -> Any:
        outputs = super().forward_backward_batch(data, loss_function, forward_only)
        self._trained_tokens = tu.get_non_tensor_data(data, "batch_num_tokens", 0)  # of all ranks, by verl
        return outputs

    def optimizer_step(self) -> float:
        """No step after a minibatch with nothing to train on, as in engine `local`: its momentum would go on by itself."""
        if self._trained_tokens:
            return float(super().optimizer_step())
        self.optimizer.zero_grad()
        return 0.0

    def _build_optimizer(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        return adamw(module.parameters(), self._optimizer_settings())

    def _build_lr_scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        settings, steps = self._optimizer_settings(), self.optimizer_config.total_training_steps
        return torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate(settings, step, steps) / settings.lr
        )

    @property
    def _extra(self) -> dict[str, Any]:
        """What settings.py says beyond verl's own optimizer keys; the frozen reference has none."""
        return getattr(self.optimizer_config, "override_optimizer_config", None) or {}

    def _optimizer_settings(self) -> Optimizer:
        given = self.optimizer_config
        return Optimizer(
            lr=given.lr,
            weight_decay=given.weight_decay,
            beta1=given.betas[0],
            beta2=given.betas[1],
            warmup_steps=max(0, given.lr_warmup_steps),
            schedule=self._extra["schedule"],
            max_grad_norm=given.clip_grad,
        )

    def save_checkpoint(
        self,
        local_path: str,
        hdfs_path: str | None = None,
        global_step: int = 0,
        max_ckpt_to_keep: int | None = None,
        **_: Any,
    ) -> None:
        """Fill a checkpoint folder: `model/` as engine `local` writes it, and this rank's optimizer shard.

        No pickle that runs code: weights are safetensors, optimizer files hold plain tensors.
        """
        folder = Path(local_path)
        weights = {}
        # a tied output layer is named once here, and twice in the state
        once = {name for named in (self.module.named_parameters(), self.module.named_buffers()) for name, _ in named}
        for name, value in self.module.state_dict().items():  # one parameter at a time is whole, on rank 0 alone
            whole = value.full_tensor() if isinstance(value, DTensor) else value
            if self.rank == 0 and name in once:
                weights[name] = whole.detach().to("cpu", copy=True)
        if self.rank == 0:
            # the wrapped module keeps save_pretrained; under LoRA it writes the adapter alone
            self.module.save_pretrained(folder / "model", state_dict=weights)
            self.model_config.get_processor().save_pretrained(folder / "model")
        torch.save(self._optimizer_shard(), self._shard_file(folder))
        torch.distributed.barrier()

    def load_checkpoint(
        self, local_path: str, hdfs_path: str | None = None, del_local_after_load: bool = False, **_: Any
    ) -> None:
        """Restore weights, this rank's optimizer and the schedule."""
        file = self._shard_file(Path(local_path))
        if not file.is_file():
            there = ", ".join(sorted(path.name for path in file.parent.glob("optimizer_*.pt"))) or "no optimizer file"
            raise MedrlError(
                f"{file} is missing; the folder has {there}. A checkpoint is resumed by as many workers as wrote it: "
                "set engine.nodes and engine.gpus_per_node as they were."
            )
        self._load_weights(Path(local_path) / "model")
        stored = torch.load(file, weights_only=True)
        parameters = [value for group in self.optimizer.param_groups for value in group["params"]]
        state = {
            index: {name: _like(parameters[index], value) for name, value in moments.items()}
            for index, moments in stored["state"].items()
        }
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.lr_scheduler.load_state_dict({**self.lr_scheduler.state_dict(), **stored["schedule"]})
        for group, rate in zip(self.optimizer.param_groups, self.lr_scheduler.get_last_lr()):
            group["lr"] = rate
        self.to("cpu", model=self._is_offload_param, optimizer=self._is_offload_optimizer, grad=False)
        torch.distributed.barrier()

    def _build_module(self) -> torch.nn.Module:
        module = super()._build_module()
        if (tower := getattr(module.model, "visual", None)) is not None:
            read_once(tower)
        if self._extra.get("freeze_vision"):
            module.model.visual.requires_grad_(False)
        return module

    def _build_fsdp_module(self, module: torch.nn.Module) -> torch.nn.Module:
        if get_device_name() != "cpu" or not self.engine_config.forward_only:
            return super()._build_fsdp_module(module)
        # verl offloads a frozen model to pinned host memory, which needs a CUDA driver; here it is in host memory anyway
        object.__setattr__(self.engine_config, "forward_only", False)
        try:
            return super()._build_fsdp_module(module)
        finally:
            object.__setattr__(self.engine_config, "forward_only", True)

    def _shard_file(self, folder: Path) -> Path:
        return folder / f"optimizer_{self.rank:05d}_of_{torch.distributed.get_world_size():05d}.pt"

    def _optimizer_shard(self) -> dict[str, Any]:
        """This rank's part of the optimizer as plain tensors, and where the schedule stands."""
        state = {
            index: {
                name: (value.to_local() if isinstance(value, DTensor) else value).cpu()
                for name, value in moments.items()
            }
            for index, moments in self.optimizer.state_dict()["state"].items()
        }
        schedule = {key: self.lr_scheduler.state_dict()[key] for key in ("last_epoch", "_step_count", "_last_lr")}
        return {"state": state, "schedule": schedule}

    def _load_weights(self, folder: Path) -> None:
        """Weights written by `save_checkpoint`: read once, on rank 0, and dealt out to the shards."""
        weights: dict[str, Any] = {}
        if self.rank == 0 and self._is_lora:
            stored = load_file(folder / "adapter_model.safetensors")
            weights = {name.replace(".weight", ".default.weight"): value for name, value in stored.items()}
        elif self.rank == 0:
            # through from_pretrained, since the names in the files are the hub's and not the module's
            weights = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).state_dict()
        options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, strict=not self._is_lora)
        set_model_state_dict(self.module, weights, options=options)


def _like(parameter: Tensor, stored: Tensor) -> Tensor:
    """An optimizer tensor as the optimizer keeps it: sharded like its parameter, or a plain scalar."""
    if not isinstance(parameter, DTensor) or stored.ndim == 0:
        return stored
    return DTensor.from_local(
        stored.to(parameter.device),
        parameter.device_mesh,
        parameter.placements,
        run_check=False,
        shape=parameter.shape,
        stride=parameter.stride(),
    )


def _response_columns(micro_batch: TensorDict) -> tuple[Tensor, Tensor]:
    """First and one past the last column, per row, whose logits predict a response token."""
    prompts, responses = (micro_batch[name].offsets().diff() for name in ("prompts", "responses"))
    return prompts - 1, prompts + responses - 1
