"""What both engines do with a step's rollouts before and after the update: advantages, metrics, the held-out result."""

from collections.abc import Sequence
from typing import Any

import torch

from medrl.errors import MedrlError
from medrl.evaluation.turns import turn_metrics
from medrl.evaluation.validate import mean_scores
from medrl.learning.advantages import ESTIMATORS, OF_COMPONENTS, zero_spread
from medrl.recipe import Recipe
from medrl.record.run import Run
from medrl.rollout.refused import TOKENS
from medrl.rollout.types import Rollout
from medrl.scoring.compose import components
from medrl.scoring.rewards import common_reasons, missing_share
from medrl.scoring.spent import scoring_metrics

SHOWN_QUESTIONS, SHOWN_PROMPTS = 48, 8  # held-out questions and training prompts whose pictures are kept for the report


def give_advantages(recipe: Recipe, rollouts: Sequence[Rollout], step: int) -> dict[str, float]:
    """Fill `advantage` of every rollout to train on; returns `reward/…`, `group/…` and `rollout/…` metrics.

    A rollout has none when it has no score, or when `algorithm.mask_over_turns` masks it. Raises MedrlError, with the
    commonest reasons, when too many rollouts have no score.
    """
    if (share := missing_share(rollouts)) > recipe.scoring.max_missing:
        raise MedrlError(
            f"step {step + 1}: {share:.0%} of the rollouts have no score; scoring.max_missing={recipe.scoring.max_missing}. "
            f"The most common reasons:\n{common_reasons(rollouts)}\nMend the reward (`rewards:` in the recipe) and run again; "
            "the run resumes from its last checkpoint."
        )
    scored = [rollout for rollout in rollouts if rollout.reward is not None]
    if not scored:
        return _metrics(rollouts)
    spread = fill_advantages(recipe, scored)
    totals = torch.tensor([rollout.reward for rollout in scored], dtype=torch.float32)
    masked = {}
    if recipe.algorithm.mask_over_turns:
        masked["rollout/masked_over_turns"] = mask_over_turns(scored) / len(rollouts)
    return {
        "reward/mean": totals.mean().item(),
        "reward/std": totals.std().item() if len(totals) > 1 else 0.0,
        "group/zero_spread": spread,
        **masked,
        **_metrics(rollouts),
    }


def fill_advantages(recipe: Recipe, scored: Sequence[Rollout]) -> float:
    """`advantage` of a step's rollouts, all of which have a reward; returns the share of groups that teach nothing.

    Rollouts of one Prompt object are a group. An estimator of components gets every reward as it counts (compose.py).
    """
    number: dict[int, int] = {}
    groups = torch.tensor([number.setdefault(id(rollout.prompt), len(number)) for rollout in scored])
    name = recipe.algorithm.advantage
    if name in OF_COMPONENTS:
        rules = recipe.rewards
        # (rollouts, rewards of any weight)
        judged = torch.tensor(
            [
                [value for name, value in components(rollout.scores, rules).items() if rules[name].weight]
                for rollout in scored
            ],
            dtype=torch.float32,
        )
        weights = torch.tensor([rule.weight for rule in rules.values() if rule.weight], dtype=torch.float32)
        advantages = OF_COMPONENTS[name](judged, weights, groups)
    else:
        judged = torch.tensor([rollout.reward for rollout in scored], dtype=torch.float32)
        advantages = ESTIMATORS[name](judged, groups)
    for rollout, advantage in zip(scored, advantages.tolist()):
        rollout.advantage = advantage
    return zero_spread(judged, groups)


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
