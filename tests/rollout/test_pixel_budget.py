"""What an episode may show: as many pictures as `env.max_images`, each at most `model.max_pixels`, all of them in tokens."""

from typing import ClassVar

import pytest
from makers import tiny
from PIL import Image
from playing import ANSWER, call, making, play, zooming

from medrl.rollout.env import Observation
from medrl.rollout.interaction import Interaction


@pytest.fixture(scope="module")
def made():
    return making(tiny())


def shown_px(played):
    """Pixels of every picture the environment showed, as the model was given it."""
    return [int(grid.prod()) * 14 * 14 for grid in played.whole_prompt.image_grid_thw[1:]]


@pytest.mark.parametrize("most", [2, 3, 5])
def test_enlarging_cannot_go_beyond_pictures_times_pixels(made, most):
    interaction = zooming(max_images=most, max_turns=9, kwargs={"name": "zoom", "enlarge": 50.0, "side_px": 900})
    played = play(made, [*[call((0, 0, 56, 56))] * 8, ANSWER], interaction, budget=5000)
    assert played.end_reason == "images" and len(shown_px(played)) == most - 1  # the question's own counts too
    assert max(shown_px(played)) <= made.max_pixels and sum(shown_px(played)) <= (most - 1) * made.max_pixels


class Thin:
    """Shows strips that no resize brings below max_pixels: a side is one token at least."""

    tools: ClassVar = [
        {"type": "function", "function": {"name": "zoom", "parameters": {"type": "object", "properties": {}}}}
    ]

    def reset(self, sample, scene): ...

    def step(self, action):
        return Observation("", (Image.new("RGB", (2000, 20)),))


@pytest.mark.parametrize("budget", [200, 600])
def test_strips_above_max_pixels_are_bounded_by_tokens(made, budget):
    interaction = Interaction(Thin, Thin.tools, "hermes", 50, 50)
    played = play(made, [*[call((0, 0, 9, 9))] * 40, ANSWER], interaction, budget=budget)
    assert played.end_reason == "length" and sum(shown_px(played)) <= budget * 28 * 28
    assert max(shown_px(played)) > made.max_pixels, "no picture was thin enough to test it"
