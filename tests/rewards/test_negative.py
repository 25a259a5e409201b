"""A box or nothing: the four cases of present and said, and a reply that cannot be read beside them."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.plugin import load_plugin

compute_score = load_plugin("rewards/negative.py", "compute_score").target
BOX = [40, 60, 140, 160]
SIZE = {"image_size": [640, 480]}


def _graded(answer: str, right: object, **kwargs: object) -> tuple[float, float, float]:
    graded = compute_score("test", f"<answer>{answer}</answer>", right, SIZE, **kwargs)
    return graded["score"], graded["answered"], graded["empty"]


@pytest.mark.parametrize("nothing", ["none", "None", "[]", [], (), numpy.array([])])
@pytest.mark.parametrize(
    ("answer", "absent", "present"),
    [
        ("none", (1.0, 1.0, 1.0), (0.0, 1.0, 1.0)),
        ("[]", (1.0, 1.0, 1.0), (0.0, 1.0, 1.0)),
        ('{"bbox_2d": []}', (1.0, 1.0, 1.0), (0.0, 1.0, 1.0)),
        ("[40, 60, 140, 160]", (0.0, 1.0, 0.0), (1.0, 1.0, 0.0)),
        ("[40, 60, 140, 110] [40, 60, 140, 110]", (0.0, 1.0, 0.0), (0.5, 1.0, 0.0)),
        ("[140, 160, 40, 60]", (0.0, 1.0, 0.0), (0.0, 1.0, 0.0)),  # a broken box is not "nothing"
        ("[40, 60, 140, 160] [1, 2, 3, 4]", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        ("[40, 60, 140", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        ("no nodule", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        ("none or [40, 60, 140, 160]", (0.0, 1.0, 0.0), (1.0, 1.0, 0.0)),  # "none" counts alone
        ("", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    ],
)
def test_scores(nothing, answer, absent, present):
    assert _graded(answer, nothing) == absent
    assert _graded(answer, BOX) == present


def test_a_threshold_makes_the_score_hard():
    assert _graded("[40, 60, 140, 110]", BOX, threshold=0.5)[0] == 1.0
    assert _graded("[40, 60, 140, 109]", BOX, threshold=0.5)[0] == 0.0
    with pytest.raises(ValueError, match="threshold=2; expected an IoU"):
        _graded("none", BOX, threshold=2)


@given(st.text() | st.text("none[](){},.0123456789- \n"))
def test_unread_and_empty_are_never_the_same(text):
    for right in ("none", BOX):
        score, answered, empty = _graded(text, right)
        assert 0.0 <= score <= answered and empty <= answered


@pytest.mark.parametrize("right", [None, "", "nothing", [1, 2, 3], [140, 160, 40, 60], 0])
def test_another_ground_truth_is_an_error(right):
    with pytest.raises(ValueError, match="expected four numbers"):
        _graded("none", right)
