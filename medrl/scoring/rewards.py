"""Try each reward of a recipe once before anything heavy starts, and turn rollouts into scores.

A reward scores one rollout (`compute_score`) or all attempts at one question together (`compute_group_scores`). One that
raises, or returns no finite number, leaves its rollouts *missing* with a reason; missing is never 0 and never enters a
group's mean. Above `scoring.max_missing` the run stops and says the most common reasons. compose.py makes the sum.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from medrl.dialogue.tokens import Prompt
from medrl.errors import MedrlError
from medrl.rollout.refused import TOKENS
from medrl.rollout.types import Rollout
from medrl.scoring.compose import gated_entries, total
from medrl.scoring.given import arguments, arguments_of
from medrl.scoring.loaded import LoadedReward
from medrl.scoring.obtain import outcomes_of
from medrl.scoring.returned import entries_of, numbers_of, turn_values_of
from medrl.scoring.signature import asked_for
from medrl.scoring.workers.failed import reason_of, trace_of
from medrl.scoring.workers.service import Service


def probe(rewards: Sequence[LoadedReward], prompt: Prompt, pool: Service | None = None) -> None:
    """Call each reward that applies once on made-up replies, so that one that always raises is found before a model is loaded."""
    replies = (f"<think>A trial reply.</think><answer>{prompt.ground_truth}</answer>", "<think>A trial reply.</think>")
    asked = [reward for reward in rewards if reward.applies(prompt.sample)]
    calls: list[tuple[LoadedReward, Any]] = []
    for reward in asked:
        both = [arguments(prompt, reply, also=asked_for(reward.plugin.target)) for reply in replies]
        calls.append((reward, both if reward.of_group else both[0]))
    for reward, outcome in zip(asked, asyncio.run(outcomes_of(calls, pool))):
        result = outcome.result
        try:
            if isinstance(result, BaseException):
                raise result
            for one in entries_of(result, 2) if reward.of_group else [result]:
                numbers_of(one)
        except Exception as error:
            raise MedrlError(
                f"rewards.{reward.name}: {reward.plugin.path} raised on a trial reply to {prompt.sample.id} "
                f"(ground truth {prompt.ground_truth!r}):\n{trace_of(error)}"
            ) from None


def score_rollouts(rollouts: Sequence[Rollout], rewards: Sequence[LoadedReward], pool: Service | None = None) -> None:
    """`score_rollouts_async` for callers outside an event loop."""
    asyncio.run(score_rollouts_async(rollouts, rewards, pool))


async def score_rollouts_async(
    rollouts: Sequence[Rollout], rewards: Sequence[LoadedReward], pool: Service | None = None
) -> None:
    """Fill `scores` (`name/entry`), `missing` (name to reason) and `reward` (compose.py's sum, None if a part is missing).

    A reward that does not apply to a question adds nothing. Rollouts of one Prompt object are a group. A rollout that is
    missing for another reason than a reward, before it is scored, is shown to none and stands in no group. `pool` answers
    the calls within their deadlines; without it they are made in this process, and none has a deadline.
    """
    await score_each(rollouts, rewards, pool)
    groups: dict[int, list[Rollout]] = {}
    for rollout in rollouts:
        groups.setdefault(id(rollout.prompt), []).append(rollout)
    await asyncio.gather(*(score_group(group, rewards, pool) for group in groups.values()))


async def score_each(rollouts: Sequence[Rollout], rewards: Sequence[LoadedReward], pool: Service | None = None) -> None:
    """The rewards that look at one rollout. Those of a group, and the sum of all, are left to `score_group`."""
    alone = [reward for reward in rewards if not reward.of_group]
    plans = [
        [reward for reward in alone if reward.applies(rollout.prompt.sample)] if _sound(rollout, rewards) else []
        for rollout in rollouts
    ]
    outcomes = iter(await outcomes_of(_calls(rollouts, plans), pool))
    for rollout, plan in zip(rollouts, plans):
        rollout.reward = None
        for reward, outcome in zip(plan, outcomes):
            rollout.score_seconds[reward.name] = outcome.seconds
            _add(rollout, reward, outcome.result)


def _calls(
    rollouts: Sequence[Rollout], plans: Sequence[Sequence[LoadedReward]]
) -> Iterator[tuple[LoadedReward, dict[str, Any]]]:
    """Each rollout's arguments, one object for all rewards that ask for the same."""
    for rollout, plan in zip(rollouts, plans):
        given: dict[frozenset[str], dict[str, Any]] = {}
        for reward in plan:
            also = asked_for(reward.plugin.target)
            if also not in given:
                given[also] = arguments_of(rollout, also)
            yield reward, given[also]


async def score_group(group: Sequence[Rollout], rewards: Sequence[LoadedReward], pool: Service | None = None) -> None:
    """Add the rewards that compare the attempts at one question, all of which have been through `score_each`, and sum up."""
    group = [rollout for rollout in group if _sound(rollout, rewards)]
    asked = [reward for reward in rewards if group and reward.of_group and reward.applies(group[0].prompt.sample)]
    calls = [(one, [arguments_of(rollout, asked_for(one.plugin.target)) for rollout in group]) for one in asked]
    for reward, outcome in zip(asked, await outcomes_of(calls, pool) if calls else []):
        group[0].score_seconds[reward.name] = outcome.seconds  # one call, so it counts once
        try:
            if isinstance(outcome.result, BaseException):
                raise outcome.result
            results: Sequence[Any] = entries_of(outcome.result, len(group))
        except Exception as error:  # the boundary: a user's reward may raise anything
            results = [error] * len(group)
        for rollout, result in zip(group, results):
            _add(rollout, reward, result)
    rules = {reward.name: reward for reward in rewards}
    for rollout in group:
        if not rollout.missing:
            rollout.scores |= gated_entries(rollout.scores, rules)
            rollout.reward = total(rollout.scores, rules)


def missing_share(rollouts: Sequence[Rollout]) -> float:
    """Share of rollouts without a reward."""
    return sum(rollout.reward is None for rollout in rollouts) / len(rollouts)


def common_reasons(rollouts: Sequence[Rollout], most: int = 3) -> str:
    """The most frequent reasons for missing scores, as one readable line each."""
    counts = Counter(
        f"{'rollout' if name == TOKENS else 'rewards'}.{name}: {reason}"
        for rollout in rollouts
        for name, reason in rollout.missing.items()
    )
    return "\n".join(f"  {count} x {reason}" for reason, count in counts.most_common(most))


def _sound(rollout: Rollout, rewards: Sequence[LoadedReward]) -> bool:
    """Whether nothing but a reward keeps it from having a score."""
    return rollout.missing.keys() <= {reward.name for reward in rewards}


def _add(rollout: Rollout, reward: LoadedReward, result: Any) -> None:
    """Take a reward's result into the rollout, or the reason why there is none."""
    try:
        if isinstance(result, BaseException):
            raise result
        entries = numbers_of(result)
        turns = turn_values_of(result, max(1, len(rollout.turns)))
    except Exception as error:  # the boundary: a user's reward may raise anything
        rollout.missing[reward.name] = reason_of(error)
        return
    rollout.scores |= {f"{reward.name}/{entry}": value for entry, value in entries.items()}
    if turns is not None:
        rollout.turn_scores[reward.name] = turns
