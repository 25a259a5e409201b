"""The entropy bonus against a hand-worked table, and what it may never do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medrl.errors import MedrlError
from medrl.learning.advantages.entropy_bonus import entropy_bonus
from medrl.learning.advantages.grpo import grpo
from medrl.learning.estimator import load_estimator
from medrl.recipe import Algorithm

GROUPS = torch.tensor([0, 0, 1, 1, 1, 2, 2])


def test_entropy_bonus_table():
    # group 0: 1 0, std 1/sqrt(2), so A = +-0.707106781; group 1: 0 3 3, mean 2, std sqrt(3), A = -1.154700538 and twice
    # 0.577350269; group 2 is all equal. alpha 0.4, kappa 2, so psi is 0.4 h, at most 0.353553391, 0.577350269, 0.288675135, 0
    rewards = torch.tensor([1.0, 0.0, 0.0, 3.0, 3.0, 0.7, 0.7], dtype=torch.float64)
    entropies = torch.tensor([0.5, 1.0, 1.0, 0.0, 2.0, 5.0, 0.0], dtype=torch.float64)
    psi = [0.2, 0.353553391, 0.4, 0.0, 0.288675135, 0.0, 0.0]
    plain = [0.707106781, -0.707106781, -1.154700538, 0.577350269, 0.577350269, 0.0, 0.0]
    found = entropy_bonus(rewards, GROUPS, entropies, epsilon=0.0)
    expected = torch.tensor([one + bonus for one, bonus in zip(plain, psi)], dtype=torch.float64)
    torch.testing.assert_close(found.advantages, expected, atol=1e-8, rtol=0)
    assert found.metrics["bonus_mean"] == pytest.approx(sum(psi) / 7, abs=1e-8)
    assert found.metrics["bonus_cut"] == pytest.approx(2 / 5) and found.state == {}  # of those with an advantage
    # kappa 4 halves the limits: 0.176776695 twice, 0.288675135, 0.144337567
    tighter = entropy_bonus(rewards, GROUPS, entropies, kappa=4.0, epsilon=0.0).advantages
    psi = [0.176776695, 0.176776695, 0.288675135, 0.0, 0.144337567, 0.0, 0.0]
    expected = torch.tensor([one + bonus for one, bonus in zip(plain, psi)], dtype=torch.float64)
    torch.testing.assert_close(tighter, expected, atol=1e-8, rtol=0)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0, 1, width=32), st.floats(0, 12, width=32)), min_size=7, max_size=7),
    st.floats(0, 10),
    st.floats(1.01, 8),
)
def test_the_bonus_is_bounded_and_keeps_every_sign(rows, alpha, kappa):
    rewards, entropies = torch.tensor(rows).T
    plain = grpo(rewards, GROUPS)
    shaped = entropy_bonus(rewards, GROUPS, entropies, alpha=alpha, kappa=kappa).advantages
    bonus = shaped - plain
    assert (bonus >= -1e-6).all() and (bonus <= plain.abs() / kappa + 1e-6).all()
    assert torch.equal(shaped.sign(), plain.sign())


def test_alpha_0_is_grpo_to_the_last_bit():
    rewards, entropies = torch.rand(2, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(entropy_bonus(rewards, GROUPS, entropies, alpha=0.0).advantages, grpo(rewards, GROUPS))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"alpha": -1}, "alpha=-1: expected 0 or above"),
        ({"kappa": 1.0}, "kappa=1.0: expected above 1"),
        ({"kappa": float("nan")}, "kappa=nan: expected above 1"),
        ({"epsilon": -1e-4}, "epsilon=-0.0001: expected 0 or above"),
        ({"beta": 1}, r"`kwargs:` may name alpha, kappa, epsilon"),
        ({"alpha": "high"}, "alpha='high': expected a number"),
    ],
)
def test_values_that_make_no_sense_are_refused(kwargs, message):
    with pytest.raises(MedrlError, match=message):
        load_estimator(Algorithm(advantage="entropy_bonus", kwargs=kwargs))
