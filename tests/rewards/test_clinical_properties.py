"""What holds for every clinical reward that runs offline: no reply breaks it, its range is kept, a flood costs little."""

import asyncio
import inspect
import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrl.plugin import load_plugin

NAMES = ("symbolic", "hierarchy", "concepts", "report", "judge")
PIECES = [
    "no ", "effusion", "pneumonia", "blasts", "normal", "adequate", ", ", ". ", ": ", "or ", "\n", "<answer>", "</answer>",
    "<think>", "</think>", "{", "}", "[", "]", '"', "true", "null", "\\boxed{", "```", "\u200b", "\ud800", "\x00", "ﬀ", "é" * 3,
    "9" * 400, "NaN",
]  # fmt: skip
FLOODS = [
    "no effusion ", "effusion not seen ", "effusion: no. ", '{"effusion": "no"}, ', "[", '{"a":', "n't ", ".", "effusion or ", "a",
]  # fmt: skip


def rewarding(name):
    """The reward on its own example row: reply -> entries."""
    function = load_plugin(f"rewards/{name}.py", "compute_score").target
    example = dict(function.__globals__["EXAMPLE"])

    def reward(reply):
        found = function("x", reply, example["ground_truth"], dict(example["extra_info"]), **example.get("kwargs", {}))
        return asyncio.run(found) if inspect.isawaitable(found) else found

    return reward, example


@pytest.mark.parametrize("name", NAMES)
def test_the_example(name):
    reward, example = rewarding(name)
    right, wrong = reward(example["right"]), reward(example["wrong"])
    assert right["score"] > wrong["score"] and right["answered"] == wrong["answered"] == 1.0
    assert reward(example["right"]) == right
    for silence in ("", "<think>pneumonia", "<answer> </answer>", "<think>x</think>"):
        assert reward(silence)["score"] == reward(silence)["answered"] == 0.0


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=40).map("".join)), st.booleans())
def test_no_reply_breaks_it_and_its_range_is_kept(name, text, tagged):
    found = rewarding(name)[0](f"<think>x</think><answer>{text}</answer>" if tagged else text)
    assert all(isinstance(value, float) and math.isfinite(value) and 0 <= value <= 1 for value in found.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_flood_costs_little(name):
    """150,000 characters take 10 to 25 ms of a free core; a search that is quadratic would take minutes."""
    reward, example = rewarding(name)
    if name == "judge":
        example["kwargs"] = {"replay": True, "on_failure": "zero"}  # its own cost, without its rule's
    for flood in FLOODS:
        reply = f"<answer>{flood * (150_000 // len(flood))}</answer>"
        start = time.process_time()
        reward(reply)
        assert time.process_time() - start < 0.2, flood
