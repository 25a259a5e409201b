"""The recipes for GPUs: they parse, divide and fit 80 GB by the estimate, and so does every variant their head names."""

import re
from pathlib import Path

import pytest
from model_configs import CONFIGS, recipe_of

from medrl.cluster.layout import layout_faults
from medrl.cluster.memory import CONTEXTS, GIB, estimate, faults
from medrl.data.source import find_adapter
from medrl.dialogue.prompts import load_style
from medrl.plugin import check_call
from medrl.recipe_file import load_recipe
from medrl.scoring.loaded import load_rewards
from medrl.vision.resize import family_of

FOLDER = Path(__file__).resolve().parent.parent / "recipes" / "gpu"
RECIPES = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}
GPU_80 = 80 * 10**9
LAYOUTS = {
    "qwen2_vl_2b": (1, 1), "qwen2_5_vl_3b": (1, 8), "qwen2_5_vl_7b": (2, 8), "qwen3_vl_8b": (1, 8), "lingshu_7b": (1, 8),
}  # fmt: skip
WANTED = ("LoRA", "frozen vision tower", "offload", "long context")


def head_of(path):
    lines = path.read_text().splitlines()
    return [
        line.removeprefix("#").strip() for line in lines[: next(i for i, line in enumerate(lines) if line[0] != "#")]
    ]


def variants_of(path):
    """Name of a variant to its overrides, as the head writes them: `name: a.b=c … | name: …`."""
    parts = [part.strip().partition(": ") for line in head_of(path) for part in line.split("|") if "=" in part]
    return {name: text.split() for name, _, text in parts if not name.startswith("medrl")}


def plan_of(path, overrides=()):
    recipe = load_recipe(path, ["data.root=/data", *overrides])
    config = CONFIGS[recipe.model.path]()
    return recipe, config, estimate(recipe, config, recipe.sampling.max_prompt_tokens)


CASES = [(name, variant) for name, path in RECIPES.items() for variant in ("as it stands", *variants_of(path))]


def test_there_is_one_for_every_size_of_machine():
    assert {name: _layout(path) for name, path in RECIPES.items()} == LAYOUTS


def _layout(path):
    engine = plan_of(path)[0].engine
    return engine.nodes, engine.gpus_per_node


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_it_parses_divides_and_fits(name, variant):
    recipe, config, plan = plan_of(RECIPES[name], variants_of(RECIPES[name]).get(variant, []))
    assert recipe.engine.name == "verl"
    assert layout_faults(recipe, config) == []
    assert faults(plan, GPU_80) == []
    assert plan.sequences(GPU_80) >= 8


@pytest.mark.parametrize("name", RECIPES)
def test_its_head_says_what_where_how_and_what_the_estimate_is(name):
    path = RECIPES[name]
    head, plan = head_of(path), plan_of(path)[2]
    assert 3 <= len(head) <= 6 and tuple(variants_of(path)) == WANTED
    assert f"medrl train recipes/gpu/{name}.yaml data.root=" in head[1]
    said = re.search(
        r"Never run: no GPU was at hand\. By the memory estimate the update needs (\d+) GiB per GPU", head[2]
    )
    assert said and int(said[1]) == round((sum(plan.update.values()) + CONTEXTS) / GIB)


@pytest.mark.parametrize("name", RECIPES)
def test_its_adapter_rewards_style_and_model_family_exist(name):
    recipe, config, _ = plan_of(RECIPES[name])
    check_call(find_adapter(recipe.data.adapter), ("root", "split"), recipe.data.options)
    load_rewards(recipe.rewards, FOLDER)
    load_style(recipe.prompt.style)
    family = family_of(config.model_type)
    most = recipe.model.max_pixels // family.factor**2  # tokens of the largest picture
    assert most + 100 <= recipe.sampling.max_prompt_tokens


@pytest.mark.cluster
@pytest.mark.parametrize("name", RECIPES)
def test_verl_takes_its_settings(name):
    from medrl.cluster.settings import Machine, compose, overrides, refused

    recipe, _, plan = plan_of(RECIPES[name])
    assert refused(recipe) == []
    composed = compose(overrides(recipe, Machine("cuda", 64, flash_attention=False), recipe.model.path))
    actor = composed.actor_rollout_ref.actor
    assert actor.ppo_micro_batch_size_per_gpu == plan.micro_batch
    # what the estimate takes from verl's own defaults
    assert actor.fsdp_config.model_dtype == composed.actor_rollout_ref.ref.fsdp_config.model_dtype == "fp32"
    assert actor.strategy == "fsdp2" and actor.fsdp_config.reshard_after_forward
    assert composed.actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes == 2048
    assert (
        composed.trainer.nnodes * composed.trainer.n_gpus_per_node == recipe.engine.nodes * recipe.engine.gpus_per_node
    )


def test_a_variant_that_does_not_fit_would_be_noticed():
    recipe = recipe_of("Qwen/Qwen2.5-VL-7B-Instruct", engine__gpus_per_node=1)
    assert faults(estimate(recipe, CONFIGS[recipe.model.path](), 2048), GPU_80)
