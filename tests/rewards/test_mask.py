"""The mask reward: Dice or IoU of pixels, nothing found is an answer, and hostile run lengths are only a wrong one."""

import json

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrl.plugin import load_plugin

compute_score = load_plugin("rewards/mask.py", "compute_score").target
RIGHT = [[[40, 60], [140, 60], [140, 160], [40, 160]]]
SIZE = {"image_size": [640, 480]}


def _graded(answer: object, right: object = RIGHT, extra: object = SIZE, **kwargs: object) -> dict[str, float]:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return compute_score("test", f"<answer>{text}</answer>", right, extra, **kwargs)


@pytest.mark.parametrize(
    ("answer", "dice", "iou"),
    [
        (RIGHT, 1.0, 1.0),
        ([40, 60, 140, 110], 2 / 3, 1 / 2),
        ({"bbox_2d": [40, 60, 140, 160]}, 1.0, 1.0),
        ([*RIGHT, *RIGHT, *RIGHT], 1.0, 1.0),  # the union: a repeat changes nothing
        ([[40, 60, 90, 160], [90, 60, 140, 160]], 1.0, 1.0),
        ([0, 0, 640, 480], 20000 / 317200, 10000 / 307200),
        ([[40, 60], [140, 60], [40, 160]], 2 * 4950 / 14950, 0.495),  # half of it, less half the diagonal
        ([140, 160, 40, 60], 0.0, 0.0),
        ([-90, -90, -10, -10], 0.0, 0.0),
        ([], 0.0, 0.0),
        ("```json\n[40, 60, 140, 160]\n```", 1.0, 1.0),
        ('{"polygon": [[40, 60], [140, 60], [140, 160], [40, 160]]', 0.0, 0.0),  # a bracket missing
    ],
)
def test_scores(answer, dice, iou):
    assert _graded(answer)["score"] == pytest.approx(dice, abs=1e-12)
    assert _graded(answer, mode="iou")["score"] == pytest.approx(iou, abs=1e-12)


@pytest.mark.parametrize(
    ("answer", "right", "score", "answered", "empty"),
    [
        ("[]", [], 1.0, 1.0, 1.0),
        ("none", "[]", 1.0, 1.0, 1.0),
        ('{"size": [480, 640], "counts": [307200]}', [], 1.0, 1.0, 1.0),
        ("[]", {"size": [2, 2], "counts": [4]}, 1.0, 1.0, 1.0),
        ("[9, 9, 1, 1]", [], 0.0, 1.0, 0.0),
        ("none", RIGHT, 0.0, 1.0, 1.0),
        ("no lesion", [], 0.0, 0.0, 0.0),
        ("", [], 0.0, 0.0, 0.0),
    ],
)
def test_nothing_found_is_not_nothing_said(answer, right, score, answered, empty):
    assert _graded(answer, right) == {"score": score, "answered": answered, "empty": empty}


def test_run_lengths_on_both_sides():
    right = {"size": [4, 4], "counts": [4, 4, 8]}  # the second column
    assert _graded(right, right)["score"] == 1.0
    assert _graded({"size": [4, 4], "counts": "448"}, json.dumps(right))["score"] == 1.0
    assert _graded([160, 0, 320, 480], right)["score"] == 1.0  # in pixels of image_size
    assert _graded({"size": [5, 4], "counts": [4, 4, 12]}, right)["score"] == 0.0


@pytest.mark.parametrize(
    "counts",
    ['"' + "o" * 3000 + '"', '"' + "1" * 9000 + '"', "[1, 2", "[-5, 307205]", "[99999999999999999999]", '"\\u0000"', "1e999", "{}"],
)  # fmt: skip
def test_hostile_run_lengths_are_no_answer(counts):
    assert _graded(f'{{"size": [480, 640], "counts": {counts}}}') == {"score": 0.0, "answered": 0.0, "empty": 0.0}


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(-99, 700), min_size=4, max_size=4), max_size=4), st.sampled_from(["dice", "iou"]))
def test_the_score_is_a_fraction_whatever_the_order_and_the_repeats(boxes, mode):
    score = _graded(boxes, mode=mode)["score"]
    assert 0.0 <= score <= 1.0
    assert _graded(boxes[::-1] + boxes, mode=mode)["score"] == score


@settings(max_examples=50)
@given(st.text("[](){},:.0123456789-eEnaif \n\"'sizecount"))
def test_no_text_raises(text):
    for reply in (text, '{"size": [480, 640], "counts": "' + text + '"}', "[[" + text):
        assert 0.0 <= _graded(reply)["score"] <= 1.0


def test_the_row_may_hold_arrays():
    rings = [numpy.array(ring) for ring in RIGHT]
    assert _graded(RIGHT, numpy.array(rings))["score"] == _graded(RIGHT, tuple(map(tuple, RIGHT[0])))["score"] == 1.0


@pytest.mark.parametrize(
    "right",
    [
        None,
        "",
        "none",
        [[1, 2]],
        {"size": [2, 2], "counts": [3]},
        [9, 9, 1, 1],
        [-9, -9, -1, -1],
        {"image": "mask.png"},
    ],
)
def test_a_row_without_a_mask_is_an_error(right):
    with pytest.raises(ValueError, match="ground_truth is"):
        _graded([], right)


def test_other_settings_are_errors():
    with pytest.raises(ValueError, match="mode='giou'; expected one of dice, iou"):
        _graded([], mode="giou")
    with pytest.raises(ValueError, match="at most 16777216"):
        _graded([], extra={"image_size": [50_000, 50_000]})
