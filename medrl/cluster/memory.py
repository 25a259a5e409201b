"""What a recipe needs per GPU under engine `verl`, worked out from the model's config before anything is loaded.

Every rollout is taken at its longest, so a run that fits here does not end at step 97 with one long batch. Nobody has yet
compared the figures with a GPU.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from medrl.cluster import memory_parts
from medrl.cluster.layout import micro_batch
from medrl.cluster.memory_parts import Parts
from medrl.cluster.model_shape import ModelShape, numbers, read_shape
from medrl.recipe import Recipe

GIB = 2**30
CONTEXTS = 3 * GIB  # a guess: CUDA contexts of trainer and server, CUDA graphs, NCCL, fragmentation
VLLM_WORKING = 3 * GIB  # a guess: 8192 tokens in one layer, 512 rows of logits and their sorted copies
BLOCK = 16  # tokens in a block of vLLM's cache
VLLM_SHARES = (0.6, 0.5, 0.4, 0.3, 0.7, 0.8)


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes per GPU, in named parts. `update`: while weights are changed, at its worst moment; `resident`: what training
    leaves on the GPU while vLLM generates; `handover`: while the new weights go to vLLM. `host`: per node, in ordinary
    memory. `tokens`: in one micro-batch of one GPU. `cache_per_token`: vLLM's keys and values.
    """

    recipe: Recipe
    shape: ModelShape
    longest_prompt: int
    trained: int
    micro_batch: int
    tokens: int
    update: Parts
    resident: Parts
    handover: Parts
    vllm_weights: int
    cache_per_token: int
    host: Parts

    @property
    def parameters(self) -> int:
        return numbers((*self.shape.language, *self.shape.vision))

    @property
    def sequence(self) -> int:
        """Tokens of the longest rollout."""
        return self.longest_prompt + self.recipe.sampling.max_new_tokens

    def cache(self, gpu_bytes: int) -> int:
        """Bytes of vLLM's share that are left for keys and values; negative when the weights do not fit."""
        return int(self.recipe.engine.vllm_memory * gpu_bytes) - self.vllm_weights - VLLM_WORKING

    def sequences(self, gpu_bytes: int) -> int:
        """Longest rollouts one vLLM server holds at once. More fit while replies are short, or share a prompt."""
        blocks = -(-self.sequence // BLOCK)
        return max(0, self.cache(gpu_bytes)) // (self.cache_per_token * blocks * BLOCK)

    def lines(self, gpu_bytes: int | None = None) -> list[str]:
        """A table to read; with `gpu_bytes` also how many rollouts vLLM holds at once."""
        engine = self.recipe.engine
        table = [
            f"{self.recipe.model.path}: {self.parameters / 1e9:.2f} B parameters, {numbers(self.shape.vision) / 1e9:.2f} B of "
            f"them vision, {self.trained / 1e9:.2f} B trained",
            f"{engine.nodes} x {engine.gpus_per_node} GPUs; the update has {self.micro_batch} x {self.sequence} tokens on each",
        ]
        phases = {
            "update": self.update, "new weights to vLLM": self.handover, "kept while vLLM generates": self.resident,
        }  # fmt: skip
        for name, parts in phases.items():
            table.append(f"{name}: {_gib(sum(parts.values()))} per GPU")
            table += [f"{_gib(size):>12}  {part}" for part, size in parts.items() if size]
        table.append(f"vLLM: {engine.vllm_memory:.0%} of each GPU; its weights take {_gib(self.vllm_weights)}")
        if gpu_bytes is not None:
            room = _gib(max(0, self.cache(gpu_bytes)))
            table.append(
                f"{room:>12}  for keys and values: {self.sequences(gpu_bytes)} such rollouts at once in a server"
            )
        return [
            *table,
            f"host memory per node: {', '.join(f'{_gib(size)} {part}' for part, size in self.host.items())}",
        ]


def estimate(recipe: Recipe, config: Any, longest_prompt: int) -> MemoryPlan:
    """The plan of a recipe. `config`: the model's transformers config; `longest_prompt`: tokens, pictures included."""
    return _plan(recipe, read_shape(config), longest_prompt)


def faults(plan: MemoryPlan, gpu_bytes: int | None) -> list[str]:
    """Why the recipe does not fit GPUs of this size, a paragraph each, then what would. Empty for an unknown size."""
    if gpu_bytes is None or not (short := _shortages(plan, gpu_bytes)):
        return []
    told, engine, sampling = [], plan.recipe.engine, plan.recipe.sampling
    if "update" in short:
        told.append(
            f"the update needs {_gib(sum(plan.update.values()) + CONTEXTS)} on each GPU, which has {_gib(gpu_bytes)}: "
            f"{_listed(plan.update)}, {_gib(CONTEXTS)} CUDA itself. At once (training.micro_batch_size) it works "
            f"on {plan.micro_batch} x ({plan.longest_prompt} + {sampling.max_new_tokens}) tokens."
        )
    if "handover" in short:
        told.append(
            f"handing new weights to vLLM needs {_gib(sum(plan.handover.values()) + CONTEXTS)} on each GPU, which has "
            f"{_gib(gpu_bytes)}: {_listed(plan.handover)}, {_gib(CONTEXTS)} CUDA itself."
        )
    if "generation" in short:
        told.append(
            f"engine.vllm_memory={engine.vllm_memory} gives vLLM {_gib(int(engine.vllm_memory * gpu_bytes))} of "
            f"{_gib(gpu_bytes)}, but training keeps {_gib(sum(plan.resident.values()))} beside it "
            f"({_listed(plan.resident) or 'nothing'}) and CUDA {_gib(CONTEXTS)}: {_gib(short['generation'])} too much. "
            "Lower it, or set engine.offload=true."
        )
    if "cache" in short:
        told.append(
            f"engine.vllm_memory={engine.vllm_memory} of {_gib(gpu_bytes)} leaves vLLM {_gib(max(0, plan.cache(gpu_bytes)))} for "
            f"keys and values beside {_gib(plan.vllm_weights)} of weights, but one sequence of sampling.max_prompt_tokens="
            f"{sampling.max_prompt_tokens} + max_new_tokens={sampling.max_new_tokens} needs {_gib(_longest_cache(plan))}. "
            "Raise it, or engine.tensor_parallel."
        )
    ways = list(_ways(plan, gpu_bytes))
    found = (
        f"By this estimate it fits with {'; or with '.join(ways)}." if ways else "No change of a few keys makes it fit."
    )
    return [*told, f"{found} Shorter prompts (model.max_pixels) and replies (sampling.max_new_tokens) help too."]


def gpu_memory() -> int | None:
    """Bytes of this machine's first GPU, or None: a login node has none."""
    return int(torch.cuda.get_device_properties(0).total_memory) if torch.cuda.is_available() else None


def _plan(recipe: Recipe, shape: ModelShape, longest_prompt: int) -> MemoryPlan:
    return MemoryPlan(
        recipe,
        shape,
        longest_prompt,
        trained=numbers(memory_parts.trained_shapes(recipe, shape)),
        micro_batch=micro_batch(recipe),
        tokens=memory_parts.tokens_at_once(recipe, longest_prompt),
        update=memory_parts.update_parts(recipe, shape, longest_prompt),
        resident={} if recipe.engine.offload else memory_parts.resident_parts(recipe, shape),
        handover=memory_parts.handover_parts(recipe, shape),
        vllm_weights=memory_parts.vllm_weights(recipe, shape),
        cache_per_token=memory_parts.cache_per_token(recipe, shape),
        host=memory_parts.host_parts(recipe, shape),
    )


def _longest_cache(plan: MemoryPlan) -> int:
    sampling = plan.recipe.sampling
    return plan.cache_per_token * (sampling.max_prompt_tokens + sampling.max_new_tokens)


def _shortages(plan: MemoryPlan, gpu_bytes: int) -> dict[str, int]:
    """Missing bytes by phase. vLLM refuses to start when it cannot hold one sequence of the full length."""
    share = int(plan.recipe.engine.vllm_memory * gpu_bytes)
    missing = {
        "update": sum(plan.update.values()) + CONTEXTS - gpu_bytes,
        "handover": sum(plan.handover.values()) + CONTEXTS - gpu_bytes,
        "generation": sum(plan.resident.values()) + share + CONTEXTS - gpu_bytes,
        "cache": _longest_cache(plan) - plan.cache(gpu_bytes),
    }
    return {phase: size for phase, size in missing.items() if size > 0}


def _ways(plan: MemoryPlan, gpu_bytes: int) -> Iterator[str]:
    """Changes after which every phase fits, the mildest of each sort: of a few keys, with LoRA too, with more GPUs too."""
    nodes, here = plan.recipe.engine.nodes, plan.recipe.engine.gpus_per_node
    sorts: list[list[dict[str, Any]]] = [[{}]]
    if not plan.recipe.model.lora_rank:
        sorts.append([{"model.lora_rank": 64}])
    sorts.append([{"engine.gpus_per_node": count} for count in (2, 4, 8) if count > here])
    sorts[-1] += [{"engine.nodes": nodes * times, "engine.gpus_per_node": max(8, here)} for times in (2, 4)]
    for sort in sorts:
        for extra in sort:
            changed = _plan(_changed(plan.recipe, extra), plan.shape, plan.longest_prompt)
            of_update = _mildest(changed, _of_update(changed), ["update"], gpu_bytes)
            of_vllm = _mildest(changed, _of_vllm(changed), ["handover", "generation", "cache"], gpu_bytes)
            if of_update is not None and of_vllm is not None:
                yield " ".join(f"{key}={str(value).lower()}" for key, value in (extra | of_update | of_vllm).items())
                break


def _of_update(plan: MemoryPlan) -> Iterator[dict[str, Any]]:
    """What the update's need depends on: fewer rollouts at once, and if that is not enough, activations made again."""
    for again in sorted({plan.recipe.model.gradient_checkpointing, True}):
        for size in range(plan.micro_batch, 0, -1):
            if plan.micro_batch % size == 0:
                yield {"training.micro_batch_size": size, "model.gradient_checkpointing": again}


def _of_vllm(plan: MemoryPlan) -> Iterator[dict[str, Any]]:
    """What vLLM's room depends on: another share, then copies to the host and back, then weights cut in two or four."""
    engine = plan.recipe.engine
    for parts in (1, 2, 4):
        cut = engine.tensor_parallel * parts
        if parts > 1 and (engine.gpus_per_node % cut or plan.shape.heads % cut or plan.shape.vision_intermediate % cut):
            continue
        for offload in sorted({engine.offload, True}):
            for share in (engine.vllm_memory, *VLLM_SHARES):
                yield {"engine.tensor_parallel": cut, "engine.offload": offload, "engine.vllm_memory": share}


def _mildest(
    plan: MemoryPlan, choices: Iterator[dict[str, Any]], phases: list[str], gpu_bytes: int
) -> dict[str, Any] | None:
    """The first choice after which these phases fit, without the keys that stay as they are."""
    for choice in choices:
        short = _shortages(_plan(_changed(plan.recipe, choice), plan.shape, plan.longest_prompt), gpu_bytes)
        if short.keys().isdisjoint(phases):
            now = {"training.micro_batch_size": plan.micro_batch}
            return {key: new for key, new in choice.items() if new != now.get(key, _read(plan.recipe, key))}
    return None


def _read(recipe: Recipe, key: str) -> Any:
    section, _, name = key.partition(".")
    return getattr(getattr(recipe, section), name)


def _changed(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    changed = copy.deepcopy(recipe)
    for key, value in changes.items():
        section, _, name = key.partition(".")
        setattr(getattr(changed, section), name, value)
    return changed


def _listed(parts: Parts) -> str:
    """The parts worth telling, largest first."""
    ordered = sorted(parts.items(), key=lambda one: -one[1])
    return ", ".join(f"{_gib(size)} {part}" for part, size in ordered if size > GIB // 20)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
