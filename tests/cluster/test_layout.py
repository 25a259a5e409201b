"""Numbers that do not divide are told in our keys, before verl or vLLM stops at them."""

import pytest
from model_configs import CONFIGS, recipe_of

from medrl.cluster.layout import layout_faults, micro_batch

SMALL, LARGE = "Qwen/Qwen2.5-VL-3B-Instruct", "Qwen/Qwen2.5-VL-7B-Instruct"
NEWEST = "Qwen/Qwen3-VL-8B-Instruct"


@pytest.mark.parametrize(
    ("path", "changes", "told"),
    [
        (NEWEST, {"engine__tensor_parallel": 2, "engine__gpus_per_node": 1}, "does not divide engine.gpus_per_node=1"),
        (LARGE, {"engine__tensor_parallel": 8}, "cannot cut this model's 28 attention heads, 3420 numbers in a vision MLP"),
        (LARGE, {"engine__gpus_per_node": 7, "engine__tensor_parallel": 7, "training__prompts_per_step": 7},
         "16 vision heads"),
        (LARGE, {"engine__sequence_parallel": 8}, "engine.sequence_parallel=8 does not divide this model's 28 attention"),
        (NEWEST, {"engine__sequence_parallel": 16}, "does not divide the 8 GPUs"),
        (SMALL, {"training__prompts_per_step": 3, "algorithm__group_size": 6}, "18 rollouts, which 8 GPUs"),
        (SMALL, {"training__prompts_per_step": 8, "algorithm__group_size": 3, "training__minibatches": 2}, "12 rollouts an update"),
        (SMALL, {"training__micro_batch_size": 24}, "does not divide the 32 rollouts a GPU has in an update. Set it to 16"),
        (SMALL, {"sampling__max_prompt_tokens": 130000}, "but the model reads at most 128000"),
        (SMALL, {"engine__vllm_memory": 1.5}, "expected a share above 0 and below 1"),
        (SMALL, {"model__lora_rank": 1024}, "up to rank 512"),
        (SMALL, {"engine__nodes": 0}, "engine.nodes=0: expected at least 1"),
    ],
)  # fmt: skip
def test_numbers_that_do_not_divide_are_told_in_our_keys(path, changes, told):
    (fault,) = layout_faults(recipe_of(path, **changes), CONFIGS[path]())
    assert told in fault


@pytest.mark.parametrize("path", CONFIGS)
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_common_layouts_have_no_fault(path, parts):
    assert layout_faults(recipe_of(path, engine__tensor_parallel=parts), CONFIGS[path]()) == []


def test_a_micro_batch_never_exceeds_a_gpus_share_of_an_update():
    # 32 x 8 rollouts in 4 updates over 8 GPUs: verl asserts that 8 divides by the micro-batch
    assert micro_batch(recipe_of(training__minibatches=4, training__micro_batch_size=256)) == 8
    assert micro_batch(recipe_of(training__micro_batch_size=256, engine__sequence_parallel=2)) == 64
