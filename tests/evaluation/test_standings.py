"""Standings: certain orders, exact ties, and seeds that contradict one another."""

import pytest

from medrl.errors import MedrlError
from medrl.evaluation.standings import Standing, agreement, standings


def answers(*values):
    return {f"q{place}": value for place, value in enumerate(values)}


def test_a_setting_that_is_better_on_every_question_comes_first_in_every_draw():
    worse, better = {0: answers(0.1, 0.5), 1: answers(0.2, 0.4)}, {0: answers(0.2, 0.6), 1: answers(0.3, 0.5)}
    assert standings([worse, better]) == ([Standing(0.0, 2.0, 2.0, 2.0), Standing(1.0, 1.0, 1.0, 1.0)], [0, 1])


def test_equals_share_the_first_place_and_their_rank():
    one = {0: answers(0.1, 0.7, 0.4)}
    found, _ = standings([one, one, {0: answers(0.0, 0.0, 0.0)}])
    assert [round(each.first, 9) for each in found] == [0.5, 0.5, 0.0]
    assert [each.mean_rank for each in found] == [1.5, 1.5, 3.0]


def test_seeds_that_contradict_one_another_leave_the_order_open():
    """Setting 0 wins with seed 0, setting 1 by as much with seed 1: two seeds drawn are 0 0, 0 1, 1 0 or 1 1."""
    found, _ = standings([{0: answers(1, 1), 1: answers(0, 0)}, {0: answers(0, 0), 1: answers(1, 1)}])
    assert [each.first for each in found] == pytest.approx([0.5, 0.5], abs=0.05)
    assert all((each.low, each.high) == (1.0, 2.0) for each in found)


def test_only_seeds_that_all_have_are_drawn_and_none_is_no_standing():
    one, other = {0: answers(1, 0), 1: answers(1, 1)}, {1: answers(0, 0), 2: answers(9, 9)}
    assert standings([one, other])[1] == [1]
    assert standings([{0: answers(1, 0)}, {1: answers(1, 0)}]) == ([], [])
    assert standings([]) == ([], [])
    with pytest.raises(MedrlError, match="different questions"):
        standings([{0: answers(1, 0)}, {0: answers(1, 0, 1)}])


@pytest.mark.parametrize(
    ("means", "tau"),
    [
        ([{0: 0.1, 1: 0.2}, {0: 0.3, 1: 0.4}], 1.0),
        ([{0: 0.1, 1: 0.4}, {0: 0.3, 1: 0.2}], -1.0),
        ([{0: 0.1, 1: 0.2, 2: 0.9}, {0: 0.3, 1: 0.4, 2: 0.1}], -1 / 3),  # one pair of seeds agrees, two do not
        ([{0: 0.1}, {0: 0.3}], None),  # one seed
        ([{0: 0.1, 1: 0.2}], None),  # one setting
        ([{0: 0.1, 1: 0.1}, {0: 0.1, 1: 0.1}], None),  # flat
    ],
)
def test_agreement_of_the_seeds(means, tau):
    assert agreement(means) == (tau if tau is None else pytest.approx(tau))
