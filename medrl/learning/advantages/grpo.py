"""Group-relative advantages of one reward: GRPO, Dr. GRPO and leave-one-out."""

from torch import Tensor

from medrl.learning.advantages.groups import centred, nonzero


def grpo(rewards: Tensor, groups: Tensor, epsilon: float = 1e-4) -> Tensor:
    """(r - mean of its group) / (std of its group + epsilon), with the unbiased std; both inputs and the result are (rollouts,).

    A group whose rewards are all equal, or that has one member, gets exactly 0. Source: DeepSeekMath (arXiv 2402.03300);
    epsilon as in TRL and Med-R1 (verl uses 1e-6).

    >>> import torch
    >>> grpo(torch.tensor([1.0, 0.0]), torch.tensor([7, 7])).tolist()
    [0.7070068120956421, -0.7070068120956421]
    """
    centre, counts, index = centred(rewards, groups)
    squares = counts.new_zeros(len(counts)).index_add(0, index, centre**2)
    deviation = (squares / (counts - 1).clamp(min=1)).sqrt()
    return centre / nonzero(deviation + epsilon)[index]


def dr_grpo(rewards: Tensor, groups: Tensor) -> Tensor:
    """r - mean of its group, without the division: easy and hard questions keep their weight. Source: arXiv 2503.20783."""
    return centred(rewards, groups)[0]


def rloo(rewards: Tensor, groups: Tensor) -> Tensor:
    """r - mean of the *others* of its group; one alone gets 0. Source: RLOO, arXiv 2402.14740.

    >>> import torch
    >>> rloo(torch.tensor([1.0, 0.0]), torch.tensor([7, 7])).tolist()
    [1.0, -1.0]
    """
    centre, counts, index = centred(rewards, groups)
    return centre * (counts / (counts - 1).clamp(min=1))[index]


def check_kwargs(*, epsilon: float = 1e-4) -> list[str]:
    """What is wrong with the recipe's numbers, if anything; leave-one-out and Dr. GRPO have none."""
    return [] if epsilon >= 0 else [f"epsilon={epsilon}: expected 0 or above"]
