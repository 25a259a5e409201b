"""Configs of published models from their literal sizes (each model's config.json), so that nothing is downloaded.

`PUBLISHED` is the number of parameters in the safetensors index of each, as the Hugging Face hub shows it.
"""

import copy

from makers import RECIPE
from transformers import Qwen2_5_VLConfig, Qwen2VLConfig, Qwen3VLConfig

from medrl.recipe import Recipe, recipe_from


def _config(kind, section, tied, text, vision):
    rope = {"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": section}
    text = {**text, "rope_parameters": rope, "tie_word_embeddings": tied}
    return kind(text_config=text, vision_config=vision, tie_word_embeddings=tied)


def _text(vocabulary, hidden, intermediate, layers, heads, kv_heads, window, **more):
    return {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": window,
        **more,
    }


PATCHES = {"spatial_merge_size": 2, "temporal_patch_size": 2}


def _qwen2_vision(out):
    return {
        "depth": 32,
        "embed_dim": 1280,
        "hidden_size": out,
        "mlp_ratio": 4,
        "num_heads": 16,
        "patch_size": 14,
        **PATCHES,
    }


def _qwen2_5_vision(out):
    windows = {"window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31]}
    sizes = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "patch_size": 14}
    return {**sizes, "out_hidden_size": out, **windows, **PATCHES}


def _qwen3_vision(depth, hidden, intermediate, out, deepstack):
    sizes = {
        "depth": depth,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_heads": 16,
        "patch_size": 16,
    }
    more = {"num_position_embeddings": 2304, "deepstack_visual_indexes": deepstack}
    return {**sizes, "out_hidden_size": out, **more, **PATCHES}


OLD, NEW = [16, 24, 24], [24, 20, 20]  # the sections of the rotary positions
CONFIGS = {
    "Qwen/Qwen2-VL-2B-Instruct": lambda: _config(
        Qwen2VLConfig, OLD, True, _text(151936, 1536, 8960, 28, 12, 2, 32768), _qwen2_vision(1536)
    ),
    "Qwen/Qwen2.5-VL-3B-Instruct": lambda: _config(
        Qwen2_5_VLConfig, OLD, True, _text(151936, 2048, 11008, 36, 16, 2, 128000), _qwen2_5_vision(2048)
    ),
    "Qwen/Qwen2.5-VL-7B-Instruct": lambda: _config(
        Qwen2_5_VLConfig, OLD, False, _text(152064, 3584, 18944, 28, 28, 4, 128000), _qwen2_5_vision(3584)
    ),
    "Qwen/Qwen3-VL-4B-Instruct": lambda: _config(
        Qwen3VLConfig,
        NEW,
        True,
        _text(151936, 2560, 9728, 36, 32, 8, 262144, head_dim=128),
        _qwen3_vision(24, 1024, 4096, 2560, [5, 11, 17]),
    ),
    "Qwen/Qwen3-VL-8B-Instruct": lambda: _config(
        Qwen3VLConfig,
        NEW,
        False,
        _text(151936, 4096, 12288, 36, 32, 8, 262144, head_dim=128),
        _qwen3_vision(27, 1152, 4304, 4096, [8, 16, 24]),
    ),
}
CONFIGS["lingshu-medical-mllm/Lingshu-7B"] = CONFIGS["Qwen/Qwen2.5-VL-7B-Instruct"]  # fine-tuned from it
PUBLISHED = {
    "Qwen/Qwen2-VL-2B-Instruct": 2_208_985_600,
    "Qwen/Qwen2.5-VL-3B-Instruct": 3_754_622_976,
    "Qwen/Qwen2.5-VL-7B-Instruct": 8_292_166_656,
    "Qwen/Qwen3-VL-4B-Instruct": 4_437_815_808,
    "Qwen/Qwen3-VL-8B-Instruct": 8_767_123_696,
}


def recipe_of(path="tiny", **changes) -> Recipe:
    """A recipe for engine verl; keys with two underscores for the dot."""
    given = copy.deepcopy(RECIPE)
    given["model"] = {"path": path, "gradient_checkpointing": True}
    given["engine"] = {"name": "verl", "gpus_per_node": 8}
    given["training"] = {"steps": 1, "prompts_per_step": 32, "micro_batch_size": 4}
    given["sampling"] = {"max_new_tokens": 512, "max_prompt_tokens": 1024}
    given["algorithm"] = {"group_size": 8}
    for key, value in changes.items():
        section, _, name = key.partition("__")
        given.setdefault(section, {})[name] = value
    return recipe_from(given, "some.yaml", "some")
