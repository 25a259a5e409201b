"""medrl's metric names for what verl measured; verl's own stay beside them under their own names."""

import math
from typing import Any

from torch import Tensor

from medrl.learning.losses import k3_kl

# ours: (verl's, how many of verl's seconds or values are added up)
SAME = {
    "policy/clip_fraction": ("actor/pg_clipfrac",),
    "optimizer/grad_norm": ("actor/grad_norm",),
    "time/generate_s": ("timing_s/gen",),
    "time/score_s": ("timing_s/adv",),
    "time/update_s": ("timing_s/old_log_prob", "timing_s/ref", "timing_s/update_actor", "timing_s/update_weights"),
}


def policy_metrics(fields: dict[str, Tensor], trained: Tensor) -> dict[str, float]:
    """Means over the trained tokens. `fields`: (rollouts, tokens) each, padded with 0; `trained`: (rollouts,) bool.

    Nothing where no token was trained on, as in engine `local`: a 0 would be taken for a collapse of entropy.
    `policy/engine_gap` is |log-probability of the actor - of vLLM|, the measure of whether the two are one policy.
    """
    mask = fields["response_mask"] * trained[:, None]
    tokens = mask.sum()
    if not tokens:
        return {}
    gap = (fields["old_log_probs"] - fields["rollout_log_probs"]).abs() * mask
    found = {
        "policy/entropy": (fields["entropy"] * mask).sum() / tokens,
        "policy/engine_gap": gap.sum() / tokens,
        "policy/engine_gap_max": gap.max(),
    }
    if "ref_log_prob" in fields:
        found["policy/kl"] = (k3_kl(fields["old_log_probs"], fields["ref_log_prob"]) * mask).sum() / tokens
    return {name: float(value) for name, value in found.items()}


def mean_entropies(entropies: Tensor, mask: Tensor) -> list[float]:
    """Mean entropy of each reply's own tokens, in nats; both inputs (rollouts, tokens), padded with 0."""
    return ((entropies * mask).sum(1) / mask.sum(1).clamp(min=1)).tolist()


def journal_metrics(metrics: dict[str, Any]) -> dict[str, float]:
    """Plain finite floats, with our names added for verl's."""
    plain = {name: float(value) for name, value in metrics.items() if _is_number(value)}
    for ours, theirs in SAME.items():
        if found := [plain[name] for name in theirs if name in plain]:
            plain[ours] = sum(found)
    if "actor/pg_loss" in plain:  # a loss that is not a number is left out, not told as 0
        plain["policy/loss"] = plain["actor/pg_loss"] + plain.get("actor/kl_loss", 0.0) * plain.get(
            "actor/kl_coef", 0.0
        )
    return plain


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False
