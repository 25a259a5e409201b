"""Order within groups against scipy and by hand."""

import doctest
import random

import pytest
from scipy.stats import kendalltau

from medrl.evaluation import rankings
from medrl.evaluation.rankings import compare, sign_changes


def test_tau_is_scipys_and_pairs_are_counted_one_by_one():
    draw = random.Random(0)
    for _ in range(60):
        size = draw.randint(2, 9)
        old, new = ([draw.choice((0.0, 0.1, 0.5, 1.0)) for _ in range(size)] for _ in range(2))
        found = compare(old, new)
        pairs = [(old[a] - old[b], new[a] - new[b]) for a in range(size) for b in range(a)]
        assert found.pairs == len(pairs)
        assert found.inverted == sum(before * after < 0 for before, after in pairs)
        assert found.changed == sum((before > 0) - (before < 0) != (after > 0) - (after < 0) for before, after in pairs)
        if found.tau is None:
            assert len(set(old)) == 1 or len(set(new)) == 1
        else:
            assert found.tau == pytest.approx(kendalltau(old, new).statistic)
        assert found.best_old == tuple(place for place in range(size) if old[place] == max(old))


def test_rounding_is_no_change_of_order():
    found = compare([0.1 + 0.2, 0.3, 1.0], [0.3, 0.1 + 0.2, 1.0])
    assert (found.changed, found.inverted, found.tau, found.best_new) == (0, 0, 1.0, (2,))
    assert sign_changes([1e-12, 1.0], [-1e-12, 1.0]) == {"compared": 2, "flipped": 0, "silenced": 0, "woken": 0}


def test_flat_groups_have_no_tau_and_all_are_best():
    found = compare([1.0, 1.0], [0.0, 1.0])
    assert (found.tau, found.changed, found.inverted, found.best_old, found.best_new) == (None, 1, 0, (0, 1), (1,))


def test_nothing_to_compare():
    assert sign_changes([], []) == {"compared": 0, "flipped": 0, "silenced": 0, "woken": 0}


def test_doctests():
    found = doctest.testmod(rankings)
    assert found.attempted and not found.failed
