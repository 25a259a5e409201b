"""The measurement reward: relative error per component, an order rule, and a unit that must be of the right kind."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.plugin import load_plugin

compute_score = load_plugin("rewards/measurement.py", "compute_score").target
MM = {"unit": "mm"}
length = st.floats(0.5, 500)


def _graded(answer: object, right: object, extra: object = MM, **kwargs: object) -> dict[str, float]:
    return compute_score("test", f"<answer>{answer}</answer>", right, extra, **kwargs)


@pytest.mark.parametrize(
    ("answer", "right", "score"),
    [
        ("40 x 20 mm", [40, 20], 1.0),
        ("20 x 40 mm", [40, 20], 1.0),  # the longest with the longest
        ("4 cm x 20 mm", "[40, 20]", 1.0),
        ("44 x 18 mm", [40, 20], (1 - 0.1 / 0.5 + 1 - 0.1 / 0.5) / 2),
        ("60 x 20 mm", [40, 20], 0.5),  # one is off by tau
        ("400 x 20", [40, 20], 0.5),  # and by more: never below 0
        ("0 x 0", [40, 20], 0.0),
        ("35 mm", 40, 0.75),
        ("35", "40", 0.75),
        ("-40 mm", 40, 0.0),
        ("40 px", 40, 0.0),
        ("40 degrees", 40, 0.0),
        ("40 mm", [40, 20], 0.0),
        ("30-50 mm", 40, 0.0),
    ],
)
def test_scores(answer, right, score):
    assert _graded(answer, right)["score"] == pytest.approx(score, abs=1e-12)


def test_the_order_as_given():
    assert _graded("20 x 40 mm", [40, 20], order="as_given")["score"] == 0.0
    assert _graded("30 x 20 mm", [40, 20], order="as_given")["score"] == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("answer", "unit", "answered", "unit_ok", "score"),
    [
        ("90 degrees", "degree", 1.0, 1.0, 1.0),
        ("1.5707963267948966 rad", "°", 1.0, 1.0, 1.0),
        ("90 mm", "degree", 1.0, 0.0, 0.0),
        ("90", "px", 1.0, 1.0, 1.0),
        ("90 pixels", "px", 1.0, 1.0, 1.0),
        ("90 HU", "px", 1.0, 0.0, 0.0),
        ("large", "px", 0.0, 0.0, 0.0),
    ],
)
def test_units(answer, unit, answered, unit_ok, score):
    expected = {"score": pytest.approx(score), "answered": answered, "unit_ok": unit_ok}
    assert _graded(answer, 90, {"unit": unit}) == expected


def test_a_unit_may_be_required():
    assert _graded("40", 40, unit_required=True) == {"score": 0.0, "answered": 0.0, "unit_ok": 0.0}
    assert _graded("40 mm", 40, unit_required=True)["score"] == 1.0


@given(length, length, length, st.floats(0.1, 2))
def test_nearer_is_never_worse_and_exact_is_one(right, near, far, tau):
    near, far = sorted((near, far), key=lambda value: abs(value - right))
    scores = [_graded(f"{value!r} mm", right, tau=tau)["score"] for value in (right, near, far)]
    assert 1.0 == scores[0] >= scores[1] >= scores[2] >= 0.0


@given(st.lists(length, min_size=2, max_size=3), st.randoms())
def test_sorted_axes_may_be_named_in_any_order(right, rng):
    shuffled = rng.sample(right, len(right))
    assert _graded(json.dumps(shuffled), right)["score"] == pytest.approx(1.0)


@pytest.mark.parametrize("right", [None, "", [], 0, [40, 0], "forty", float("nan"), [[40, 20]], {"value": 40}])
def test_another_ground_truth_is_an_error(right):
    with pytest.raises(ValueError, match="ground_truth is"):
        _graded("40 mm", right)


@pytest.mark.parametrize("extra", [None, {}, {"unit": "furlong"}, {"unit": ["mm"]}])
def test_a_row_without_a_known_unit_is_an_error(extra):
    with pytest.raises(ValueError, match="expected the unit of the ground truth"):
        _graded("40 mm", 40, extra)


@pytest.mark.parametrize("kwargs", [{"tau": 0}, {"tau": float("nan")}, {"order": "major"}])
def test_other_settings_are_errors(kwargs):
    with pytest.raises(ValueError, match="expected one of sorted, as_given and a number above 0"):
        _graded("40 mm", 40, **kwargs)
