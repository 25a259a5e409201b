"""The published detection rewards give the values a hand computes from their papers; a repeated box never pays in any."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrl.plugin import load_plugin

PLUGIN = load_plugin("rewards/boxes_published.py", "compute_score").target
MODES = ("vlm_r1_map", "od_length", "visual_rft", "gemex")
SIZE = {"image_size": [400, 300]}
A, B = [0, 0, 100, 100], [200, 100, 300, 200]
A80, A60, A50 = [0, 0, 100, 80], [0, 0, 100, 60], [0, 0, 100, 50]  # their IoU with A
FAR = [310, 210, 390, 290]

# Of ten IoU thresholds, .50 to .95, a box of IoU .8 passes seven, one of .6 three, one of .5 one. Of 101 recalls, with one of
# two truths found first precision is 1 at the 51 recalls up to .5.
FIXTURES = [
    # named, right, vlm_r1_map, od_length, visual_rft, gemex
    ([A], [A], 1.0, 1.0, 1.0, 1.0),
    ([A80], [A], 0.7, 0.7, 0.8, 0.8),
    ([A60], [A], 0.3, 0.3, 0.6, 0.6),
    ([A50], [A], 0.1, 0.1, 0.0, 0.5),  # Visual-RFT: strictly above one half
    ([A], [A, B], 51 / 101, 51 / 101, 1 / 2, 0.0),
    ([A, B], [B, A], 1.0, 1.0, 1.0, 1.0),
    ([A, FAR], [A], 1.0, 1 / 2, 1 / 2, 0.0),  # mAP: a wrong box behind the right one is free
    ([FAR, A], [A], 1 / 2, 1 / 4, 1 / 2, 0.0),
    ([A, A, A], [A], 1.0, 1 / 3, 1.0, 0.0),
    ([A, A80, B], [A, B], (51 + 50 * 2 / 3) / 101, (51 + 50 * 2 / 3) / 101 * 2 / 3, 2 / 3, 0.0),
    ([A, FAR], [A, B], 51 / 101, 51 / 101, 1 / 2, 1 / 2),
    ([A, A], [A, B], 51 / 101, 51 / 101, 1 / 2, 0.0),  # a repeat does not buy GEMeX's right number
    ([A, [100, 100, 0, 0]], [A, B], 51 / 101, 51 / 101, 1 / 2, 1 / 2),  # inverted
    ([], [], 1.0, 1.0, 1.0, 1.0),
    ([], [A], 0.0, 0.0, 0.0, 0.0),
    ([A], [], 0.0, 0.0, 0.0, 0.0),
]


def _score(named: object, right: object, mode: str) -> float:
    return PLUGIN("test", f"<answer>{json.dumps(named)}</answer>", right, SIZE, mode=mode)["score"]


@pytest.mark.parametrize("fixture", FIXTURES)
def test_hand_computed(fixture):
    named, right, *expected = fixture
    assert [_score(named, right, mode) for mode in MODES] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=40)
@given(data=st.data())
def test_a_repeat_never_pays_and_the_score_is_a_fraction(mode, data):
    corners = st.tuples(st.sampled_from([0, 100, 200]), st.sampled_from([0, 100, 200]))
    right = [[x, y, x + 90, y + 80] for x, y in data.draw(st.lists(corners, min_size=1, max_size=4, unique=True))]
    moved = st.tuples(st.sampled_from(right), st.integers(-40, 40)).map(lambda one: [edge + one[1] for edge in one[0]])
    named = data.draw(st.lists(moved | st.lists(st.integers(-9, 400), min_size=4, max_size=4), min_size=1, max_size=5))
    score = _score(named, right, mode)
    repeated = data.draw(st.sampled_from(named))
    for copies in (1, 5):
        assert 0.0 <= _score(named + [repeated] * copies, right, mode) <= score + 1e-12 <= 1.0 + 1e-12
    at = named.index(repeated)
    assert _score([*named[: at + 1], repeated, *named[at + 1 :]], right, mode) <= score + 1e-12


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=40)
@given(st.text("[](){},.0123456789-eEnaif \n\"'"))
def test_no_text_raises(mode, text):
    graded = PLUGIN("test", f"<answer>{text}</answer>", [A], SIZE, mode=mode)
    assert 0.0 <= graded["score"] <= graded["answered"]


def test_no_answer_is_not_the_answer_nothing():
    assert PLUGIN("test", "<answer>clear</answer>", [], SIZE) == {
        "score": 0.0,
        "answered": 0.0,
        "empty": 0.0,
        "named": 0.0,
    }


def test_an_unknown_mode_names_the_known_ones():
    with pytest.raises(ValueError, match="mode='giou'; expected one of vlm_r1_map, od_length, visual_rft, gemex"):
        _score([], [], "giou")
