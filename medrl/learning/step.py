"""What both engines do with a step's rollouts before and after the update: advantages, metrics, the held-out result."""

from collections.abc import Sequence
from typing import Any

import torch

from medrl.errors import MedrlError
from medrl.evaluation.turns import turn_metrics
from medrl.evaluation.validate import mean_scores
from medrl.learning.advantages.groups import zero_spread
from medrl.learning.estimator import Estimator, group_numbers, judged, load_estimator
from medrl.recipe import Recipe
from medrl.record.run import Run
from medrl.rollout.refused import TOKENS
from medrl.rollout.types import Rollout
from medrl.scoring.rewards import common_reasons, missing_share
from medrl.scoring.spent import scoring_metrics

SHOWN_QUESTIONS, SHOWN_PROMPTS = 48, 8  # held-out questions and training prompts whose pictures are kept for the report


def give_advantages(
    recipe: Recipe, rollouts: Sequence[Rollout], step: int, estimator: Estimator | None = None
) -> dict[str, float]:
    """Fill `advantage` of every rollout to train on; returns `reward/…`, `group/…`, `advantage/…` and `rollout/…` metrics.

    A rollout has none when it has no score, when its group was left out (filtering.py), or when `algorithm.mask_over_turns`
    masks it. The estimator sees those that are trained on; metrics are of all that were asked, so that the mean reward is
    the policy's and not the filter's. Raises MedrlError, with the commonest reasons, when too many rollouts have no score.
    """
    check_missing(recipe, rollouts, step)
    scored = [rollout for rollout in rollouts if rollout.reward is not None]
    if not scored:
        return _metrics(rollouts)
    kept = [rollout for rollout in scored if not rollout.filtered]
    shaped = fill_advantages(recipe, kept, estimator or load_estimator(recipe.algorithm)) if kept else {}
    totals = torch.tensor([rollout.reward for rollout in scored], dtype=torch.float32)
    masked = {}
    if recipe.algorithm.mask_over_turns:
        masked["rollout/masked_over_turns"] = mask_over_turns(kept) / len(rollouts)
    return {
        "reward/mean": totals.mean().item(),
        "reward/std": totals.std().item() if len(totals) > 1 else 0.0,
        **shaped,
        **masked,
        **_metrics(rollouts),
    }


def check_missing(recipe: Recipe, rollouts: Sequence[Rollout], step: int) -> None:
    """MedrlError, with the commonest reasons, when more of a step's rollouts have no score than `scoring.max_missing`."""
    if (share := missing_share(rollouts)) > recipe.scoring.max_missing:
        raise MedrlError(
            f"step {step + 1}: {share:.0%} of the rollouts have no score; scoring.max_missing={recipe.scoring.max_missing}. "
            f"The most common reasons:\n{common_reasons(rollouts)}\nMend the reward (`rewards:` in the recipe) and run again; "
            "the run resumes from its last checkpoint."
        )


def fill_advantages(recipe: Recipe, scored: Sequence[Rollout], estimator: Estimator) -> dict[str, float]:
    """`advantage` of a step's rollouts, all of which have a reward; returns the estimator's metrics and the share of groups
    that teach nothing."""
    advantages, metrics = estimator.advantages(recipe, scored)
    for rollout, advantage in zip(scored, advantages.tolist()):
        rollout.advantage = advantage
    spread = zero_spread(judged(recipe, scored, estimator.asks_for), group_numbers(scored))
    return {"group/zero_spread": spread, **metrics}


def mask_over_turns(rollouts: Sequence[Rollout]) -> int:
    """Take the advantage from rollouts that a limit ended, after they have counted in their group's mean; returns how many.

    They give no gradient then, neither of the policy nor of the KL term. Like a rollout without a score, one still counts
    among the replies that a loss is averaged over; its tokens do not count where the average is over tokens. Source:
    Mini-o3's over-turn masking (arXiv 2509.07969), since to call it wrong teaches the model to answer early.
    """
    masked = [rollout for rollout in rollouts if rollout.unfinished]
    for rollout in masked:
        rollout.advantage = None
    return len(masked)


def keep_validation(
    run: Run, step: int, summary: dict[str, Any], rollouts: list[Rollout], constant: dict[str, Any]
) -> dict[str, float]:
    """Write a held-out result into eval/, the best constant answer beside it; returns it as `val/…` metrics."""
    beside = {"constant_answer": "reward", "constant_answer_low": "low", "constant_answer_high": "high"}
    summary["metrics"] |= {name: constant[key] for name, key in beside.items()}
    run.write_eval(step, summary, rollouts)
    flat = {
        "val/reward": summary["reward"],
        "val/reward_low": summary["low"],
        "val/reward_high": summary["high"],
        **{f"val/{name}": value for name, value in summary["metrics"].items()},
    }
    return flat if summary["parse_rate"] is None else {**flat, "val/parse_rate": summary["parse_rate"]}


def _metrics(rollouts: Sequence[Rollout]) -> dict[str, float]:
    lengths = [len(rollout.token_ids) for rollout in rollouts]
    return {
        "reward/missing": missing_share(rollouts),
        **mean_scores(rollouts),
        **scoring_metrics(rollouts),
        "rollout/length": sum(lengths) / len(lengths),
        "rollout/length_max": float(max(lengths)),
        "rollout/truncated": sum(rollout.end_reason == "length" for rollout in rollouts) / len(rollouts),
        "rollout/refused": sum(TOKENS in rollout.missing for rollout in rollouts) / len(rollouts),
        **turn_metrics(rollouts),
    }
