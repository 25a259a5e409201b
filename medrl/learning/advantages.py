"""Advantages: from the rewards of a group of attempts to one number per attempt. Pure functions, shared by both engines."""

from collections.abc import Callable

import torch
from torch import Tensor

Estimator = Callable[[Tensor, Tensor], Tensor]  # (rewards, groups) -> advantages
ComponentEstimator = Callable[[Tensor, Tensor, Tensor], Tensor]  # (components, weights, groups) -> advantages


def grpo(rewards: Tensor, groups: Tensor, epsilon: float = 1e-4) -> Tensor:
    """(r - mean of its group) / (std of its group + epsilon), with the unbiased std; both inputs and the result are (rollouts,).

    A group whose rewards are all equal, or that has one member, gets exactly 0. Source: DeepSeekMath (arXiv 2402.03300);
    epsilon as in TRL and Med-R1 (verl uses 1e-6).

    >>> grpo(torch.tensor([1.0, 0.0]), torch.tensor([7, 7])).tolist()
    [0.7070068120956421, -0.7070068120956421]
    """
    centred, counts, index = _centre(rewards, groups)
    squares = torch.zeros_like(counts).index_add(0, index, centred**2)
    deviation = (squares / (counts - 1).clamp(min=1)).sqrt()
    return centred / (deviation + epsilon)[index]


def dr_grpo(rewards: Tensor, groups: Tensor) -> Tensor:
    """r - mean of its group, without the division: easy and hard questions keep their weight. Source: arXiv 2503.20783."""
    return _centre(rewards, groups)[0]


def gdpo(components: Tensor, weights: Tensor, groups: Tensor, epsilon: float = 1e-4) -> Tensor:
    """GRPO of each component, (rollouts, components), weighted and added, then divided by its deviation over the batch.

    The sum of raw rewards hides a rare or small component behind a frequent one; here each has as much say as its weight,
    (components,), gives it. One that is equal within a group adds exactly 0 there. The method also takes off the batch's
    mean; it is that of centred groups, so nothing but rounding. Source: GDPO (arXiv 2601.05242), whose batch is one of
    rollouts; verl's counts every token, so that long replies have more say in the deviation.

    >>> both = torch.tensor([[10.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> [round(value, 3) for value in gdpo(both, torch.tensor([1.0, 1.0]), torch.tensor([0, 0, 0])).tolist()]
    [0.577, 0.577, -1.155]
    """
    parts = [weight * grpo(component, groups, epsilon) for component, weight in zip(components.T, weights)]
    summed = torch.stack(parts).sum(0)
    if len(summed) < 2:
        return summed
    return summed / (summed.std() + epsilon)


ESTIMATORS: dict[str, Estimator] = {"grpo": grpo, "dr_grpo": dr_grpo}
OF_COMPONENTS: dict[str, ComponentEstimator] = {"gdpo": gdpo}


def zero_spread(rewards: Tensor, groups: Tensor) -> float:
    """Share of groups whose rewards, (rollouts,) or (rollouts, components), are all equal: they teach nothing."""
    distinct = groups.unique()
    return sum(bool((rewards[groups == group] == rewards[groups == group][0]).all()) for group in distinct) / len(
        distinct
    )


def _centre(rewards: Tensor, groups: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(rewards minus group mean, group sizes, group index of each rollout). An all-equal group is centred to exactly 0."""
    distinct, index = groups.unique(return_inverse=True)
    counts = torch.zeros(len(distinct), dtype=rewards.dtype).index_add(0, index, torch.ones_like(rewards))
    means = torch.zeros_like(counts).index_add(0, index, rewards) / counts
    centred = rewards - means[index]
    lowest = torch.full_like(counts, float("inf")).scatter_reduce(0, index, rewards, "amin")
    highest = torch.full_like(counts, float("-inf")).scatter_reduce(0, index, rewards, "amax")
    # the mean of sixteen 0.1s is not 0.1 in floating point; without this the noise would be divided by epsilon
    return torch.where((lowest == highest)[index], 0.0, centred), counts, index
