"""medrl's advantages under verl's registry: `algorithm.adv_estimator=medrl_grpo` in any verl configuration.

medrl's own trainer computes them itself, whatever they need; plain verl's gives an estimator the sum of the rewards and the
groups alone, and one that needs more, such as `medrl_uadt`, says so there.
"""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from verl.trainer.ppo.core_algos import register_adv_est

from medrl.learning.estimator import BUILT_IN, Estimator, load_estimator
from medrl.recipe import Algorithm

IN_PLAIN_VERL = {"rewards", "groups"}


def register_all() -> None:
    """Offer each of `BUILT_IN` to verl as `medrl_<name>`."""
    for name in BUILT_IN:
        register_adv_est(f"medrl_{name}")(under_verl(name))


@cache  # one function for one name: verl refuses a second
def under_verl(name: str) -> Any:
    """An estimator with verl's signature, or what says why it cannot be had there."""
    estimator = load_estimator(Algorithm(advantage=name))
    return token_level(estimator) if estimator.asks_for <= IN_PLAIN_VERL else without_more(name, estimator)


def token_level(estimator: Estimator) -> Any:
    """An estimator with verl's signature: token rewards (rollouts, tokens) in, token advantages and returns out."""

    def estimate(
        token_level_rewards: Tensor, response_mask: Tensor, index: np.ndarray, config: Any = None, **_: Any
    ) -> tuple[Tensor, Tensor]:
        groups = torch.tensor(np.unique(index, return_inverse=True)[1])
        advantages = estimator.function(rewards=(token_level_rewards * response_mask).sum(-1), groups=groups)
        spread = advantages[:, None] * response_mask
        return spread, spread

    return estimate


def without_more(name: str, estimator: Estimator) -> Any:
    """What stands in for an estimator that needs more than plain verl gives it."""
    more = ", ".join(sorted(estimator.asks_for - IN_PLAIN_VERL))

    def estimate(*_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        raise ValueError(
            f"algorithm.adv_estimator=medrl_{name}: needs {more}, and plain verl's trainer gives an estimator the summed "
            "rewards and the groups alone. Run the recipe with `medrl train`, or choose medrl_grpo."
        )

    return estimate
