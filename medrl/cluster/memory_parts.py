"""Bytes per GPU of each phase of a step under engine `verl`, in named parts; what verl 0.9.1 keeps where, with its source.

Exact for weights, gradients and Adam; by formula for activations and logits, each rollout at its longest.
"""

from medrl.cluster.layout import micro_batch
from medrl.cluster.model_shape import ModelShape, Shape, adapters, layer_bytes, numbers, shard, vision_layer_bytes
from medrl.learning.policy import TOKENS_TOGETHER
from medrl.recipe import Recipe

# verl/trainer/config/engine/fsdp.yaml: model_dtype fp32, also of a base under LoRA; gradients are reduced into it
MASTER = 4
MOMENTS = 8  # AdamW keeps two of them, float32
FOREACH = 4  # torch.optim's foreach kernels: a square root of all second moments at once
BUCKET = 2048 << 20  # rollout.checkpoint_engine.update_weights_bucket_megabytes
Parts = dict[str, int]


def width_of(recipe: Recipe) -> int:
    """Bytes of a number in the computation and in vLLM: bfloat16, unless the recipe or a CPU asks for float32."""
    return 4 if recipe.model.dtype == "float32" or recipe.engine.device == "cpu" else 2


def added_shapes(recipe: Recipe, shape: ModelShape) -> tuple[Shape, ...]:
    """The adapter's matrices; none without LoRA."""
    return adapters(shape, recipe.model.lora_rank, recipe.model.lora_targets) if recipe.model.lora_rank else ()


def trained_shapes(recipe: Recipe, shape: ModelShape) -> tuple[Shape, ...]:
    """The parameters that have a gradient."""
    every = shape.language if recipe.model.freeze_vision else (*shape.language, *shape.vision)
    return added_shapes(recipe, shape) or every


def vllm_weights(recipe: Recipe, shape: ModelShape) -> int:
    """One copy of the model, an adapter beside it, cut over the GPUs of a server."""
    whole = numbers((*shape.language, *shape.vision, *added_shapes(recipe, shape)))
    return width_of(recipe) * whole // recipe.engine.tensor_parallel


def cache_per_token(recipe: Recipe, shape: ModelShape) -> int:
    """vLLM's keys and values of one token; heads too few to divide are copied."""
    heads = max(1, shape.kv_heads // recipe.engine.tensor_parallel)
    return 2 * width_of(recipe) * shape.layers * heads * shape.head_dim


def resident_parts(recipe: Recipe, shape: ModelShape) -> Parts:
    """What is on the GPU whenever verl works on the policy: FSDP2's shards over all GPUs."""
    gpus = recipe.engine.nodes * recipe.engine.gpus_per_node
    every = (*shape.language, *shape.vision, *added_shapes(recipe, shape))
    return {
        "float32 weights": MASTER * shard(every, gpus),
        "Adam's moments": MOMENTS * shard(trained_shapes(recipe, shape), gpus),
    }


def handover_parts(recipe: Recipe, shape: ModelShape) -> Parts:
    """While vLLM, still without its cache, gets the new weights: one bucket of them and the largest tensor whole.

    With engine.offload the shards come tensor by tensor; for LoRA verl first moves them back whole (get_per_tensor_param).
    """
    kept = resident_parts(recipe, shape)
    if recipe.engine.offload:
        kept = {"float32 weights": kept["float32 weights"]} if recipe.model.lora_rank else {}
    largest = max(numbers([one]) for one in (*shape.language, *shape.vision))
    return {**kept, "vLLM's weights": vllm_weights(recipe, shape), "bucket": BUCKET + MASTER * largest}


def update_parts(recipe: Recipe, shape: ModelShape, longest_prompt: int) -> Parts:
    """The greediest of four moments: at the logits, in the backward pass of a layer or of a table, in the optimizer.

    engine.offload is no help here: verl loads weights and moments back for the whole update (BaseEngineCtx).

    A gathered gradient is there twice, the second time in float32 on its way to the shards; with a layer's there are its
    activations and the gradients of its widest tensors, with a table's (embedding, head) that of the logits. Pictures:
    the whole prompt is taken for one. Ulysses shares out what follows the embedding, not the vision tower.
    """
    model, width = recipe.model, width_of(recipe)
    trained = shard(trained_shapes(recipe, shape), recipe.engine.nodes * recipe.engine.gpus_per_node)
    trains_vision = not (model.freeze_vision or model.lora_rank)
    tokens = tokens_at_once(recipe, longest_prompt)
    patches = micro_batch(recipe) * longest_prompt * shape.patches_per_token
    layer, block = layer_bytes(shape, width), vision_layer_bytes(shape, width)
    stored, stored_block = layer, block
    if model.gradient_checkpointing:  # only what goes into a layer is kept
        stored, stored_block = width * shape.hidden, width * shape.vision_hidden
    blocks = [unit.parameters for unit in shape.units if not unit.table and (trains_vision or not unit.vision)]
    tables = [shape.root, *(unit.parameters for unit in shape.units if unit.table)]
    reduced = 0 if model.lora_rank else width + 4
    backward = tokens * (layer - stored + width * (3 * shape.intermediate + shape.hidden))
    backward_block = patches * (block - stored_block + width * (3 * shape.vision_intermediate + shape.vision_hidden))
    through = {
        # the unit at work and the next one, fetched ahead; what is in no unit stays
        "gathered weights": width * (shape.root + 2 * max(unit.parameters for unit in shape.units)),
        "activations": tokens * (shape.layers * stored + (4 + 3 * width) * shape.hidden)
        + trains_vision * patches * shape.vision_layers * stored_block,
        "pictures": patches * shape.patch_numbers * (4 + width),
    }
    in_layer = max(backward, trains_vision * backward_block) + reduced * max(blocks)
    in_table = width * shape.vocabulary * tokens + reduced * max(tables)
    moments: list[Parts] = [
        through | {"logits": logit_bytes(recipe, shape, tokens)},
        through | {"one layer's backward pass": in_layer},
        through | {"gradient of the embedding or the head": in_table},
        {"optimizer's working memory": FOREACH * trained},
    ]
    worst = max(moments, key=lambda parts: sum(parts.values()))
    return resident_parts(recipe, shape) | {"gradients": MASTER * trained} | worst


def logit_bytes(recipe: Recipe, shape: ModelShape, tokens: int) -> int:
    """Scores of the whole vocabulary, in the greedier of the two ways MedrlEngine.prepare_model_outputs has.

    Padded rows: the model's logits of all tokens, a float32 copy of those that predict a reply, and then either the same
    divided by the temperature or, of one part of them, the log-probabilities with what their entropies take. Packed rows
    (flash-attn): the model's, those with forbidden tokens masked, and one copy more in verl. A test counts the first.
    """
    width, replies = width_of(recipe), micro_batch(recipe) * recipe.sampling.max_new_tokens
    padded = width * tokens + 4 * replies + max(4 * replies, 12 * min(replies, TOKENS_TOGETHER))
    return shape.vocabulary * max(padded if recipe.engine.sequence_parallel == 1 else 0, 3 * width * tokens)


def tokens_at_once(recipe: Recipe, longest_prompt: int) -> int:
    """Tokens of a micro-batch on one GPU, every rollout at its longest."""
    length = longest_prompt + recipe.sampling.max_new_tokens
    return -(-micro_batch(recipe) * length // recipe.engine.sequence_parallel)


def host_parts(recipe: Recipe, shape: ModelShape) -> Parts:
    """Memory of a node beside its GPUs, for weights alone: FSDP2 keeps a frozen reference there, in float32."""
    engine, here = recipe.engine, recipe.engine.gpus_per_node
    whole = MASTER * numbers((*shape.language, *shape.vision, *added_shapes(recipe, shape)))
    reference = recipe.algorithm.kl_coef > 0 and not recipe.model.lora_rank  # under LoRA it is the base
    parts = {
        # verl/utils/fsdp_utils.py get_init_weight_context_manager: with tied embeddings every process reads the whole model
        "while loading": whole * (here if shape.tied else 1),
        "for the reference": whole // engine.nodes if reference else 0,
        "for what is offloaded": here * sum(resident_parts(recipe, shape).values()) if engine.offload else 0,
        "for vLLM asleep": here * vllm_weights(recipe, shape) if recipe.model.lora_rank else 0,
    }
    return {name: size for name, size in parts.items() if size}
