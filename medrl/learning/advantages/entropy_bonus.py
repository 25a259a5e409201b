"""A bonus for unsure replies, cut so that it never turns an advantage round: the control for `uadt`, without its reference."""

import torch
from torch import Tensor

from medrl.learning.advantages.grpo import grpo
from medrl.learning.estimator import Estimate


def entropy_bonus(
    rewards: Tensor,
    groups: Tensor,
    entropies: Tensor,
    *,
    alpha: float = 0.4,
    kappa: float = 2.0,
    epsilon: float = 1e-4,
) -> Estimate:
    """GRPO's advantages A_i plus psi_i = min(alpha h_i, |A_i| / kappa); all of shape (rollouts,).

    h_i: `entropies`, mean nats per token of the model's own; no gradient flows through it. A right reply gains and a wrong
    one loses less the less sure the policy was; with kappa > 1 the sign stays, and where A_i is 0 nothing is added. Source:
    Reasoning with Exploration (arXiv 2506.14758), whose bonus is per token, from that token's own entropy; this one is
    per reply, from their mean, so that it is the control for `uadt`. alpha and kappa are the paper's.

    >>> found = entropy_bonus(torch.tensor([1.0, 0.0]), torch.tensor([0, 0]), torch.tensor([0.5, 2.0]), epsilon=0.0)
    >>> [round(value, 3) for value in found.advantages.tolist()]  # 0.707 + 0.4 x 0.5, -0.707 + 0.707 / 2
    [0.907, -0.354]
    """
    advantages = grpo(rewards, groups, epsilon)
    limit = advantages.abs() / kappa
    bonus = torch.minimum((alpha * entropies.detach()).to(advantages), limit)
    moved = advantages != 0
    told = {"bonus_mean": bonus.mean(), "bonus_cut": (bonus >= limit)[moved].float().mean()} if moved.any() else {}
    return Estimate(advantages + bonus, metrics={name: float(value) for name, value in told.items()})


def check_kwargs(*, alpha: float, kappa: float, epsilon: float) -> list[str]:
    """What is wrong with the recipe's numbers, if anything."""
    faults = []
    if not alpha >= 0:
        faults.append(f"alpha={alpha}: expected 0 or above; below, it would be a penalty")
    if not kappa > 1:
        faults.append(f"kappa={kappa}: expected above 1; the bonus would outweigh the advantage")
    if not epsilon >= 0:
        faults.append(f"epsilon={epsilon}: expected 0 or above")
    return faults
