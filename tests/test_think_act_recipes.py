"""Recipes in which the model acts: they fit the GPUs they name, and an episode in their format earns what was published."""

from pathlib import Path

import pytest
from makers import tiny
from model_configs import CONFIGS
from playing import call, detail, making, play

from medrl.cluster.layout import layout_faults
from medrl.cluster.memory import estimate, faults
from medrl.data.source import find_adapter
from medrl.dialogue.prompts import load_style
from medrl.plugin import check_call
from medrl.recipe_file import load_recipe
from medrl.rollout.interaction import load_interaction
from medrl.scoring.loaded import load_rewards
from medrl.scoring.rewards import score_rollouts

FOLDER = Path(__file__).resolve().parent.parent / "recipes"
GPU_80 = 80 * 10**9
SAMPLE = next(one for one in (detail(number) for number in range(20)) if one.ground_truth == "A")
ANSWER = "<think>rows</think><answer>A</answer>"
MARK = '{"thought": "upper left", "actions": [{"name": "mark", "arguments": {"bbox_2d": [28, 28, 56, 56]}}]}'
LETTER = '{"thought": "rows", "actions": [{"name": "Terminate", "arguments": {"ans": "A"}}]}'
ZOOM = call((28, 28, 56, 56), name="image_zoom_in_tool")
GROUND = '<think>there</think><grounding>{"bbox_2d": [28, 28, 56, 56], "source": "original_image"}</grounding>'
# a right answer after one confirmed look, and what it earns: methods.md; Pixel-Reasoner with one attempt in a group, all of
# which looked, so there is no bonus
EPISODES = {
    "vitar": ([MARK, LETTER], 1.4),
    "deepeyes": ([ZOOM, ANSWER], 2.2),
    "pixel_reasoner": ([ZOOM, ANSWER], 1.0),
    "mini_o3": ([GROUND, ANSWER], 1.0),
}


@pytest.fixture(scope="module")
def made():
    return making(tiny())


def recipe_of(name):
    return load_recipe(FOLDER / f"{name}.yaml", ["data.root=/data"])


@pytest.mark.parametrize("name", EPISODES)
def test_it_divides_and_fits(name):
    recipe = recipe_of(name)
    config = CONFIGS[recipe.model.path]()
    plan = estimate(recipe, config, recipe.sampling.max_prompt_tokens)
    assert recipe.engine.name == "verl" and layout_faults(recipe, config) == [] and faults(plan, GPU_80) == []
    assert plan.sequences(GPU_80) >= 8


@pytest.mark.parametrize("name", EPISODES)
def test_its_adapter_exists_and_its_prompt_shows_the_tools(name):
    recipe = recipe_of(name)
    check_call(find_adapter(recipe.data.adapter), ("root", "split"), recipe.data.options)
    interaction = load_interaction(recipe.env)
    style = load_style(recipe.prompt.style, FOLDER, interaction.tools)
    shown = style.messages(SAMPLE)[-1]["content"]
    assert "bbox_2d" in shown and SAMPLE.messages[-1]["content"] in shown
    assert recipe.env.max_images >= recipe.env.max_turns, "each turn but the last may bring a picture"


@pytest.mark.parametrize(("name", "episode"), EPISODES.items())
def test_a_right_answer_after_a_confirmed_look_earns_what_was_published(made, name, episode):
    recipe, (replies, total) = recipe_of(name), episode
    played = play(made, replies, load_interaction(recipe.env), SAMPLE)
    assert [turn.confirmed is not None for turn in played.turns] == [True, False], played.turns[0].fault
    score_rollouts([played], load_rewards(recipe.rewards, FOLDER))
    assert not played.missing and played.reward == pytest.approx(total)
