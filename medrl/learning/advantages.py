"""Advantages: from the rewards of a group of attempts to one number per attempt. Pure functions, shared by both engines."""

from collections.abc import Callable

import torch
from torch import Tensor

Estimator = Callable[[Tensor, Tensor], Tensor]


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


ESTIMATORS: dict[str, Estimator] = {"grpo": grpo, "dr_grpo": dr_grpo}


def zero_spread(rewards: Tensor, groups: Tensor) -> float:
    """Share of groups whose rewards are all equal: they teach nothing."""
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
