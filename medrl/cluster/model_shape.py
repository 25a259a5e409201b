"""What memory depends on, read off a model without weights: exact parameter shapes, widths, and bytes of activations.

The model is built on torch's meta device from its config: nothing is downloaded, nothing is allocated.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForImageTextToText

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Unit:
    """Parameters that FSDP gathers together: a transformer block, or a table (embedding or head) that is not shared."""

    parameters: int
    vision: bool
    table: bool


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a vision-language model. `language`, `vision`: shapes of the parameters, a shared one once; `linear`: (name,
    inputs, outputs) of the language model's linear layers; `root`: parameters in no unit, which stay gathered; the rest
    is named as in the model's config. `patch_numbers` is what the processor makes of one vision patch.
    """

    language: tuple[Shape, ...]
    vision: tuple[Shape, ...]
    linear: tuple[tuple[str, int, int], ...]
    units: tuple[Unit, ...]
    root: int
    tied: bool
    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    qk_norm: bool
    vision_hidden: int
    vision_intermediate: int
    vision_gated: bool
    vision_layers: int
    patch_numbers: int
    patches_per_token: int


def read_shape(config: Any) -> ModelShape:
    """The shape of the model a transformers config describes. Units are those of verl's `_select_fsdp2_wrap_targets`."""
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    tower = model.model.visual
    of_tower = {id(value) for value in tower.parameters()}
    tied = bool(model.config.tie_word_embeddings)
    units: list[Unit] = []
    inside: set[int] = set()
    for name, module in model.named_modules():
        table = not tied and (
            isinstance(module, nn.Embedding) or name.rpartition(".")[2] in ("embed_tokens", "lm_head")
        )
        if table or type(module).__name__ in model._no_split_modules:
            own = {id(value): value.numel() for value in module.parameters()}
            units.append(Unit(sum(own.values()), own.keys() <= of_tower, table))
            inside |= own.keys()
    text, block = config.get_text_config(), tower.blocks[0]
    heads = text.num_attention_heads
    return ModelShape(
        language=tuple(tuple(value.shape) for value in model.parameters() if id(value) not in of_tower),
        vision=tuple(tuple(value.shape) for value in tower.parameters()),
        linear=tuple(
            (name, module.in_features, module.out_features)
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and "language_model" in name
        ),
        units=tuple(units),
        root=sum(value.numel() for value in model.parameters() if id(value) not in inside),
        tied=tied,
        vocabulary=text.vocab_size,
        hidden=text.hidden_size,
        intermediate=_intermediate(text),
        layers=text.num_hidden_layers,
        heads=heads,
        kv_heads=text.num_key_value_heads,
        head_dim=getattr(text, "head_dim", None) or text.hidden_size // heads,
        qk_norm=any(name.endswith("q_norm") for name, _ in model.named_modules()),
        vision_hidden=block.norm1.weight.shape[0],
        vision_intermediate=max(one.out_features for one in block.mlp.modules() if isinstance(one, nn.Linear)),
        vision_gated=hasattr(block.mlp, "gate_proj"),
        vision_layers=len(tower.blocks),
        patch_numbers=tower.patch_embed.proj.weight[0].numel(),
        patches_per_token=config.vision_config.spatial_merge_size**2,
    )


def numbers(shapes: Iterable[Shape]) -> int:
    """How many numbers the tensors of these shapes hold."""
    return sum(math.prod(shape) for shape in shapes)


def shard(shapes: Iterable[Shape], gpus: int) -> int:
    """Numbers the fullest GPU holds: FSDP2 cuts every parameter along its first dimension, in equal parts rounded up.

    >>> shard([(7, 10), (3,)], 2)
    42
    """
    return sum(math.ceil(shape[0] / gpus) * math.prod(shape[1:]) for shape in shapes)


def adapters(shape: ModelShape, rank: int, targets: str) -> tuple[Shape, ...]:
    """The two matrices LoRA puts beside each adapted linear layer; `targets` as in the recipe's model.lora_targets."""
    ends = ("",) if targets == "all-linear" else tuple(targets.split(","))
    return tuple(
        matrix
        for name, inputs, outputs in shape.linear
        if name.endswith(ends)
        for matrix in ((rank, inputs), (outputs, rank))
    )


def layer_bytes(shape: ModelShape, width: int) -> int:
    """Activations one language layer keeps for its backward pass, bytes per token; `width` is that of a number (2 or 4).

    Counted as in Korthikanti et al. 2022 (arXiv:2205.05198), for the block that transformers runs: two RMSNorms, each with a
    float32 copy, the normalised and the scaled states; q, k, v (repeated to all heads) and the attention's output; four
    tensors of the gated MLP; norms of q and k in Qwen3. tests/cluster/test_memory.py lets torch count them.
    """
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    norms = 2 * (4 + 2 * width) * shape.hidden + shape.qk_norm * (4 + width) * (q + kv)
    return norms + 4 * width * q + 4 * width * shape.intermediate


def vision_layer_bytes(shape: ModelShape, width: int) -> int:
    """The same of one vision block, bytes per patch: q, k, v before and after the rotation, and an MLP with a gate or none."""
    norms = 2 * (4 + 2 * width) * shape.vision_hidden
    return norms + 8 * width * shape.vision_hidden + (3 + shape.vision_gated) * width * shape.vision_intermediate


def _intermediate(text: Any) -> int:
    """Width of the MLP one token goes through: of the experts chosen for it, where there are experts."""
    if getattr(text, "num_experts_per_tok", None):
        return int(text.moe_intermediate_size * text.num_experts_per_tok)
    return int(text.intermediate_size)
