"""Load the rewards a recipe names, try each once before anything heavy starts, and turn rollouts into scores.

A reward that raises, or returns no finite number, leaves its rollout *missing* with a reason; missing is never 0 and
never enters a group's mean. Above `scoring.max_missing` the run stops and says the most common reasons.
"""

import asyncio
import copy
import inspect
import math
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrl.data.sample import Sample
from medrl.dialogue.tokens import Prompt
from medrl.errors import MedrlError
from medrl.plugin import Plugin, check_call, load_plugin
from medrl.recipe import Reward
from medrl.rollout.refused import TOKENS
from medrl.rollout.types import Rollout

ARGUMENTS = ("data_source", "solution_str", "ground_truth", "extra_info")


@dataclass(frozen=True)
class LoadedReward:
    """One reward of the recipe: its function, weight and keyword arguments."""

    name: str
    plugin: Plugin
    weight: float
    kwargs: dict[str, Any]
    kinds: tuple[str, ...] = ()

    def applies(self, sample: Sample) -> bool:
        """Whether this reward has a say about the sample's kind of question."""
        return not self.kinds or sample.kind in self.kinds


def load_rewards(rewards: dict[str, Reward], beside: Path | None = None) -> list[LoadedReward]:
    """Load every reward and check that it takes verl's four arguments and the recipe's kwargs; MedrlError lists all faults."""
    loaded, problems = [], []
    for name, reward in rewards.items():
        try:
            plugin = load_plugin(reward.use, "compute_score", beside)
            check_call(plugin, (), {**dict.fromkeys(ARGUMENTS), **reward.kwargs})
        except MedrlError as error:
            problems.append(f"rewards.{name}: {error}")
            continue
        loaded.append(LoadedReward(name, plugin, reward.weight, dict(reward.kwargs), tuple(reward.kinds)))
    if problems:
        raise MedrlError("\n".join(problems))
    return loaded


def probe(rewards: Sequence[LoadedReward], prompt: Prompt) -> None:
    """Call each reward that applies once on a made-up reply, so that one that always raises is found before a model is loaded."""
    reply = f"<think>A trial reply.</think><answer>{prompt.ground_truth}</answer>"
    for reward in rewards:
        if not reward.applies(prompt.sample):
            continue
        try:
            numbers_of(asyncio.run(_call(reward, prompt, reply)))
        except Exception:
            raise MedrlError(
                f"rewards.{reward.name}: {reward.plugin.path} raised on a trial reply to {prompt.sample.id} "
                f"(ground truth {prompt.ground_truth!r}):\n{traceback.format_exc()}"
            ) from None


def score_rollouts(rollouts: Sequence[Rollout], rewards: Sequence[LoadedReward]) -> None:
    """`score_rollouts_async` for callers outside an event loop."""
    asyncio.run(score_rollouts_async(rollouts, rewards))


async def score_rollouts_async(rollouts: Sequence[Rollout], rewards: Sequence[LoadedReward]) -> None:
    """Fill `scores` (`name/entry`), `missing` (name to reason) and `reward` (weighted sum, None if a part is missing).

    A reward that does not apply to a question adds nothing. A rollout that may not train is not shown to any.
    """
    plans = [
        [] if TOKENS in rollout.missing else [reward for reward in rewards if reward.applies(rollout.prompt.sample)]
        for rollout in rollouts
    ]
    found = await asyncio.gather(
        *(
            asyncio.gather(
                *(_call(reward, rollout.prompt, rollout.text, record_of(rollout)) for reward in plan),
                return_exceptions=True,
            )
            for rollout, plan in zip(rollouts, plans)
        )
    )
    for rollout, plan, results in zip(rollouts, plans, found):
        total = 0.0
        for reward, result in zip(plan, results):
            try:
                if isinstance(result, BaseException):
                    raise result
                entries = numbers_of(result)
            except Exception as error:  # the boundary: a user's reward may raise anything
                rollout.missing[reward.name] = _reason(error)
                continue
            rollout.scores |= {f"{reward.name}/{entry}": value for entry, value in entries.items()}
            total += reward.weight * entries["score"]
        rollout.reward = None if rollout.missing else total


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


def record_of(rollout: Rollout) -> dict[str, Any] | None:
    """What a reward may know of an episode with an environment, as `extra_info["rollout"]`; None without one.

    `actions`: what the environment confirmed, in order. Tool use is counted here and never in a reply's text. `asked`: per
    turn, whether it held an action that could be read, done or not. Boxes are in pixels of the pictures in `image_sizes`.
    """
    if not rollout.turns:
        return None
    return {
        "turns": [turn.text for turn in rollout.turns],
        "asked": [bool(turn.asked and turn.asked["name"]) for turn in rollout.turns],
        "image_sizes": [list(size) for size in rollout.prompt.image_sizes_px],
        "actions": [turn.confirmed for turn in rollout.turns if turn.confirmed is not None],
        "refused": sum(turn.fault is not None for turn in rollout.turns),
        "end_reason": rollout.end_reason,
    }


async def _call(reward: LoadedReward, prompt: Prompt, reply: str, record: dict[str, Any] | None = None) -> Any:
    # a copy, so that a reward that writes into extra_info cannot change the next one's (verl's manager shares it)
    extra_info = copy.deepcopy(prompt.sample.extra_info)
    if record is not None:
        extra_info["rollout"] = copy.deepcopy(record)
    if prompt.answer_size_px is not None:
        extra_info["image_size"] = list(prompt.answer_size_px)
    given = (prompt.sample.data_source, reply, prompt.ground_truth, extra_info)
    return await result_of(reward, dict(zip(ARGUMENTS, given)))


async def result_of(reward: LoadedReward, given: dict[str, Any]) -> Any:
    """What the reward returns for verl's four arguments, awaited if it is asynchronous."""
    result = reward.plugin.target(**given, **reward.kwargs)
    return await result if inspect.isawaitable(result) else result


def numbers_of(result: Any) -> dict[str, float]:
    """A reward's return value as named floats with a `score`; what is not a number is left to the reward itself."""
    entries = result if isinstance(result, dict) else {"score": result}
    if "score" not in entries:
        raise ValueError(f"returned a dict without 'score': {sorted(entries)}")
    numbers = {key: float(value) for key, value in entries.items() if isinstance(value, (int, float))}
    if "score" not in numbers or not all(math.isfinite(value) for value in numbers.values()):
        raise ValueError(f"returned {entries!r}; expected finite numbers")
    return numbers


def _reason(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name} line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {str(error)[:200]}{place}"
