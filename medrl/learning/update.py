"""One GRPO update: from scored rollouts to changed weights.

With one minibatch the update is strictly on-policy: the old log-probabilities are the new ones, detached, so no separate
pass is made. With more, they are computed once by the trainer itself before the first change; the engine's own are only
compared (`policy/engine_gap`), never trained on, since a small difference in kernels would bias the ratio.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medrl.learning.losses import clipped_loss, default_aggregation, importance_ratio, k3_kl, token_weights
from medrl.learning.policy import Policy
from medrl.recipe import Algorithm, Optimizer, Recipe
from medrl.rollout.types import Rollout


@dataclass(frozen=True)
class UpdateSettings:
    """What the update takes from the recipe."""

    algorithm: Algorithm
    temperature: float
    max_new_tokens: int
    minibatches: int
    micro_batch_size: int
    max_grad_norm: float
    share_prompts: bool

    @classmethod
    def of(cls, recipe: Recipe) -> "UpdateSettings":
        return cls(
            algorithm=recipe.algorithm,
            temperature=recipe.sampling.temperature,
            max_new_tokens=recipe.sampling.max_new_tokens,
            minibatches=recipe.training.minibatches,
            micro_batch_size=recipe.training.micro_batch_size,
            max_grad_norm=recipe.optimizer.max_grad_norm,
            # checkpointing throws activations away and cannot keep the shared cache
            share_prompts=not recipe.model.gradient_checkpointing,
        )


class Reference:
    """The model as it stood before GRPO, for the KL term: the base under LoRA, a frozen copy of the weights otherwise."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.weights: dict[str, Tensor] = {
            name: value.detach().clone() for name, value in policy.model.named_parameters() if value.requires_grad
        }

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within this block the policy computes with the reference weights; one model in memory plus what was trainable."""
        parameters = dict(self.policy.model.named_parameters())
        current = {name: parameters[name].data for name in self.weights}
        for name, value in self.weights.items():
            parameters[name].data = value
        try:
            yield
        finally:
            for name, value in current.items():
                parameters[name].data = value


def make_optimizer(policy: Policy, settings: Optimizer) -> torch.optim.AdamW:
    """AdamW over the policy's trainable weights."""
    return adamw(policy.model.parameters(), settings)


def adamw(parameters: Iterable[Tensor], settings: Optimizer) -> torch.optim.AdamW:
    """AdamW over those that are trainable; norms and biases are not decayed. Shared by both engines."""
    trainable = [value for value in parameters if value.requires_grad]
    # ZeRO-3 shows a shared-out weight as an empty row and keeps its shape beside it
    flat = [len(getattr(value, "ds_shape", value.shape)) <= 1 for value in trainable]
    groups = [
        {
            "params": [value for value, is_flat in zip(trainable, flat) if not is_flat],
            "weight_decay": settings.weight_decay,
        },
        {"params": [value for value, is_flat in zip(trainable, flat) if is_flat], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=(settings.beta1, settings.beta2))


def learning_rate(settings: Optimizer, step: int, steps: int) -> float:
    """Rate at 0-based `step`: linear warm-up, then the schedule down to 0 over the rest.

    >>> [round(learning_rate(Optimizer(lr=1.0, warmup_steps=2, schedule="linear"), step, 4), 2) for step in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    warm = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    progress = max(0.0, (step - settings.warmup_steps) / max(1, steps - settings.warmup_steps))
    if settings.schedule == "linear":
        return settings.lr * warm * (1 - progress)
    if settings.schedule == "cosine":
        return settings.lr * warm * 0.5 * (1 + torch.cos(torch.tensor(progress * torch.pi, dtype=torch.float64)).item())
    return settings.lr * warm


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def update(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    rollouts: Sequence[Rollout],
    settings: UpdateSettings,
    reference: Reference | None = None,
    old: dict[int, Tensor] | None = None,
) -> dict[str, float]:
    """Change the weights by one step's rollouts; returns `policy/…` and `optimizer/…` metrics. `old`: of `measure`, where
    there is more than one minibatch.

    Rollouts without an advantage (a missing score) are left out of the gradient but still count in its denominators.
    """
    policy.model.train()
    per_minibatch = -(-len(rollouts) // settings.minibatches)
    minibatches = [rollouts[start : start + per_minibatch] for start in range(0, len(rollouts), per_minibatch)]
    if len(minibatches) == 1:
        old = None  # strictly on-policy
    elif old is None:
        old = measure(policy, rollouts, settings)
    totals: dict[str, float] = {}
    norms = []
    for minibatch in minibatches:
        trained = [rollout for rollout in minibatch if rollout.advantage is not None]
        if not trained:
            continue
        weights = _weights(trained, settings, rollouts_in_batch=len(minibatch))
        tokens = sum(sum(rollout.mask) for rollout in rollouts if rollout.advantage is not None)
        for micro in _micro_batches(trained, settings.micro_batch_size):
            rows = [weights[id(rollout)] for rollout in micro]
            loss, sums = micro_loss(policy, micro, rows, settings, reference, old)
            loss.backward()
            for name, value in sums.items():
                totals[name] = (
                    max(totals.get(name, 0.0), value)
                    if name.endswith("_max")
                    else totals.get(name, 0.0) + value / tokens
                )
            totals["loss"] = totals.get("loss", 0.0) + loss.item() / len(minibatches)
        trainable = [value for value in policy.model.parameters() if value.requires_grad]
        norms.append(torch.nn.utils.clip_grad_norm_(trainable, settings.max_grad_norm).item())
        optimizer.step()
        optimizer.zero_grad()
    metrics = {f"policy/{name}": value for name, value in totals.items()}
    metrics["optimizer/grad_norm"] = sum(norms) / len(norms) if norms else 0.0
    return metrics


@torch.no_grad()
def measure(policy: Policy, rollouts: Sequence[Rollout], settings: UpdateSettings) -> dict[int, Tensor]:
    """Look at the rollouts before the first change of the weights: fills `entropy` of each, and returns the
    log-probabilities of its tokens by `id(rollout)`.

    Without dropout, as the rollouts were drawn; so no random number is used up by looking.
    """
    policy.model.eval()
    # one that may not train, as with tokens that do not fit its pictures, cannot be looked at either
    rollouts = [one for one in rollouts if one.reward is not None or one.advantage is not None]
    old: dict[int, Tensor] = {}
    for micro in _micro_batches(rollouts, settings.micro_batch_size):
        logprobs, mask, entropies = _logprobs(policy, micro, settings, with_entropy=True)
        assert entropies is not None
        own = mask.sum(1).clamp(min=1)
        for rollout, row, entropy in zip(micro, logprobs, (entropies.sum(1) / own).tolist()):
            old[id(rollout)] = row[: len(rollout.token_ids)]
            rollout.entropy = entropy
    return old


def micro_loss(
    policy: Policy,
    rollouts: Sequence[Rollout],
    weights: Sequence[Tensor],
    settings: UpdateSettings,
    reference: Reference | None = None,
    old: dict[int, Tensor] | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """(loss, sums over trained tokens of the metrics). `weights`: one row of token weights per rollout."""
    logprobs, _, entropies = _logprobs(policy, rollouts, settings, with_entropy=True)
    width = logprobs.shape[1]
    own = _stack([torch.tensor(rollout.mask) for rollout in rollouts], width).to(logprobs)
    weight = _stack(weights, width).to(logprobs)
    before = _stack([old[id(rollout)] for rollout in rollouts], width).to(logprobs) if old else logprobs.detach()
    advantages = torch.tensor([rollout.advantage for rollout in rollouts], dtype=logprobs.dtype, device=logprobs.device)
    algorithm = settings.algorithm
    ratio = importance_ratio(logprobs, before, own, algorithm.ratio)
    losses, clipped = clipped_loss(ratio, advantages, algorithm.clip_low, algorithm.clip_high)
    sums = {"clip_fraction": float((clipped * own).sum())}
    if reference is not None and algorithm.kl_coef > 0:
        with torch.no_grad(), reference.in_place():
            reference_logprobs, _, _ = _logprobs(policy, rollouts, settings)
        divergence = k3_kl(logprobs, reference_logprobs)
        losses = losses + algorithm.kl_coef * divergence
        sums["kl"] = float((divergence.detach() * own).sum())
    assert entropies is not None
    sums["entropy"] = float((entropies * own).sum())
    engine = _stack([torch.tensor(rollout.logprobs) for rollout in rollouts], width).to(logprobs)
    gap = ((logprobs.detach() - engine) * own).abs() if not old else ((before - engine) * own).abs()
    sums |= {"engine_gap": float(gap.sum()), "engine_gap_max": float(gap.max())}
    return (losses * weight).sum(), sums


def _weights(rollouts: Sequence[Rollout], settings: UpdateSettings, rollouts_in_batch: int) -> dict[int, Tensor]:
    """Token weights of each rollout, from the whole batch's mask."""
    width = max(len(rollout.token_ids) for rollout in rollouts)
    mask = _stack([torch.tensor(rollout.mask) for rollout in rollouts], width).float()
    mode = settings.algorithm.loss_aggregation or default_aggregation(settings.algorithm.advantage)
    table = token_weights(mask, mode, settings.max_new_tokens, rollouts=rollouts_in_batch)
    return {id(rollout): row[: len(rollout.token_ids)] for rollout, row in zip(rollouts, table)}


def _logprobs(
    policy: Policy, rollouts: Sequence[Rollout], settings: UpdateSettings, with_entropy: bool = False
) -> tuple[Tensor, Tensor, Tensor | None]:
    return policy.token_logprobs(
        [rollout.whole_prompt for rollout in rollouts],
        [rollout.token_ids for rollout in rollouts],
        temperature=settings.temperature,
        masks=[rollout.mask for rollout in rollouts],
        share_prompts=settings.share_prompts,
        with_entropy=with_entropy,
    )


def _micro_batches(rollouts: Sequence[Rollout], size: int) -> Iterator[Sequence[Rollout]]:
    for start in range(0, len(rollouts), size):
        yield rollouts[start : start + size]


def _stack(rows: Sequence[Tensor], width: int) -> Tensor:
    """Rows of different lengths, right-padded with 0 to (rows, width)."""
    table = torch.zeros(len(rows), width, dtype=rows[0].dtype)
    for index, row in enumerate(rows):
        table[index, : len(row)] = row.to(table.device)
    return table
