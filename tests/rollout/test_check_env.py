"""The validator finds each promise that an environment breaks, and nothing in those that ship."""

import random
from functools import partial

import pytest

from medrl.plugin import load_plugin
from medrl.rollout.check_env import check_env
from medrl.rollout.env import ActionError, Observation

BOX = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}


def tool(name="look", **parameters):
    schema = {"type": "object", "properties": {"bbox_2d": BOX}, "required": ["bbox_2d"], **parameters}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


class Good:
    def __init__(self, tools=None):
        self.tools = [tool()] if tools is None else tools

    def reset(self, sample, scene):
        self.scene = scene

    def step(self, action):
        picture = self.scene.picture(0)
        box = self.scene.box_px(action.arguments.get("bbox_2d"), picture)
        return self.answer(picture, box)

    def answer(self, picture, box):
        return Observation(
            "here", (picture.image.crop(tuple(map(round, box))).resize((28, 28)),), confirmed={"box": box}
        )


class Raises(Good):
    def step(self, action):
        left, _, right, _ = action.arguments["bbox_2d"]
        return Observation(f"{right - left}")


class Gambles(Good):
    def answer(self, picture, box):
        return Observation(f"{random.random()}")


class Paints(Good):
    def answer(self, picture, box):
        picture.image.putpixel((0, 0), (1, 2, 3))
        return Observation("done")


class Refuses(Good):
    def answer(self, picture, box):
        raise ActionError("not today")


class Odd(Good):
    def answer(self, picture, box):
        return Observation("x", (picture.image.convert("L"),), confirmed={"box": object()})


class Strip(Good):
    def answer(self, picture, box):
        return Observation("a strip", (picture.image.crop((0, 0, 201, 1)),))


class Forgiving(Good):
    def step(self, action):
        return Observation("done")


class Plain(Good):
    def answer(self, picture, box):
        return "a text"


class Locked(Good):
    def __init__(self, tools=None, lock=None):
        super().__init__(tools)


@pytest.mark.parametrize(
    "make, fault",
    [
        (Raises, "raise ActionError with a text for the model instead"),
        (Gambles, "gave another answer the second time"),
        (Paints, "changed the sample's own picture"),
        (Refuses, "its own schema allows this, and it was refused: not today"),
        (Odd, "expected RGB pictures"),
        (Odd, "confirmed is not plain JSON"),
        (Strip, "longer than 200 times its width"),
        (Forgiving, "an argument that the schema requires is missing"),
        (Plain, "returned a str, expected an Observation"),
        (partial(Locked, lock=lambda: 0), "cannot be pickled"),
        (partial(Good, [{"name": "look"}]), 'expected {"type": "function"'),
        (partial(Good, [tool(type="array")]), 'not a JSON schema of type "object"'),
        (partial(Good, [tool(properties={"bbox_2d": {}})]), "no type for bbox_2d"),
        (partial(Good, [tool(required=["where"])]), "required but not described: where"),
        (partial(Good, [tool(), tool()]), "two tools are called 'look'"),
        (partial(Good, []), "not a list of JSON schemas"),
        (partial(Good, 3, 4), "cannot be made"),
    ],
)
def test_a_broken_promise_is_named(make, fault):
    assert any(fault in found for found in check_env(make).faults), check_env(make).faults


def test_an_error_without_a_text_teaches_nothing():
    class Silent(Good):
        def step(self, action):
            if not isinstance(action.arguments.get("bbox_2d"), list):
                raise ActionError("")
            return super().step(action)

    assert any("ActionError without a text" in found for found in check_env(Silent).faults)


@pytest.mark.parametrize(
    "reference",
    [f"envs/{one}" for one in ("zoom.py:ZoomEnv", "mark.py:MarkEnv", "view.py:ViewEnv", "measure.py:MeasureEnv")],
)
def test_what_ships_keeps_its_promises(reference):
    found = check_env(load_plugin(reference, "Env").target)
    assert not found.faults and found.actions > 20


def test_a_good_environment_passes():
    assert not check_env(Good).faults
