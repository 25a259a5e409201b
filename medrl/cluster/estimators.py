"""medrl's advantages under verl's registry: `algorithm.adv_estimator=medrl_grpo` in any verl configuration.

medrl's own trainer computes them itself, those of components too; plain verl's gives an estimator the sum of the rewards
alone, and `medrl_gdpo` says so there.
"""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from verl.trainer.ppo.core_algos import register_adv_est

from medrl.learning.advantages import ESTIMATORS, OF_COMPONENTS, Estimator


def register_all() -> None:
    """Offer each of `ESTIMATORS` and `OF_COMPONENTS` to verl as `medrl_<name>`."""
    for name, estimator in ESTIMATORS.items():
        register_adv_est(f"medrl_{name}")(token_level(estimator))
    for name in OF_COMPONENTS:
        register_adv_est(f"medrl_{name}")(without_components(name))


@cache  # one function for one name: verl refuses a second
def token_level(estimator: Estimator) -> Any:
    """An estimator with verl's signature: token rewards (rollouts, tokens) in, token advantages and returns out."""

    def estimate(
        token_level_rewards: Tensor, response_mask: Tensor, index: np.ndarray, config: Any = None, **_: Any
    ) -> tuple[Tensor, Tensor]:
        groups = torch.tensor(np.unique(index, return_inverse=True)[1])
        advantages = estimator((token_level_rewards * response_mask).sum(-1), groups)
        spread = advantages[:, None] * response_mask
        return spread, spread

    return estimate


@cache
def without_components(name: str) -> Any:
    """What stands in for an estimator of components where verl gives it none."""

    def estimate(*_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        raise ValueError(
            f"algorithm.adv_estimator=medrl_{name}: needs every reward by itself, and plain verl's trainer gives their sum. "
            "Run the recipe with `medrl train`, or choose medrl_grpo."
        )

    return estimate
