"""Held-out reward: sampled attempts as the headline, the greedy reply beside it, and what a constant answer would get."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from medrl.dialogue.tokens import Prompt, PromptBuilder
from medrl.evaluation.calibration import calibration_metrics
from medrl.evaluation.intervals import bootstrap_interval
from medrl.evaluation.slices import Slicing, slice_metrics
from medrl.evaluation.turns import gain_over_turn_one, turn_metrics
from medrl.rollout.episode import run_group_episodes
from medrl.rollout.interaction import Interaction
from medrl.rollout.types import Engine, Rollout, Sampling
from medrl.scoring.loaded import LoadedReward
from medrl.scoring.rewards import score_rollouts, score_rollouts_async
from medrl.scoring.workers.service import Service


def validate(
    engine: Engine,
    builder: PromptBuilder,
    rewards: Sequence[LoadedReward],
    prompts: Sequence[Prompt],
    attempts: int,
    sampling: Sampling,
    interaction: Interaction | None = None,
    pool: Service | None = None,
    slicing: Slicing | None = None,
) -> tuple[dict[str, Any], list[Rollout]]:
    """(summary V of summary.json, the sampled rollouts). Each question has its own random stream, the same at every step.

    To a reward of groups the sampled attempts at a question are one group, and its greedy reply is one by itself.
    """
    sampled = run_group_episodes(engine, builder, prompts, attempts, sampling, "val", interaction=interaction)
    best = Sampling(0.0, sampling.max_new_tokens, sampling.seed)
    greedy = run_group_episodes(engine, builder, prompts, 1, best, "val", interaction=interaction)

    async def score() -> None:
        await asyncio.gather(*(score_rollouts_async(rollouts, rewards, pool) for rollouts in (sampled, greedy)))

    asyncio.run(score())
    return summarise(sampled, greedy, attempts, rewards, pool, slicing), sampled


def summarise(
    sampled: Sequence[Rollout],
    greedy: Sequence[Rollout],
    attempts: int,
    rewards: Sequence[LoadedReward],
    pool: Service | None = None,
    slicing: Slicing | None = None,
) -> dict[str, Any]:
    """V of summary.json from scored rollouts: `attempts` sampled replies of each question in turn, and its greedy one.

    The denominator is always every question: a reply without a score counts 0 here and is reported as `missing`.
    `rewards` grade the first replies of episodes, for what acting gained; `slicing` tells results apart (slices.py).
    """
    per_question = [
        sum(rollout.reward or 0.0 for rollout in sampled[start : start + attempts]) / attempts
        for start in range(0, len(sampled), attempts)
    ]
    low, high = bootstrap_interval(per_question)
    metrics = mean_scores(sampled)
    metrics["greedy_reward"] = sum(rollout.reward or 0.0 for rollout in greedy) / len(greedy)
    metrics["missing"] = sum(rollout.reward is None for rollout in sampled) / len(sampled)
    metrics["truncated"] = sum(rollout.end_reason == "length" for rollout in sampled) / len(sampled)
    metrics["length"] = sum(len(rollout.token_ids) for rollout in sampled) / len(sampled)
    metrics |= turn_metrics(sampled)
    metrics |= {**gain_over_turn_one(sampled, rewards, pool), **calibration_metrics(sampled)}
    if slicing is not None:
        metrics |= slice_metrics(sampled, slicing)
    return {
        "reward": sum(per_question) / len(per_question),
        "low": low,
        "high": high,
        "n": len(per_question),
        "parse_rate": _parse_rate(sampled),
        "metrics": metrics,
    }


def best_constant(
    prompts: Sequence[Prompt],
    builder: PromptBuilder,
    rewards: Sequence[LoadedReward],
    candidates: int = 20,
    pool: Service | None = None,
) -> dict[str, Any]:
    """The best reward of one fixed, well-formed reply to every held-out question, with its interval.

    Tries the held-out set's own most frequent answers, so it is an upper bound of what ignoring the picture can earn.
    """
    common = Counter(prompt.ground_truth for prompt in prompts).most_common(candidates)
    best: dict[str, Any] = {}
    for answer, _ in common:
        reply = (
            f"<think>Always the same.</think><answer>{answer}</answer>"
            if builder.style.thinks
            else f"<answer>{answer}</answer>"
        )
        rollouts = [
            Rollout(prompt=prompt, attempt=0, token_ids=[0], mask=[1], logprobs=[0.0], text=reply, end_reason="eos")
            for prompt in prompts
        ]
        score_rollouts(rollouts, rewards, pool)
        values = [rollout.reward or 0.0 for rollout in rollouts]
        if not best or sum(values) / len(values) > best["reward"]:
            low, high = bootstrap_interval(values)
            best = {"answer": answer, "reward": sum(values) / len(values), "low": low, "high": high}
    return best


def mean_scores(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Mean of every entry any reward returned, over the rollouts that have it."""
    values: dict[str, list[float]] = {}
    for rollout in rollouts:
        for name, value in rollout.scores.items():
            values.setdefault(f"reward/{name}", []).append(value)
    return {name: sum(found) / len(found) for name, found in sorted(values.items())}


def _parse_rate(rollouts: Sequence[Rollout]) -> float | None:
    """Share of replies whose answer could be read, by every reward that says so; None when none does."""
    flags = [
        all(value > 0 for name, value in rollout.scores.items() if name.endswith("/answered"))
        for rollout in rollouts
        if any(name.endswith("/answered") for name in rollout.scores)
    ]
    return sum(flags) / len(rollouts) if flags else None
