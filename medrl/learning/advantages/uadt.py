"""Advantages shaped by uncertainty (OphthaReason's UADT, reconstructed): more weight where the policy is less sure.

The authors published neither the formula nor the constants; that there is an entropy, an exponential moving average, a
tanh, gamma and lambda is known. All else here is a reconstruction with every choice exposed, and no claim about theirs.
"""

import math

import torch
from torch import Tensor

from medrl.learning.advantages.groups import group_means, mean_over_ranks
from medrl.learning.advantages.grpo import grpo
from medrl.learning.estimator import Estimate, State

FORMS = ("multiplicative", "additive")


def uadt(
    rewards: Tensor,
    groups: Tensor,
    entropies: Tensor,
    state: State,
    *,
    gamma: float = 0.9,
    lambda_: float = 0.5,
    scale: float | str = 1.0,
    form: str = "multiplicative",
    kappa: float = 2.0,
    epsilon: float = 1e-4,
) -> Estimate:
    """GRPO's advantages A_i of group q, times 1 + lambda w_q, or plus lambda w_q h_i / mu.

    h_i: `entropies`, mean nats per token of the model's own; u_q: mean of h_i over the group; mu <- gamma mu + (1 - gamma)
    mean(u_q), which begins as the first step's mean(u_q); w_q = tanh((u_q - mu) / scale), in (-1, 1). `scale` `std` takes
    the moving standard deviation of u_q instead of a number of nats. The additive bonus is cut to |A_i| / kappa, so that
    with kappa > 1 no sign changes; the multiplicative form keeps signs for |lambda| < 1 and lies within (1 + |lambda|) |A_i|.
    lambda 0 is GRPO to the last bit. `state`: {mu, variance}; over several processes mu is the mean of all their groups.

    >>> found = uadt(torch.tensor([1.0, 0.0, 1.0, 0.0]), torch.tensor([0, 0, 1, 1]), torch.tensor([2.0, 2.0, 0.0, 0.0]), {})
    >>> [round(value, 3) for value in found.advantages.tolist()], found.state["mu"]  # tanh(1) = 0.762
    ([0.976, -0.976, 0.438, -0.438], 1.0)
    """
    advantages = grpo(rewards, groups, epsilon)
    entropies = entropies.detach().double()
    means, index = group_means(entropies, groups)  # (groups,), (rollouts,)
    now = mean_over_ranks(means)
    mu = gamma * state["mu"] + (1 - gamma) * now if state else now
    spread = mean_over_ranks((means - mu) ** 2)
    variance = gamma * state["variance"] + (1 - gamma) * spread if state else spread
    width = max(variance**0.5, 1e-8) if scale == "std" else float(scale)
    weights = torch.tanh((means - mu) / width)  # (groups,)
    if form == "multiplicative":
        shaped = advantages * (1 + lambda_ * weights)[index].to(advantages)
    else:
        bonus = (lambda_ * weights[index] * entropies / max(mu, 1e-8)).to(advantages)
        limit = advantages.abs() / kappa
        shaped = advantages + bonus.clamp(-limit, limit)
    told = {"uncertainty": now, "reference": mu, "weight_mean": weights.mean(), "weight_max": weights.abs().max()}
    return Estimate(shaped, {"mu": mu, "variance": variance}, {name: float(value) for name, value in told.items()})


def check_kwargs(
    *, gamma: float, lambda_: float, scale: float | str, form: str, kappa: float, epsilon: float
) -> list[str]:
    """What is wrong with the recipe's values, if anything."""
    numbers = {"gamma": gamma, "lambda": lambda_, "kappa": kappa, "epsilon": epsilon}
    if faults := [f"{name}={value}: expected a number" for name, value in numbers.items() if not _is_number(value)]:
        return faults
    if not 0 <= gamma < 1:
        faults.append(f"gamma={gamma}: expected at least 0 and below 1, the share of the old reference that is kept")
    if form not in FORMS:
        faults.append(f"form={form}: expected one of {', '.join(FORMS)}")
    if abs(lambda_) >= 1 and form == "multiplicative":
        faults.append(
            f"lambda={lambda_}: expected above -1 and below 1; beyond, right and wrong answers would change places"
        )
    if scale != "std" and not (_is_number(scale) and float(scale) > 0):
        faults.append(f"scale={scale}: expected nats above 0, or `std`")
    if kappa <= 1:
        faults.append(f"kappa={kappa}: expected above 1; the bonus would outweigh the advantage")
    if epsilon < 0:
        faults.append(f"epsilon={epsilon}: expected 0 or above")
    return faults


def _is_number(value: object) -> bool:
    """A recipe may hold anything, `.nan` and `yes` among it."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
