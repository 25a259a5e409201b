"""Whether a recipe's numbers divide as engine `verl` and vLLM need: told in our keys, before Ray starts."""

from typing import Any

from medrl.recipe import Recipe

LARGEST_LORA = 512  # vllm/config/lora.py: MaxLoRARanks (0.24)


def micro_batch(recipe: Recipe) -> int:
    """Rollouts one GPU (or one group of engine.sequence_parallel GPUs) holds at once in the update."""
    groups = max(1, recipe.engine.nodes * recipe.engine.gpus_per_node // recipe.engine.sequence_parallel)
    return max(1, min(recipe.training.micro_batch_size, _minibatch(recipe) // groups))


def layout_faults(recipe: Recipe, config: Any) -> list[str]:
    """What verl 0.9.1 or vLLM 0.24 would stop at minutes later; `config` is the model's transformers config.

    Sources: verl/utils/config.py validate_config, workers/engine_workers.py train_mini_batch, workers/engine/utils.py
    prepare_micro_batches, models/transformers/monkey_patch.py; vllm/model_executor/models/qwen2.py and qwen2_5_vl.py.
    """
    engine = recipe.engine
    small = [
        key for key in ("nodes", "gpus_per_node", "tensor_parallel", "sequence_parallel") if getattr(engine, key) < 1
    ]
    if small:
        return [f"engine.{key}={getattr(engine, key)}: expected at least 1." for key in small]
    faults = [*_batch_faults(recipe), *_tensor_faults(recipe, config), *_sequence_faults(recipe, config)]
    if not 0 < engine.vllm_memory < 1:
        faults.append(f"engine.vllm_memory={engine.vllm_memory}: expected a share above 0 and below 1, such as 0.5.")
    if recipe.model.lora_rank > LARGEST_LORA:
        faults.append(
            f"model.lora_rank={recipe.model.lora_rank}: vLLM serves adapters up to rank {LARGEST_LORA}. Lower it."
        )
    window = config.get_text_config().max_position_embeddings
    wanted = recipe.sampling.max_prompt_tokens + recipe.sampling.max_new_tokens
    if wanted > window:
        faults.append(
            f"sampling.max_prompt_tokens={recipe.sampling.max_prompt_tokens} and sampling.max_new_tokens="
            f"{recipe.sampling.max_new_tokens} make {wanted} tokens, but the model reads at most {window}. Lower one."
        )
    return faults


def _batch_faults(recipe: Recipe) -> list[str]:
    """The rollouts of an optimizer update are dealt out evenly over the GPUs, and there in even micro-batches."""
    engine, training = recipe.engine, recipe.training
    gpus = engine.nodes * engine.gpus_per_node
    step = training.prompts_per_step * recipe.algorithm.group_size
    made = f"training.prompts_per_step={training.prompts_per_step} x algorithm.group_size={recipe.algorithm.group_size}"
    if step % gpus:
        return [
            f"{made} make {step} rollouts, which {gpus} GPUs (engine.nodes x engine.gpus_per_node) cannot share evenly."
        ]
    if gpus % engine.sequence_parallel:
        return []  # told by _sequence_faults
    groups, minibatch = gpus // engine.sequence_parallel, _minibatch(recipe)
    if minibatch % groups:
        return [
            f"{made} in training.minibatches={training.minibatches} make {minibatch} rollouts an update, which {groups} "
            "GPUs (or groups of engine.sequence_parallel) cannot share evenly. Change one of the three."
        ]
    mine, micro = minibatch // groups, micro_batch(recipe)
    if mine % micro:
        fitting = [size for size in range(1, micro) if mine % size == 0]
        return [
            f"training.micro_batch_size={training.micro_batch_size} does not divide the {mine} rollouts a GPU has in an "
            f"update. Set it to {fitting[-1]}."
        ]
    return []


def _tensor_faults(recipe: Recipe, config: Any) -> list[str]:
    """vLLM cuts heads and MLPs of the language model and of the vision tower into engine.tensor_parallel equal parts."""
    parts, per_node = recipe.engine.tensor_parallel, recipe.engine.gpus_per_node
    text, vision = config.get_text_config(), config.vision_config
    faults = []
    if per_node % parts:
        faults.append(
            f"engine.tensor_parallel={parts} does not divide engine.gpus_per_node={per_node}. Use a divisor of it."
        )
    sizes = {
        "attention heads": text.num_attention_heads,
        "vision heads": vision.num_heads,
        "numbers in an MLP": getattr(text, "moe_intermediate_size", None) or text.intermediate_size,
        "numbers in a vision MLP": getattr(vision, "intermediate_size", None)
        or int(vision.embed_dim * vision.mlp_ratio),
    }
    cut = [f"{size} {name}" for name, size in sizes.items() if size % parts]
    if not _shared(text.num_key_value_heads, parts):
        cut.append(f"{text.num_key_value_heads} key-value heads")
    if cut:
        faults.append(
            f"engine.tensor_parallel={parts}: vLLM cannot cut this model's {', '.join(cut)} into {parts} parts. "
            "Use a smaller one; 1 fits always."
        )
    return faults


def _sequence_faults(recipe: Recipe, config: Any) -> list[str]:
    """Ulysses gives each GPU of a group some of the heads."""
    parts, text = recipe.engine.sequence_parallel, config.get_text_config()
    gpus = recipe.engine.nodes * recipe.engine.gpus_per_node
    faults = []
    if gpus % parts:
        faults.append(f"engine.sequence_parallel={parts} does not divide the {gpus} GPUs. Use a divisor.")
    if text.num_attention_heads % parts or not _shared(text.num_key_value_heads, parts):
        faults.append(
            f"engine.sequence_parallel={parts} does not divide this model's {text.num_attention_heads} attention and "
            f"{text.num_key_value_heads} key-value heads. Use a smaller one; 1 fits always."
        )
    return faults


def _shared(heads: int, parts: int) -> bool:
    """Key-value heads are divided, or each is copied to equally many GPUs."""
    return heads % parts == 0 or parts % heads == 0


def _minibatch(recipe: Recipe) -> int:
    """Rollouts of one optimizer update, over all GPUs."""
    return recipe.training.prompts_per_step // recipe.training.minibatches * recipe.algorithm.group_size
