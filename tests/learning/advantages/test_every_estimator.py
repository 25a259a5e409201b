"""What holds for every estimator there is: no order, no NaN, nothing for groups that teach nothing."""

import inspect

import pytest
import torch

from medrl.learning.estimator import BUILT_IN, Estimate, load_estimator
from medrl.recipe import Algorithm

SIZES = (4, 4, 3, 1, 4, 2)  # of the groups; the fifth is all equal
DOMAINS = ("CT", "MRI", "CT", "MRI", "", "CT")


def batch(seed):
    """What an estimator may be offered, rollouts in the order of their groups."""
    generator = torch.Generator().manual_seed(seed)
    groups = torch.arange(len(SIZES)).repeat_interleave(torch.tensor(SIZES))
    rewards = (torch.rand(len(groups), generator=generator) * 4).round() / 4 + 0.1
    rewards[groups == 4] = 0.1
    return {
        "rewards": rewards,
        "groups": groups,
        "components": torch.stack([rewards, rewards**2], 1),
        "weights": torch.tensor([1.0, 0.5]),
        "entropies": torch.rand(len(groups), generator=generator),
        "domains": [DOMAINS[group] for group in groups],
        "state": {},
    }


def ask(name, given, kwargs=None):
    """Two steps, so that the second has a state; the advantages of the second."""
    function = load_estimator(Algorithm(advantage=name, kwargs=kwargs or {})).function
    asked = {key: value for key, value in given.items() if key in inspect.signature(function).parameters}
    found = function(**asked, **(kwargs or {}))
    if isinstance(found, Estimate) and "state" in asked:
        found = function(**{**asked, "state": found.state}, **(kwargs or {}))
    return found.advantages if isinstance(found, Estimate) else found


def has_epsilon(name):
    return "epsilon" in inspect.signature(load_estimator(Algorithm(advantage=name)).function).parameters


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_order_of_rollouts_means_nothing(name):
    for seed in range(5):
        given = batch(seed)
        order = torch.randperm(len(given["groups"]), generator=torch.Generator().manual_seed(seed))
        moved = {
            key: [value[at] for at in order] if isinstance(value, list) else value[order]
            for key, value in given.items()
            if key not in ("weights", "state")
        }
        wanted = ask(name, given)
        assert wanted.abs().max() > 0.1
        torch.testing.assert_close(ask(name, {**given, **moved}), wanted[order], atol=2e-6, rtol=0)


@pytest.mark.parametrize("epsilon", [None, 0.0])
@pytest.mark.parametrize("name", BUILT_IN)
def test_equal_and_single_attempts_get_exactly_zero(name, epsilon):
    kwargs = {} if epsilon is None or not has_epsilon(name) else {"epsilon": epsilon}
    given = batch(1)
    found = ask(name, given, kwargs)
    silent = (given["groups"] == 4) | (given["groups"] == 3)
    assert torch.equal(found[silent], torch.zeros(5)) and torch.isfinite(found).all()
    one = {key: value if key in ("weights", "state") else value[:1] for key, value in given.items()}
    assert torch.equal(ask(name, one, kwargs), torch.zeros(1))  # a step of which one attempt has a score
    equal = {**given, "rewards": torch.full_like(given["rewards"], 0.1), "components": given["components"] * 0 + 0.1}
    assert torch.equal(ask(name, equal, kwargs), torch.zeros(len(given["groups"])))  # a step of which all do alike


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_gradient_flows_through_an_advantage(name):
    given = batch(2)
    given["entropies"] = given["entropies"].requires_grad_()
    assert not ask(name, given).requires_grad
