"""The clipped policy-gradient loss, its KL penalty, and how token losses are added up. Pure torch, shared by both engines.

All tensors are (rollouts, tokens); `mask` is 1 on the model's own tokens. Aggregation is a table of weights computed once
for the whole batch, so any split into micro-batches gives the same sum and the same gradient.
"""

import torch
from torch import Tensor


def importance_ratio(logprobs: Tensor, old_logprobs: Tensor, mask: Tensor, level: str) -> Tensor:
    """pi(token) / pi_old(token), or with `level` sequence one ratio s for all own tokens of a reply; (rollouts, tokens).

    s_i = exp(mean_t (log pi_t - log pi_old_t)) over the T_i own tokens, hence ds_i = s_i / T_i sum_t d log pi_t: a reply is
    clipped as a whole, and a token's gradient does not depend on its own ratio. Source: GSPO (arXiv 2507.18071), which
    aggregates by seq-mean-token-mean and clips at 3e-4 and 4e-4, since a mean over tokens stays far closer to 1 than one
    token's ratio. verl's `gspo` has the same value and gradient, and besides holds s below e^10.
    """
    gap = logprobs - old_logprobs
    if level == "sequence":
        own = mask.sum(1, keepdim=True).clamp(min=1)
        gap = ((gap * mask).sum(1, keepdim=True) / own).expand_as(gap)
    return gap.exp()


def clipped_loss(ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> tuple[Tensor, Tensor]:
    """(token losses, 1 where clipping took the gradient away). `advantages`: (rollouts,). Source: PPO, arXiv 1707.06347;
    the two bounds apart as in DAPO, arXiv 2503.14476."""
    advantage = advantages[:, None]
    free = -advantage * ratio
    clipped = -advantage * ratio.clamp(1 - clip_low, 1 + clip_high)
    return torch.maximum(free, clipped), (clipped > free).float()


def k3_kl(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """Estimate of KL(policy || reference) per token, never negative: exp(d) - d - 1 with d = reference - policy.

    Source: http://joschu.net/blog/kl-approx.html, as GRPO was published. TRL 1.16 multiplies it by the ratio unless told
    `use_bias_correction_kl=False`: the same value on-policy, another gradient.
    """
    difference = reference_logprobs - logprobs
    return difference.exp() - difference - 1


def token_weights(mask: Tensor, mode: str, max_new_tokens: int, rollouts: int | None = None) -> Tensor:
    """What each token's loss counts, (rollouts, tokens); the batch's loss is the weighted sum.

    token-mean: every token alike. seq-mean-token-mean: mean over a reply, then over replies (GRPO). seq-mean-token-sum:
    sum over a reply, mean over replies. seq-mean-token-sum-norm: the same divided by `max_new_tokens`, so length has no
    influence (Dr. GRPO). Names are verl's. `rollouts` counts the batch's replies, those without a score included.
    """
    count = mask.shape[0] if rollouts is None else rollouts
    if mode == "token-mean":
        return mask / mask.sum().clamp(min=1)
    if mode == "seq-mean-token-mean":
        return mask / mask.sum(1, keepdim=True).clamp(min=1) / count
    if mode == "seq-mean-token-sum":
        return mask / count
    if mode == "seq-mean-token-sum-norm":
        return mask / (count * max_new_tokens)
    raise ValueError(f"unknown loss aggregation {mode!r}")


def default_aggregation(advantage: str) -> str:
    """The aggregation an estimator was published with."""
    return "seq-mean-token-sum-norm" if advantage == "dr_grpo" else "seq-mean-token-mean"
