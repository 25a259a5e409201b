"""The count reward: exact unless asked otherwise, and partial credit never exceeds the exact one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.plugin import load_plugin

compute_score = load_plugin("rewards/count.py", "compute_score").target


def _score(answer: object, ground_truth: object, **kwargs: object) -> float:
    return compute_score("test", f"<answer>{answer}</answer>", ground_truth, **kwargs)["score"]


@pytest.mark.parametrize(
    ("answer", "ground_truth", "exact", "partial"),
    [
        ("5", 5, 1.0, 1.0),
        ("five (5)", "5", 1.0, 1.0),
        ("5", "5.0", 1.0, 1.0),
        ("4", 5, 0.0, 0.8),
        ("7", 5, 0.0, 0.6),
        ("11", 5, 0.0, 0.0),
        ("none", 0, 1.0, 1.0),
        ("1", 0, 0.0, 0.0),
        ("5-6", 5, 0.0, 0.0),
        ("at least 5", 5, 0.0, 0.0),
    ],
)
def test_scores(answer, ground_truth, exact, partial):
    assert _score(answer, ground_truth) == exact
    assert _score(answer, ground_truth, partial=True) == pytest.approx(partial, abs=1e-12)


@given(st.integers(0, 10**30), st.integers(0, 10**30))
def test_partial_credit_lies_between_nothing_and_one(counted, right):
    partial = _score(counted, right, partial=True)
    assert 0.0 <= partial <= 1.0
    assert (partial == 1.0) >= (counted == right)


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
def test_a_nearer_count_is_never_worth_less(right, one, other):
    near, far = sorted((one, other), key=lambda counted: abs(counted - right))
    for partial in (False, True):
        assert _score(near, right, partial=partial) >= _score(far, right, partial=partial)


@pytest.mark.parametrize("partial", [False, True])
def test_a_count_that_its_own_list_contradicts_is_no_answer(partial):
    for places in ({"point_2d": [[1, 2], [3, 4]]}, {"bbox_2d": [[1, 2, 3, 4], [5, 6, 7, 8]]}):
        assert _score(json.dumps({"counts": 2, **places}), 2, partial=partial) == 1.0
        assert _score(json.dumps({"counts": 3, **places}), 3, partial=partial) == 0.0
        assert _score(json.dumps({"counts": 3, **places}), 2, partial=partial) == 0.0


@pytest.mark.parametrize("ground_truth", ["five", "", None, -1, "2.5", "nan", "inf", True, [3]])
def test_another_ground_truth_is_an_error(ground_truth):
    with pytest.raises(ValueError, match="expected a whole number of at least 0"):
        _score("5", ground_truth)
