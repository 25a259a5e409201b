"""What estimators have in common: the members of a group compared with each other."""

import torch
from torch import Tensor


def centred(rewards: Tensor, groups: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(rewards minus group mean, group sizes, group index of each rollout). An all-equal group is centred to exactly 0."""
    distinct, index = groups.unique(return_inverse=True)
    counts = torch.zeros(len(distinct), dtype=rewards.dtype).index_add(0, index, torch.ones_like(rewards))
    means = torch.zeros_like(counts).index_add(0, index, rewards) / counts
    centre = rewards - means[index]
    lowest = torch.full_like(counts, float("inf")).scatter_reduce(0, index, rewards, "amin")
    highest = torch.full_like(counts, float("-inf")).scatter_reduce(0, index, rewards, "amax")
    # the mean of sixteen 0.1s is not 0.1 in floating point; without this the noise would be divided by epsilon
    return torch.where((lowest == highest)[index], 0.0, centre), counts, index


def nonzero(divisor: Tensor) -> Tensor:
    """The divisor, but never 0: with epsilon 0 an all-equal group's deviation is, and 0 / 0 is no number."""
    return divisor.clamp(min=torch.finfo(divisor.dtype).tiny)


def group_means(values: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """(mean of each distinct group, group index of each rollout)."""
    distinct, index = groups.unique(return_inverse=True)
    counts = torch.zeros(len(distinct), dtype=values.dtype).index_add(0, index, torch.ones_like(values))
    return torch.zeros_like(counts).index_add(0, index, values) / counts, index


def zero_spread(rewards: Tensor, groups: Tensor) -> float:
    """Share of groups whose rewards, (rollouts,) or (rollouts, components), are all equal: they teach nothing."""
    distinct = groups.unique()
    return sum(bool((rewards[groups == group] == rewards[groups == group][0]).all()) for group in distinct) / len(
        distinct
    )


def mean_over_ranks(values: Tensor) -> float:
    """Mean over the values of all processes, each of which holds its own share; of this process where it is alone.

    The engines give an estimator the whole step's rollouts in one process; this is for trainers that share them out.
    """
    total = torch.stack([values.sum(), values.new_tensor(float(len(values)))]).double()  # where the values are
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(total)
    return float(total[0] / total[1])
