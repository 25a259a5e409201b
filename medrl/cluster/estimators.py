"""medrl's advantages under verl's registry: `algorithm.adv_estimator=medrl_grpo` in any verl configuration."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from verl.trainer.ppo.core_algos import register_adv_est

from medrl.learning.advantages import ESTIMATORS, Estimator


def register_all() -> None:
    """Offer each of `ESTIMATORS` to verl as `medrl_<name>`."""
    for name, estimator in ESTIMATORS.items():
        register_adv_est(f"medrl_{name}")(token_level(estimator))


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
