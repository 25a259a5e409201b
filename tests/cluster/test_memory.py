"""The memory estimate: sizes against the published ones, sums against worked arithmetic and against what torch allocates."""

import copy

import pytest
import torch
from model_configs import CONFIGS, PUBLISHED, recipe_of
from torch.distributed._tools.mem_tracker import MemTracker

from medrl.cluster.layout import layout_faults
from medrl.cluster.memory import BLOCK, CONTEXTS, GIB, VLLM_WORKING, estimate, faults
from medrl.cluster.memory_parts import logit_bytes
from medrl.cluster.model_shape import read_shape
from medrl.learning.tiny import build_tiny
from medrl.learning.update import adamw
from medrl.recipe import Optimizer

GPU_80, GPU_24 = 80 * 10**9, 24 * 2**30
SMALL = "Qwen/Qwen2.5-VL-3B-Instruct"
LARGE = "Qwen/Qwen2.5-VL-7B-Instruct"
NEWEST = "Qwen/Qwen3-VL-8B-Instruct"


def plan_of(path=SMALL, longest_prompt=1024, **changes):
    return estimate(recipe_of(path, **changes), CONFIGS[path](), longest_prompt)


def total(plan):
    return sum(plan.update.values())


def test_one_case_worked_by_hand():
    # Qwen3-VL-8B on 8 GPUs: every first dimension divides by 8, so a shard is an eighth
    plan = plan_of(NEWEST, 1000, training__micro_batch_size=1, sampling__max_new_tokens=500)
    eighth = 8_767_123_696 // 8
    # in no unit: the patches' projection, four mergers with their norms (the three for the deep stack have wider ones) and
    # the last norm. Twice the largest unit: a table
    merger = 4608 * 4608 + 4608 + 4608 * 4096 + 4096
    root = (1536 * 1152 + 1152) + (2 * 1152 + merger) + 3 * (2 * 4608 + merger) + 4096
    table = 151_936 * 4096
    tokens, patches = 1500, 4000
    assert plan.update == {
        "float32 weights": 4 * eighth,
        "Adam's moments": 8 * eighth,
        "gradients": 4 * eighth,
        "gathered weights": 2 * (root + 2 * table),
        # what goes into 36 layers, in bfloat16; the embedding, the last norm and its float32 copy; 27 vision blocks
        "activations": tokens * (36 * 2 * 4096 + 10 * 4096) + patches * 27 * 2 * 1152,
        "pictures": patches * 3 * 2 * 16 * 16 * (4 + 2),
        # above the logits, 151936 * (2*1500 + 4*500 + 12*500) = 1.67e9, and above a layer's backward pass
        "gradient of the embedding or the head": 2 * 151_936 * tokens + 6 * table,
    }
    assert plan.cache_per_token == 2 * 2 * 36 * 8 * 128
    assert plan.vllm_weights == 2 * 8_767_123_696
    assert plan.resident == {"float32 weights": 4 * eighth, "Adam's moments": 8 * eighth}
    assert plan.handover["bucket"] == 2 * GIB + 4 * table
    room = GPU_80 // 2 - plan.vllm_weights - VLLM_WORKING
    assert plan.cache(GPU_80) == room
    assert plan.sequences(GPU_80) == room // (plan.cache_per_token * 94 * BLOCK)  # 1500 tokens take 94 blocks


def test_a_token_of_the_cache_takes_what_vllm_gives_it():
    assert plan_of(LARGE).cache_per_token == 57344  # 28 layers, 4 heads, 128 wide, keys and values, bfloat16
    assert plan_of(LARGE, engine__tensor_parallel=4).cache_per_token == 57344 // 4
    assert plan_of(SMALL, engine__tensor_parallel=4).cache_per_token == plan_of(SMALL).cache_per_token // 2  # 2 heads


@pytest.mark.parametrize("lora_rank", [0, 8])
def test_weights_gradients_and_moments_are_what_torch_allocates(lora_rank):
    model = build_tiny(0)[0]
    recipe = recipe_of(model__lora_rank=lora_rank, engine__gpus_per_node=1)
    plan = estimate(recipe, model.config, 64)
    if lora_rank:
        from peft import LoraConfig, get_peft_model

        adapted = [name for name, _, _ in plan.shape.linear]
        model = get_peft_model(model, LoraConfig(r=lora_rank, target_modules=adapted))
    optimizer = adamw(model.parameters(), Optimizer())
    for value in model.parameters():
        value.grad = torch.zeros_like(value) if value.requires_grad else None
    optimizer.step()
    made = {
        "float32 weights": list(model.parameters()),
        "gradients": [value.grad for value in model.parameters() if value.grad is not None],
        "Adam's moments": [
            tensor for state in optimizer.state.values() for name, tensor in state.items() if name != "step"
        ],
    }
    for part, tensors in made.items():
        assert plan.update[part] == sum(tensor.nbytes for tensor in tensors), part


@pytest.mark.cluster
def test_logits_are_what_the_engine_of_the_update_allocates():
    from medrl.cluster.engine import MedrlEngine  # imports verl

    vocabulary, prompts, replies = 5000, 48, 32
    engine = object.__new__(MedrlEngine)
    engine.use_remove_padding, engine._forbidden = False, torch.tensor([3])
    rows = [torch.zeros(prompts + replies, dtype=torch.long) for _ in range(2)]
    nested = torch.nested.nested_tensor(rows, layout=torch.jagged)
    batch = {
        "input_ids": nested,
        "prompts": torch.nested.nested_tensor([row[:prompts] for row in rows], layout=torch.jagged),
        "responses": torch.nested.nested_tensor([row[prompts:] for row in rows], layout=torch.jagged),
    }
    from tensordict import TensorDict

    given = {"temperature": torch.ones(2), "input_ids_rmpad_rolled": torch.cat(rows)}
    head = torch.nn.Linear(8, vocabulary, bias=False, dtype=torch.bfloat16)
    states = torch.zeros(2, prompts + replies, 8, dtype=torch.bfloat16, requires_grad=True)

    class Output:
        logits: torch.Tensor

    def forward():
        output = Output()
        output.logits = head(states)
        return engine.prepare_model_outputs(output, given, TensorDict(batch, batch_size=[2]), None)[
            "log_probs"
        ].values()

    tracker = MemTracker()
    tracker.track_external(head)
    with tracker:
        forward().sum().backward()
        peak = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]
    shape = copy.copy(read_shape(CONFIGS[SMALL]()))
    object.__setattr__(shape, "vocabulary", vocabulary)
    recipe = recipe_of(
        engine__gpus_per_node=1, training__micro_batch_size=2, sampling__max_new_tokens=replies, model__dtype="bfloat16"
    )
    assert 1.0 <= logit_bytes(recipe, shape, 2 * (prompts + replies)) / peak < 1.35


LESS = {
    "more GPUs": ({"engine__gpus_per_node": 4}, {"engine__gpus_per_node": 8}),
    "more nodes": ({}, {"engine__nodes": 2}),
    "an odd number more": ({"engine__gpus_per_node": 1}, {"engine__gpus_per_node": 7}),
    "LoRA": ({}, {"model__lora_rank": 64}),
    "a frozen vision tower": ({}, {"model__freeze_vision": True}),
    "checkpointing": ({"model__gradient_checkpointing": False}, {"model__gradient_checkpointing": True}),
    "smaller micro-batches": ({"training__micro_batch_size": 32}, {"training__micro_batch_size": 4}),
    "shorter replies": ({"sampling__max_new_tokens": 4096}, {"sampling__max_new_tokens": 512}),
    "shared sequences": ({"sampling__max_new_tokens": 16384}, {"sampling__max_new_tokens": 16384, "engine__sequence_parallel": 2}),
    "bfloat16": ({"model__dtype": "float32"}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", LESS)
def test_what_saves_memory_never_costs_any(name):
    before, after = (plan_of(LARGE, **changes) for changes in LESS[name])
    assert total(after) < total(before)
    assert sum(after.resident.values()) <= sum(before.resident.values())


def test_offload_frees_generation_and_not_the_update():
    before, after = plan_of(LARGE), plan_of(LARGE, engine__offload=True)
    assert after.resident == {} and after.update == before.update
    assert after.host["for what is offloaded"] == 8 * sum(before.resident.values())
    # tensor by tensor to vLLM; an adapter's base comes back whole
    assert after.handover.keys() == {"vLLM's weights", "bucket"}
    lora = plan_of(LARGE, engine__offload=True, model__lora_rank=8)
    assert lora.handover["float32 weights"] > 4 * PUBLISHED[LARGE] // 8


def test_shared_embeddings_make_every_process_load_the_model():
    assert plan_of(SMALL).host["while loading"] == 8 * 4 * PUBLISHED[SMALL]
    assert plan_of(LARGE).host["while loading"] == 4 * PUBLISHED[LARGE]


def test_packed_rows_have_three_copies_of_the_logits():
    recipe = recipe_of(engine__sequence_parallel=2)
    shape = read_shape(CONFIGS[SMALL]())
    assert logit_bytes(recipe, shape, 1000) == 3 * 2 * 1000 * 151_936


def test_handing_over_the_weights_may_be_what_does_not_fit():
    changes = {"model__lora_rank": 8, "engine__gpus_per_node": 2, "engine__offload": True, "engine__vllm_memory": 0.8}
    told = faults(plan_of(LARGE, training__micro_batch_size=1, **changes), 36 * GIB)
    assert told[0].startswith("handing new weights to vLLM needs 38.") and len(told) == 2


def test_the_reference_lives_in_host_memory():
    plan = plan_of(LARGE, algorithm__kl_coef=0.1)
    assert plan.update == plan_of(LARGE).update
    assert plan.host["for the reference"] == 4 * PUBLISHED[LARGE]
    assert "for the reference" not in plan_of(LARGE, algorithm__kl_coef=0.1, model__lora_rank=8).host  # the base is it


def test_full_training_of_7b_does_not_fit_one_small_gpu_and_the_error_helps():
    plan = plan_of(LARGE, engine__gpus_per_node=1, training__micro_batch_size=1)
    told = faults(plan, GPU_24)
    assert "the update needs 157.5 GiB on each GPU, which has 24.0 GiB: 61.8 GiB Adam's moments, 30.9" in told[0]
    assert "At once (training.micro_batch_size) it works on 1 x (1024 + 512) tokens" in told[0]
    assert any(
        "engine.vllm_memory=0.5 gives vLLM 12.0 GiB of 24.0 GiB, but training keeps 92.7 GiB" in one for one in told
    )
    assert any("leaves vLLM 0.0 GiB for keys and values beside 15.4 GiB of weights" in one for one in told)
    assert told[-1].startswith("By this estimate it fits with engine.nodes=2 engine.gpus_per_node=8")
    assert "model.max_pixels" in told[-1]


def test_lora_of_7b_fits_one_large_gpu():
    assert faults(plan_of(LARGE, engine__gpus_per_node=1, model__lora_rank=64), GPU_80) == []


def test_an_unknown_gpu_is_no_fault():
    assert faults(plan_of(LARGE, engine__gpus_per_node=1), None) == []


@pytest.mark.parametrize(
    ("changes", "way"),
    [
        ({"training__micro_batch_size": 128}, "training.micro_batch_size=32"),
        ({"engine__vllm_memory": 0.95}, "engine.vllm_memory=0.6"),
        ({"model__gradient_checkpointing": False, "training__micro_batch_size": 1, "sampling__max_new_tokens": 16384},
         "model.gradient_checkpointing=true"),
        ({"engine__gpus_per_node": 1, "model__freeze_vision": True}, "engine.vllm_memory=0.4"),
    ],
)  # fmt: skip
def test_the_way_out_changes_as_few_keys_as_it_can_and_is_one(changes, way):
    changes = {"training__prompts_per_step": 128, "engine__vllm_memory": 0.5, **changes}
    told = faults(plan_of(SMALL, **changes), GPU_80)
    first = told[-1].removeprefix("By this estimate it fits with ").split("; or with ")[0].split(". ")[0]
    assert first == way
    mended = {f"{key.replace('.', '__')}": _value(text) for key, text in (part.split("=") for part in first.split())}
    assert faults(plan_of(SMALL, **{**changes, **mended}), GPU_80) == []


def _value(text):
    return {"true": True}.get(text) or (float(text) if "." in text else int(text))


def test_the_table_names_every_part():
    plan = plan_of(LARGE, algorithm__kl_coef=0.1)
    table = "\n".join(plan.lines(GPU_80))
    assert "8.29 B parameters, 0.68 B of them vision, 8.29 B trained" in table
    assert "1 x 8 GPUs; the update has 4 x 1536 tokens on each" in table
    assert all(part in table for part in (*plan.update, *plan.handover, *plan.host))
    assert f"{plan.sequences(GPU_80)} such rollouts at once" in table
    assert not any("rollouts at once" in line for line in plan.lines())


def test_a_gpu_of_exactly_the_needed_size_fits():
    plan = plan_of(LARGE)
    needed = total(plan) + CONTEXTS
    assert not any("the update needs" in one for one in faults(plan, needed))
    assert any("the update needs" in one for one in faults(plan, needed - 1))


def test_the_tiny_model_has_a_plan_too():
    config = build_tiny(0)[0].config
    recipe = recipe_of(engine__gpus_per_node=1)
    assert layout_faults(recipe, config) == []
    assert faults(estimate(recipe, config, 100), GPU_24) == []
