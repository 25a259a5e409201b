"""Advantages against hand-worked tables."""

import doctest
import importlib

import pytest
import torch

from medrl.learning.advantages.gdpo import gdpo
from medrl.learning.advantages.groups import zero_spread
from medrl.learning.advantages.grpo import dr_grpo, grpo, rloo
from medrl.learning.estimator import BUILT_IN

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


def test_rloo_table():
    # group 0: 1 less the mean 1/3 of 0 0 1, 0 less the mean 2/3 of 1 0 1; group 1: 0.1 less the mean 0.6 of 1.1 0.1, 1.1 less 0.1
    expected = torch.tensor([2 / 3, -0.5, -2 / 3, 1.0, -2 / 3, 2 / 3, -0.5], dtype=torch.float64)
    torch.testing.assert_close(rloo(REWARDS, GROUPS), expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("estimator", [grpo, dr_grpo, rloo])
def test_all_equal_group_gets_exactly_zero(estimator):
    # the float mean of sixteen 0.1s is not 0.1; divided by a tiny epsilon the difference would become a gradient
    rewards = torch.cat([torch.full((16,), 0.1), torch.tensor([0.3])])
    assert torch.equal(estimator(rewards, torch.tensor([4] * 16 + [5])), torch.zeros(17))


def test_groups_are_independent_of_order_and_of_each_other():
    order = torch.tensor([3, 6, 0, 5, 1, 4, 2])
    torch.testing.assert_close(grpo(REWARDS[order], GROUPS[order]), grpo(REWARDS, GROUPS)[order])
    only = GROUPS == 1
    torch.testing.assert_close(grpo(REWARDS[only], GROUPS[only]), grpo(REWARDS, GROUPS)[only])


# Two groups of three. Component 0: 10 0 0 | 5 5 5; component 1: 0 0 1 | 0 1 2.
# Within a group: (10 0 0) has mean 10/3, deviations 20/3 -10/3 -10/3, unbiased std sqrt((400 + 100 + 100) / 9 / 2) = 10/sqrt(3),
# hence 2/sqrt(3) -1/sqrt(3) -1/sqrt(3); (0 0 1) the same turned round; (5 5 5) gives 0 0 0; (0 1 2) has std 1, hence -1 0 1.
# Weights 1 and 3, with s = 1/sqrt(3): group 0: 2s - 3s, -s - 3s, -s + 6s = -s -4s 5s; group 1: -3 0 3.
# Over the batch: mean 0, sum of squares (1 + 16 + 25) / 3 + 18 = 32, unbiased variance 32 / 5 = 6.4.
COMPONENTS = torch.tensor([[10.0, 0], [0, 0], [0, 1], [5, 0], [5, 1], [5, 2]], dtype=torch.float64)
TWO_GROUPS = torch.tensor([3, 3, 3, 8, 8, 8])
WEIGHTS = torch.tensor([1.0, 3.0], dtype=torch.float64)


def test_gdpo_table():
    s, deviation = 3.0**-0.5, 6.4**0.5
    expected = torch.tensor([-s, -4 * s, 5 * s, -3.0, 0.0, 3.0], dtype=torch.float64) / deviation
    torch.testing.assert_close(gdpo(COMPONENTS, WEIGHTS, TWO_GROUPS, 1e-13), expected, atol=1e-12, rtol=0)
    order = torch.tensor([4, 0, 3, 5, 2, 1])
    shuffled = gdpo(COMPONENTS[order], WEIGHTS, TWO_GROUPS[order], 1e-13)
    torch.testing.assert_close(shuffled, expected[order], atol=1e-12, rtol=0)


def test_a_large_component_does_not_silence_a_small_one():
    """Dominant: 0 or 100 by chance of attempt; minor: right by 0.01. In the sum the minor one moves nothing."""
    dominant = torch.tensor([100.0, 100.0, 0.0, 0.0])
    minor = torch.tensor([0.01, 0.0, 0.01, 0.0])
    groups, equal = torch.zeros(4, dtype=torch.int64), torch.tensor([1.0, 1.0])
    summed = grpo(dominant + minor, groups)
    assert abs(summed[0] - summed[1]) < 1e-3 * abs(summed[0] - summed[2])
    apart = gdpo(torch.stack([dominant, minor], 1), equal, groups)
    assert abs(apart[0] - apart[1]) > 0.9 * abs(apart[0] - apart[2]) > 0
    halved = gdpo(torch.stack([dominant, minor], 1), torch.tensor([1.0, 0.5]), groups)  # the weight says how much
    assert abs(halved[0] - halved[1]) == pytest.approx(0.5 * float(abs(halved[0] - halved[2])), rel=0.02)


def test_gdpo_gives_exactly_zero_where_every_component_is_equal():
    noisy = torch.full((16, 2), 0.1)  # whose float mean is not 0.1
    others = torch.tensor([[0.3, 0.1], [0.7, 0.1], [0.1, 0.1]])  # centred by rounding only: the batch's mean is not 0
    groups = torch.tensor([0] * 16 + [1] * 3)
    found = gdpo(torch.cat([noisy, others]), torch.tensor([1.0, 7.0]), groups)
    assert torch.equal(found[:16], torch.zeros(16)) and found[17] > 0 > found[18] and found.mean() != 0
    assert torch.equal(gdpo(noisy, torch.tensor([1.0, 7.0]), groups[:16]), torch.zeros(16))
    assert torch.equal(gdpo(noisy[:1], torch.tensor([1.0, 7.0]), groups[:1]), torch.zeros(1))


def test_gdpo_of_one_component_is_grpo_over_its_deviation():
    for weight in (1.0, 0.2):  # a common weight falls out, but for epsilon
        found = gdpo(REWARDS[:, None], torch.tensor([weight], dtype=torch.float64), GROUPS, 0.0)
        plain = grpo(REWARDS, GROUPS, 0.0)
        torch.testing.assert_close(found, plain / plain.std(), atol=1e-12, rtol=0)


def test_zero_spread_counts_groups():
    assert zero_spread(COMPONENTS, TWO_GROUPS) == 0 and zero_spread(COMPONENTS[:, :1], TWO_GROUPS) == 0.5
    assert zero_spread(torch.tensor([1.0, 1.0, 0.0, 1.0]), torch.tensor([0, 0, 1, 1])) == 0.5


@pytest.mark.parametrize("file", sorted({place.partition(":")[0] for place in BUILT_IN.values()}))
def test_doctests(file):
    tried = doctest.testmod(importlib.import_module(f"medrl.learning.advantages.{file}"))
    assert tried.attempted and not tried.failed
