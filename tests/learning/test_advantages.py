"""Advantages against hand-worked tables."""

import doctest

import pytest
import torch

from medrl.learning import advantages
from medrl.learning.advantages import dr_grpo, grpo, zero_spread

# group 0: rewards 1 0 0 1, mean 1/2, deviations +-1/2, unbiased variance (4 x 1/4) / 3 = 1/3, std = 0.577350269
# group 1: rewards 0.1 1.1 0.1, mean 13/30, deviations -1/3 +2/3 -1/3, variance (1/9 + 4/9 + 1/9) / 2 = 1/3, the same std
REWARDS = torch.tensor([1.0, 0.1, 0.0, 1.1, 0.0, 1.0, 0.1], dtype=torch.float64)
GROUPS = torch.tensor([0, 1, 0, 1, 0, 0, 1])
STD = 3.0**-0.5


def test_grpo_table():
    half, third = 0.5 / (STD + 1e-4), (1 / 3) / (STD + 1e-4)
    expected = torch.tensor([half, -third, -half, 2 * third, -half, half, -third], dtype=torch.float64)
    torch.testing.assert_close(grpo(REWARDS, GROUPS), expected, atol=1e-9, rtol=0)


def test_dr_grpo_table():
    expected = torch.tensor([0.5, -1 / 3, -0.5, 2 / 3, -0.5, 0.5, -1 / 3], dtype=torch.float64)
    torch.testing.assert_close(dr_grpo(REWARDS, GROUPS), expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("estimator", [grpo, dr_grpo])
def test_all_equal_group_gets_exactly_zero(estimator):
    # the float mean of sixteen 0.1s is not 0.1; divided by a tiny epsilon the difference would become a gradient
    rewards = torch.cat([torch.full((16,), 0.1), torch.tensor([0.3])])
    assert torch.equal(estimator(rewards, torch.tensor([4] * 16 + [5])), torch.zeros(17))


def test_groups_are_independent_of_order_and_of_each_other():
    order = torch.tensor([3, 6, 0, 5, 1, 4, 2])
    torch.testing.assert_close(grpo(REWARDS[order], GROUPS[order]), grpo(REWARDS, GROUPS)[order])
    only = GROUPS == 1
    torch.testing.assert_close(grpo(REWARDS[only], GROUPS[only]), grpo(REWARDS, GROUPS)[only])


def test_zero_spread_counts_groups():
    assert zero_spread(torch.tensor([1.0, 1.0, 0.0, 1.0]), torch.tensor([0, 0, 1, 1])) == 0.5


def test_doctests():
    assert doctest.testmod(advantages).failed == 0
