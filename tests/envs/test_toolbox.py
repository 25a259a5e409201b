"""Several environments as one: each answers its own tools, on the pictures of all."""

import pickle
from functools import partial

import numpy as np
import pytest
from PIL import Image
from scenes import Playing, encoded, sample_of

from medrl.errors import MedrlError
from medrl.plugin import load_plugin
from medrl.recipe import recipe_from
from medrl.rollout.check_env import check_env
from medrl.rollout.interaction import load_interaction

ToolboxEnv = load_plugin("envs/toolbox.py:ToolboxEnv", "Env").target
ENVS = [
    {"use": "envs/zoom.py:ZoomEnv", "kwargs": {"name": "zoom"}}, {"use": "envs/mark.py:MarkEnv"},
    {"use": "envs/view.py:ViewEnv", "kwargs": {"tools": ["rotate"]}}, {"use": "envs/measure.py:MeasureEnv"},
]  # fmt: skip


def test_what_one_shows_another_works_on():
    pixels = np.random.default_rng(0).integers(0, 200, (100, 120, 3), dtype=np.uint8)
    playing = Playing(ToolboxEnv(ENVS), sample_of(encoded(Image.fromarray(pixels)), pixel_spacing_mm=[2, 1]))
    playing.act("zoom", bbox_2d=[20, 10, 60, 60])  # enlarged 4 times
    playing.act("rotate", angle=90)
    marked = playing.act("mark", bbox_2d=[0, 0, 100, 80])
    assert marked.shows_px_original == (20, 10, 60, 60) and marked.view.quarter_turns == 1
    assert marked.confirmed["box_px_original"] == [
        20,
        35,
        40,
        60,
    ]  # the lower left of the crop is upper left after the turn
    assert playing.act("measure", start=[0, 0], end=[100, 0], image=3).text == "50.00 mm"  # 25 pixels down


def test_it_is_read_from_a_recipe_and_keeps_its_promises(tmp_path):
    from makers import RECIPE

    given = {
        **RECIPE,
        "runs_dir": str(tmp_path),
        "env": {"use": "envs/toolbox.py:ToolboxEnv", "kwargs": {"envs": ENVS}},
    }
    interaction = load_interaction(recipe_from(given, "tests", "test").env)
    assert [tool["function"]["name"] for tool in interaction.tools] == ["zoom", "mark", "rotate", "measure"]
    assert check_env(interaction.make_env).faults == []
    pickle.loads(pickle.dumps(interaction.make_env))()


@pytest.mark.parametrize(
    "envs, told",
    [
        ([*ENVS, ENVS[0]], "two tools have one name"),
        ([{"use": "envs/zoom.py:ZoomEnv", "kwargs": {"enlage": 2}}], "cannot be called"),
        ([{"use": "envs/none.py:None"}], "no such file"),
    ],
)
def test_what_cannot_be_put_together_is_told(envs, told):
    with pytest.raises(MedrlError, match=told):
        partial(ToolboxEnv, envs)()
