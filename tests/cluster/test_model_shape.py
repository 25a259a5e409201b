"""Sizes read off a model without weights, against the published ones and against what autograd keeps."""

import pytest
import torch
from model_configs import CONFIGS, PUBLISHED
from transformers import AutoModelForImageTextToText

from medrl.cluster.model_shape import layer_bytes, numbers, read_shape, shard, vision_layer_bytes

GATED, PLAIN = "Qwen/Qwen2.5-VL-3B-Instruct", "Qwen/Qwen3-VL-8B-Instruct"


@pytest.mark.parametrize("path", PUBLISHED)
def test_parameter_counts_are_the_published_ones(path):
    shape = read_shape(CONFIGS[path]())
    assert numbers((*shape.language, *shape.vision)) == PUBLISHED[path]
    assert 0.04 < numbers(shape.vision) / PUBLISHED[path] < 0.31
    inside = sum(unit.parameters for unit in shape.units)
    assert inside + shape.root == PUBLISHED[path]  # every parameter is gathered with exactly one unit


def test_the_fullest_shard_is_rounded_up():
    assert shard([(3420, 1280)], 8) == 428 * 1280 and shard([(3,)], 16) == 1


def saved_bytes(run, parameters):
    """Bytes of the distinct tensors autograd keeps while `run` goes forward, parameters left out."""
    kept = {}
    known = {value.untyped_storage().data_ptr() for value in parameters}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # the tensor is held, lest its address be used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("path", [GATED, PLAIN])
def test_activations_of_a_layer_are_what_autograd_keeps(path):
    config = CONFIGS[path]()
    text, vision = config.text_config, config.vision_config
    text.hidden_size, text.intermediate_size, text.vocab_size, text.num_hidden_layers = 512, 1536, 64, 1
    text.num_attention_heads = text.num_key_value_heads = 4
    vision.depth, vision.out_hidden_size, vision.deepstack_visual_indexes = 1, 512, [0]
    model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    shape, tokens = read_shape(config), 64
    layer, block = model.model.language_model.layers[0], model.model.visual.blocks[0]
    states = torch.randn(1, tokens, 512, dtype=torch.bfloat16, requires_grad=True)
    turned = tuple(torch.randn(1, tokens, 128, dtype=torch.bfloat16) for _ in range(2))
    if path == GATED:
        turned = tuple(one.expand(3, 1, tokens, 128) for one in turned)
    patches = torch.randn(tokens, shape.vision_hidden, dtype=torch.bfloat16, requires_grad=True)
    edges = torch.tensor([0, tokens], dtype=torch.int32)
    angles = tuple(torch.randn(tokens, shape.vision_hidden // vision.num_heads) for _ in range(2))
    kept = saved_bytes(lambda: layer(states, position_embeddings=turned), model.parameters()) / tokens
    kept_block = saved_bytes(lambda: block(patches, edges, position_embeddings=angles), model.parameters()) / tokens
    assert 0.97 <= layer_bytes(shape, 2) / kept < 1.03  # the formula leaves out what does not grow with the widths
    # Qwen3's LayerNorms keep float32 under CUDA's autocast, and do not here
    assert 1.0 <= vision_layer_bytes(shape, 2) / kept_block < (1.05 if path == GATED else 1.5)
