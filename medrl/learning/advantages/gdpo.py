"""GDPO: every reward normalised within its group by itself, then summed."""

import torch
from torch import Tensor

from medrl.learning.advantages.groups import nonzero
from medrl.learning.advantages.grpo import grpo


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
    return summed / nonzero(summed.std() + epsilon)


def check_kwargs(*, epsilon: float) -> list[str]:
    """What is wrong with the recipe's numbers, if anything."""
    return [] if epsilon >= 0 else [f"epsilon={epsilon}: expected 0 or above"]
