"""The boxes reward: F1 under one-to-one matching; a repeat costs, and "nothing" is an answer unlike no answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.plugin import load_plugin

compute_score = load_plugin("rewards/boxes.py", "compute_score").target
RIGHT = [[5, 5, 55, 45], [300, 200, 380, 260], [100, 20, 150, 90]]
SIZE = {"image_size": [400, 300]}

edge = st.integers(-20, 420)
some_boxes = st.lists(st.lists(edge, min_size=4, max_size=4), max_size=6)
sound_box = st.tuples(st.integers(0, 350), st.integers(0, 250), st.integers(1, 400), st.integers(1, 300)).map(
    lambda one: [one[0], one[1], min(400, one[0] + one[2]), min(300, one[1] + one[3])]
)
truths = st.lists(sound_box, max_size=6)
# apart from each other, so that no box can be right twice: then a repeat is never an honest second hit
corner = st.tuples(st.sampled_from([0, 100, 200, 300]), st.sampled_from([0, 100, 200]))
cells = st.lists(corner, min_size=1, max_size=6, unique=True).map(
    lambda found: [[x, y, x + 90, y + 80] for x, y in found]
)


def _graded(answer: object, right: object = RIGHT, **kwargs: object) -> dict[str, float]:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return compute_score("test", f"<answer>{text}</answer>", right, SIZE, **kwargs)


def _score(answer: object, right: object = RIGHT, **kwargs: object) -> float:
    return _graded(answer, right, **kwargs)["score"]


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        (RIGHT, 1.0),
        (RIGHT[:1], 2 / 4),
        ([*RIGHT, RIGHT[0]], 6 / 7),
        ([[0, 0, 400, 300]], 0.0),
        ([RIGHT[0], [380, 260, 300, 200]], 2 / 5),  # inverted
        ([[5, 5, 55, 25]], 2 / 4),  # exactly one half
        ([[5, 5, 55, 24]], 0.0),
        ([[-90, -90, 55, 45], [300, 200, 990, 990]], 2 / 5),  # clipped to the image: IoU 0.81 and 0.48
        ([], 0.0),
    ],
)
def test_scores(answer, score):
    assert _score(answer) == pytest.approx(score, abs=1e-12)


def test_each_truth_is_matched_once_and_as_many_as_possible():
    right = [[0, 0, 100, 100], [0, 0, 100, 60]]
    # the first fits both truths, the second only the first: greedy matching in the wrong order would find one pair
    assert _score([[0, 0, 100, 75], [0, 30, 100, 100]], right) == 1.0
    assert _score([[0, 30, 100, 100], [0, 0, 100, 75]], right) == 1.0


@pytest.mark.parametrize(
    ("answer", "right", "score", "answered", "empty"),
    [
        ("[]", [], 1.0, 1.0, 1.0),
        ("none", "[]", 1.0, 1.0, 1.0),
        ("[[1, 2, 30, 40]]", [], 0.0, 1.0, 0.0),
        ("none", RIGHT, 0.0, 1.0, 1.0),
        ("no instruments", [], 0.0, 0.0, 0.0),
        ("[[1, 2, 30, 40]", [], 0.0, 0.0, 0.0),
        ("", [], 0.0, 0.0, 0.0),
    ],
)
def test_nothing_found_is_not_nothing_said(answer, right, score, answered, empty):
    graded = _graded(answer, right)
    assert (graded["score"], graded["answered"], graded["empty"]) == (score, answered, empty)


@given(some_boxes, truths)
def test_the_score_is_a_fraction_and_does_not_depend_on_the_order(named, right):
    score = _score(named, right)
    assert 0.0 <= score <= 1.0
    assert _score(named[::-1], right) == score == _score(named, right[::-1])
    assert _score(right, right) == 1.0


@given(st.one_of(some_boxes.filter(len), cells), cells, st.data())
def test_a_right_box_more_never_costs_and_a_repeat_never_pays(named, right, data):
    score = _score(named, right)
    assert _score([*named, data.draw(st.sampled_from(named))], right) <= score
    unmatched = [box for box in right if all(_score([one], [box]) == 0 for one in named)]
    if unmatched:
        assert _score([*named, unmatched[0]], right) > score


@given(st.text() | st.text("[](){},.0123456789-eEnaif \n\"'"))
def test_no_text_raises(text):
    for reply in (text, f"<answer>{text}</answer>"):
        assert 0.0 <= compute_score("test", reply, RIGHT, SIZE)["score"] <= 1.0


@pytest.mark.parametrize("threshold", [0, -1, 1.5, float("nan")])
def test_another_threshold_is_an_error(threshold):
    with pytest.raises(ValueError, match=r"threshold=.*above 0 and at most 1"):
        _score([], threshold=threshold)
