"""More weight for the domain that does worst: GRPO's advantages times exponential-gradient weights, as in group DRO."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from medrl.learning.advantages.grpo import grpo
from medrl.learning.estimator import Estimate, State


def worst_group(
    rewards: Tensor,
    groups: Tensor,
    domains: Sequence[str],
    state: State,
    *,
    eta: float = 0.1,
    most: float = 4.0,
    epsilon: float = 1e-4,
) -> Estimate:
    """GRPO's advantages, (rollouts,), times the weight of the rollout's domain (`data.slice_by`).

    log w_d <- log w_d + eta (m - m_d), with m_d the mean reward of the domain's rollouts in this step and m the mean of the
    m_d; the domains absent from the step keep theirs. No domain weighs more than `most` times another, and the weights of
    a step's rollouts have mean 1, so that only the direction of the step changes. One domain, or eta 0, is GRPO to the
    last bit. `state`: {domain: log w_d}. Source: exponentiated-gradient ascent on the domains' weights, Sagawa et al. 2020
    (arXiv 1911.08731), with minus the reward for the loss; they have neither bound nor mean, and here a domain's share of
    the batch stays what it is.

    >>> found = worst_group(torch.tensor([1.0, 0.0, 0.0, 0.0]), torch.tensor([0, 0, 1, 1]), ["CT", "CT", "MRI", "MRI"], {})
    >>> {domain: round(value, 3) for domain, value in found.state.items()}  # the means are 0.5 and 0
    {'CT': -0.025, 'MRI': 0.025}
    """
    advantages = grpo(rewards, groups, epsilon)
    names = sorted(set(domains))
    if not names:
        return Estimate(advantages, dict(state))
    place = torch.tensor([names.index(domain) for domain in domains])  # (rollouts,)
    counts = torch.bincount(place, minlength=len(names)).double()
    means = torch.bincount(place, rewards.double(), len(names)) / counts  # (domains of this step,)
    logs = {str(name): float(value) for name, value in state.items()}
    for name, gap in zip(names, (means.mean() - means).tolist()):
        logs[name] = logs.get(name, 0.0) + eta * gap
    centre, bound = math.fsum(logs.values()) / len(logs), math.log(most) / 2
    logs = {name: min(max(value - centre, -bound), bound) for name, value in sorted(logs.items())}
    raw = torch.tensor([math.exp(logs[name]) for name in names], dtype=torch.float64)
    weights = raw / ((raw * counts).sum() / counts.sum())  # those of the step's rollouts have mean 1
    told = {f"weight/{name}": value for name, value in zip(names, weights.tolist())}
    return Estimate(advantages * weights[place].to(advantages), logs, told)


def check_kwargs(*, eta: float, most: float, epsilon: float) -> list[str]:
    """What is wrong with the recipe's numbers, if anything."""
    faults = []
    if not 0 <= eta < math.inf:
        faults.append(f"eta={eta}: expected 0 or above, the rate at which weights follow the rewards; 0.1 is usual")
    if not 1 <= most < math.inf:
        faults.append(f"most={most}: expected 1 or above, how many times as much as another a domain may weigh")
    if not epsilon >= 0:
        faults.append(f"epsilon={epsilon}: expected 0 or above")
    return faults
