"""The ablations in recipes/sweeps: every point is a recipe that could start, and each has a version for two cores."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from model_configs import CONFIGS

from medrl.cluster.layout import layout_faults
from medrl.cluster.memory import estimate, faults
from medrl.data.of_recipe import load_split
from medrl.dialogue.prompts import load_style
from medrl.learning.estimator import load_estimator
from medrl.recipe_file import raw_recipe
from medrl.rollout.interaction import load_interaction
from medrl.scoring.loaded import load_rewards
from medrl.sweep.plan import plan_sweep

FOLDER = Path(__file__).resolve().parent.parent / "recipes" / "sweeps"
FULL = ("uadt", "reward_weights", "turns", "group_size")
GPU_80 = 80 * 10**9


@cache
def recipes_of(name):
    """(the `sweep:` block, the recipe of each point), as `medrl sweep` plans them."""
    path = FOLDER / f"{name}.yaml"
    plan, (_, block) = plan_sweep(path, ["data.root=/data"]), raw_recipe(path)
    assert not plan.notes, "a condition that matches nothing is a slip"
    first = {run.point: plan.recipes[run.name] for run in reversed(plan.sweep.runs)}
    return block, list(first.values())[::-1]


def every(recipes, value):
    return {value(recipe) for recipe in recipes}


def test_each_ablation_has_a_version_for_two_cores():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {*FULL, *(f"cpu_{name}" for name in FULL)}


@pytest.mark.parametrize("name", [prefix + name for name in FULL for prefix in ("", "cpu_")])
def test_every_point_has_parts_that_exist_and_there_are_seeds(name):
    block, recipes = recipes_of(name)
    assert len(block["seeds"]) >= 2 and len(recipes) >= 3
    for recipe in recipes:
        load_estimator(recipe.algorithm, FOLDER)
        load_rewards(recipe.rewards, FOLDER)
        interaction = load_interaction(recipe.env, FOLDER)
        load_style(recipe.prompt.style, FOLDER, interaction.tools if interaction else ())
        reward = block.get("metric", "val/reward").removeprefix("val/reward").split("/")
        assert reward == [""] or (reward[1] in recipe.rewards and reward[2] == "score")


@pytest.mark.parametrize("name", FULL)
def test_a_full_size_point_divides_and_fits_its_gpus(name):
    sizes = {(one.algorithm.group_size, one.training.prompts_per_step, one.env.use): one for one in recipes_of(name)[1]}
    for recipe in sizes.values():
        config = CONFIGS[recipe.model.path]()
        assert layout_faults(recipe, config) == []
        assert faults(estimate(recipe, config, recipe.sampling.max_prompt_tokens), GPU_80) == []


@pytest.mark.parametrize("name", FULL)
def test_a_two_core_point_runs_here_on_one_thread_with_data_of_its_own(name):
    for recipe in recipes_of(f"cpu_{name}")[1]:
        assert (recipe.engine.name, recipe.engine.threads, recipe.model.path) == ("local", 1, "tiny")
        small = replace(recipe, data=replace(recipe.data, train_options={"n": 2}))
        assert len(load_split(small, "train").samples) == 2


def test_the_ablations_vary_what_they_are_named_for():
    given = [recipe.algorithm.kwargs for recipe in recipes_of("uadt")[1] if recipe.algorithm.advantage == "uadt"]
    shapes = [(one.get("form", "multiplicative")[:3], one["gamma"], one["lambda"]) for one in given]
    steady = [("mul", 0.9, value) for value in (0, 0.25, 0.5, 0.9)]
    slow = [("mul", 0.99, value) for value in (0.5, 0.9)]
    assert sorted(shapes) == sorted([*steady, *slow, ("add", 0.9, 0.5)])
    assert every(recipes_of("uadt")[1], lambda recipe: recipe.algorithm.advantage) == {"grpo", "entropy_bonus", "uadt"}
    block, recipes = recipes_of("cpu_uadt")
    assert every(recipes, lambda recipe: recipe.algorithm.kwargs["lambda"]) == {0, 0.5, 0.9}
    assert block["seeds"] == list(range(3))
    for name in ("turns", "cpu_turns"):
        turns = [recipe.env.use and recipe.env.max_turns for recipe in recipes_of(name)[1]]
        assert turns[:3] == [None, 2, 3], "without the tool, and how often with it"
    for name in ("group_size", "cpu_group_size"):
        recipes = recipes_of(name)[1]
        assert [recipe.algorithm.group_size for recipe in recipes] == [4, 8, 16]
        assert len(every(recipes, lambda recipe: recipe.algorithm.group_size * recipe.training.prompts_per_step)) == 1
        assert len(every(recipes, lambda recipe: recipe.training.steps)) == 1
    for name in ("reward_weights", "cpu_reward_weights"):
        weights = every(
            recipes_of(name)[1], lambda recipe: tuple(recipe.rewards[key].weight for key in ("answer", "format"))
        )
        assert {(1.0, 0.0), (1.0, 0.1), (1.0, 1.0), (0.0, 1.0)} <= weights
