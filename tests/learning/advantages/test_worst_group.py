"""Worst-group weights against a hand-worked table, and a bandit in which they do what they are for."""

import pytest
import torch
from torch.nn.functional import one_hot

from medrl.errors import MedrlError
from medrl.learning.advantages.grpo import grpo
from medrl.learning.advantages.worst_group import worst_group
from medrl.learning.estimator import load_estimator
from medrl.recipe import Algorithm

HALF = 2**-0.5  # GRPO's advantage of 1 0, with epsilon 0


def step(table, state=None, **kwargs):
    """`table`: domain and rewards of each question."""
    rewards = torch.tensor([reward for _, rewards in table for reward in rewards], dtype=torch.float64)
    groups = torch.tensor([number for number, (_, rewards) in enumerate(table) for _ in rewards])
    domains = [domain for domain, rewards in table for _ in rewards]
    return worst_group(rewards, groups, domains, state or {}, epsilon=0.0, **kwargs)


def test_worst_group_table():
    # CT: 1 0 and 1 1, mean 3/4; MRI: 1 0, mean 1/2; X-ray: 0 0, mean 0; their mean is 5/12. With eta 0.6 the logs are
    # 0.6 (5/12 - 3/4) = -0.2, 0.6 (5/12 - 1/2) = -0.05, 0.6 (5/12) = 0.25, which add up to 0.
    # exp: 0.818730753, 0.951229425, 1.284025417; of the 8 rollouts 4, 2 and 2 are of each, so the mean is
    # (4 x 0.818730753 + 2 x 0.951229425 + 2 x 1.284025417) / 8 = 0.968179087
    found = step([("CT", [1, 0]), ("CT", [1, 1]), ("MRI", [1, 0]), ("X-ray", [0, 0])], eta=0.6)
    assert found.state == pytest.approx({"CT": -0.2, "MRI": -0.05, "X-ray": 0.25}, abs=1e-12)
    weights = {"weight/CT": 0.845639783, "weight/MRI": 0.982493257, "weight/X-ray": 1.326227177}
    assert found.metrics == pytest.approx(weights, abs=1e-8)
    ct, mri = HALF * 0.845639783, HALF * 0.982493257
    expected = torch.tensor([ct, -ct, 0, 0, mri, -mri, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(found.advantages, expected, atol=1e-8, rtol=0)

    # the next step has MRI alone, at 1: no gap, so the state stays; the weights of its rollouts have mean 1, so they are 1
    after = step([("MRI", [1, 1]), ("MRI", [1, 0])], found.state, eta=0.6)
    assert after.state == pytest.approx(found.state, abs=1e-12) and after.metrics == {"weight/MRI": 1.0}
    # then CT 0 0 against X-ray 1 1: mean 1/2, logs -0.2 + 0.3 and 0.25 - 0.3, MRI where it was
    last = step([("CT", [0, 0]), ("X-ray", [1, 1])], after.state, eta=0.6)
    assert last.state == pytest.approx({"CT": 0.1, "MRI": -0.05, "X-ray": -0.05}, abs=1e-12)


def test_a_new_domain_begins_in_the_middle():
    # the logs 0.4 and -0.4, a third of 0: all rewards equal, so nothing moves
    found = step([("CT", [1, 1]), ("OCT", [1, 1])], {"CT": 0.4, "MRI": -0.4})
    assert found.state == pytest.approx({"CT": 0.4, "MRI": -0.4, "OCT": 0.0})


def test_weights_are_bounded_and_have_mean_1():
    state = {}
    for _ in range(200):  # a gap that never closes
        found = step([("CT", [1, 1, 1, 0]), ("CT", [1, 0, 1, 1]), ("MRI", [0, 0, 1, 0])], state, eta=0.3, most=5.0)
        state, weights = found.state, found.metrics
        mean = (8 * weights["weight/CT"] + 4 * weights["weight/MRI"]) / 12
        assert mean == pytest.approx(1.0, abs=1e-12)
        assert weights["weight/MRI"] / weights["weight/CT"] <= 5.0 + 1e-9
    assert weights["weight/MRI"] / weights["weight/CT"] == pytest.approx(5.0)
    # nothing is wound up: once MRI is the better one, by 0.5, log w_MRI - log w_CT = log 5 = 1.609 falls by 0.15 a step
    lost = []
    for _ in range(12):
        found = step([("CT", [0, 0, 1, 0]), ("MRI", [1, 1, 1, 0])], state, eta=0.3, most=5.0)
        state = found.state
        lost.append(found.metrics["weight/MRI"] < 1)
    assert lost == [False] * 10 + [True] * 2  # 1.609 - 10 x 0.15 is above 0, less another 0.15 below


def test_one_domain_or_eta_0_is_grpo_to_the_last_bit():
    rewards = torch.rand(12, generator=torch.Generator().manual_seed(0))
    groups = torch.arange(12) // 4
    plain = grpo(rewards, groups)
    assert torch.equal(worst_group(rewards, groups, ["unknown"] * 12, {}).advantages, plain)
    mixed = [("CT", "MRI", "")[group] for group in groups]
    assert torch.equal(worst_group(rewards, groups, mixed, {}, eta=0.0).advantages, plain)
    assert not torch.equal(worst_group(rewards, groups, mixed, {}).advantages, plain)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"eta": -0.1}, "eta=-0.1: expected 0 or above"),
        ({"eta": float("inf")}, "eta=inf: expected"),
        ({"most": 0.5}, "most=0.5: expected 1 or above"),
        ({"most": "4"}, "most='4': expected a number"),
    ],
)
def test_values_that_make_no_sense_are_refused(kwargs, message):
    with pytest.raises(MedrlError, match=message):
        load_estimator(Algorithm(advantage="worst_group", kwargs=kwargs))


FEATURES = {"CT": torch.tensor([1.0, 0.0]), "MRI": torch.tensor([0.9, 0.44])}  # nearly alike to a linear policy
RIGHT = {"CT": 0, "MRI": 1}  # and yet another arm is right
ASKED = ["CT"] * 6 + ["MRI"] * 2


def bandit(weighed, seed, steps=80, attempts=8, arms=4):
    """P(right) of each domain after policy-gradient steps of a linear softmax policy, exact gradients of sampled arms."""
    generator = torch.Generator().manual_seed(seed)
    inputs, right = torch.stack([FEATURES[name] for name in ASKED]), torch.tensor([RIGHT[name] for name in ASKED])
    groups = torch.arange(len(ASKED)).repeat_interleave(attempts)
    policy, state = torch.zeros(2, arms), {}
    for _ in range(steps):
        chances = (inputs @ policy).softmax(-1)  # (questions, arms)
        pulled = torch.multinomial(chances, attempts, replacement=True, generator=generator)
        rewards = (pulled == right[:, None]).float().flatten()
        if weighed:
            found = worst_group(rewards, groups, [ASKED[group] for group in groups], state)
            advantages, state = found.advantages, found.state
        else:
            advantages = grpo(rewards, groups)
        scores = one_hot(pulled.flatten(), arms) - chances[groups]  # gradient of log P by the logits, (rollouts, arms)
        policy += inputs[groups].T @ (scores * advantages[:, None]) / len(groups)
    return {name: float((FEATURES[name] @ policy).softmax(-1)[RIGHT[name]]) for name in FEATURES}


def test_the_worst_groups_gap_closes_in_a_bandit_where_grpo_serves_the_majority():
    for seed in range(2):
        plain, weighed = bandit(False, seed), bandit(True, seed)
        assert plain["CT"] > 0.95 and plain["MRI"] < 0.1  # a mean of 0.75 that fails one domain
        assert abs(weighed["CT"] - weighed["MRI"]) < 0.2 < abs(plain["CT"] - plain["MRI"])
        assert min(weighed.values()) > min(plain.values()) + 0.5
