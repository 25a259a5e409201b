"""The quick way through lists of numbers reads what the slow one reads, and is quick."""

import json
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from medrl.dialogue import answer_json
from medrl.dialogue.answer_json import JsonFault, parse_json
from medrl.dialogue.answers import read_boxes, read_points

piece = st.sampled_from(
    ["[", "]", "[", "]", ",", ", ", " ", "\n", "\v", "(", ")", "-", "0", "7", "12", ".5", "3.0", "1e3", "007", "x"]
)


def _read(text: str) -> object:
    try:
        return repr(parse_json(text))  # repr: 1 and 1.0 are equal but not alike
    except JsonFault:
        return None


@given(st.lists(piece, max_size=24).map("".join) | st.recursive(st.integers() | st.floats(), st.lists).map(json.dumps))
@example("[007]")
@example("[[1, 2,], [3]]")
@example("[-0, 1.50]")
@example("[1234567890123456, 0.1]")
def test_numbers_are_read_alike_at_once_and_one_by_one(text):
    at_once = _read(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answer_json, "_PLAIN_LISTS", re.compile("(?!)"))
        assert _read(text) == at_once


@pytest.mark.parametrize("depth", [63, 64, 65, 66])
def test_nesting_stays_bounded(depth):
    assert (_read("[" * depth + "1" + "]" * depth) is not None) == (depth <= answer_json.MAX_DEPTH)


@pytest.mark.parametrize("count", [500, 501, 10_000])
@pytest.mark.parametrize(
    "style", ["[[1, 2, 30, 40], [1, 2, 30, 40]]", "[1, 2, 30, 40]", "(1 2 30 40)", "[1, 2, 30, 40,]"]
)
def test_thousands_of_boxes_cost_milliseconds(count, style):
    inner = style.removeprefix("[[").split("], [")[0].strip("[]()")
    one = f"({inner})" if style[0] == "(" else f"[{inner}]"
    text = "[" + ",".join([one] * count) + "]" if style.startswith("[[") else one * count
    started = time.process_time()
    found = read_boxes(f"<answer>{text}</answer>")
    seconds = time.process_time() - started
    assert (found is not None) == (count <= 500)
    assert seconds < 0.25  # 50 ms on an idle core
    assert read_points(f"<answer>{text}</answer>") is None


def test_a_region_of_thousands_of_brackets_is_not_searched_for_a_box():
    notes = [[]] * 1990
    assert read_boxes(json.dumps({"bbox_2d": [1, 2, 3, 4], "notes": notes})) == [(1, 2, 3, 4)]
    assert read_boxes(json.dumps({"bbox_2d": [1, 2, 3, 4], "notes": notes + [[]] * 10})) is None
