"""pass@k equals its closed form exactly, and the share of draws that hold a right attempt."""

from fractions import Fraction
from itertools import combinations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.evaluation.pass_at_k import mean_pass_at_k, pass_at_k


@given(st.data())
def test_equals_the_binomials_for_every_n_right_and_k(data):
    n = data.draw(st.integers(1, 300))
    right, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    exact = 1 - Fraction(comb(n - right, k), comb(n, k))
    assert pass_at_k(n, right, k) == pytest.approx(float(exact), abs=1e-12)


def test_is_the_share_of_all_draws_that_hold_a_right_one():
    # 6 attempts of which 2 are right: of the 15 pairs, the 6 among the 4 wrong ones hold none
    pairs = list(combinations([1, 1, 0, 0, 0, 0], 2))
    assert pass_at_k(6, 2, 2) == pytest.approx(sum(max(pair) for pair in pairs) / len(pairs)) == pytest.approx(9 / 15)
    assert pass_at_k(6, 2, 2) > 1 - (1 - 2 / 6) ** 2  # the plug-in estimate is too low


@pytest.mark.parametrize(
    ("n", "right", "k", "expected"),
    [(5, 2, 1, 0.4), (5, 0, 5, 0.0), (5, 5, 1, 1.0), (5, 1, 5, 1.0), (10**6, 1, 10, 1e-5)],
)
def test_ends_and_large_numbers(n, right, k, expected):
    assert pass_at_k(n, right, k) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "right", "k"), [(4, 5, 1), (4, -1, 1), (4, 1, 0), (4, 1, 5)])
def test_what_cannot_be_is_refused(n, right, k):
    with pytest.raises(ValueError, match="expected 0 <= right <= n"):
        pass_at_k(n, right, k)


def test_the_mean_counts_a_question_where_it_has_enough_attempts():
    found = mean_pass_at_k([(4, 1), (4, 4), (3, 0)])  # one attempt at the third had no score
    assert list(found) == [1, 2, 4] and [one["questions"] for one in found.values()] == [3, 3, 2]
    assert found[1]["value"] == pytest.approx((1 / 4 + 1 + 0) / 3)
    assert found[2]["value"] == pytest.approx((1 / 2 + 1 + 0) / 3) and found[4]["value"] == 1.0
    assert found[1]["low"] <= found[1]["value"] <= found[1]["high"]
