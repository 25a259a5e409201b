"""How the results of rewards are obtained: from the scoring service, or by a call in this process where there is none."""

import asyncio
import inspect
import time
from collections.abc import Iterable
from typing import Any

from medrl.scoring.given import copied
from medrl.scoring.loaded import LoadedReward
from medrl.scoring.workers.service import Outcome, Service


async def outcomes_of(calls: Iterable[tuple[LoadedReward, Any]], pool: Service | None = None) -> list[Outcome]:
    """What became of calls of rewards with their arguments (for a reward of groups a list of them), in their order.

    No call sees what another does to its arguments. Without `pool` they are made here, one after another, coroutines at
    the same time, and none has a deadline.
    """
    if pool is not None:
        return await asyncio.wrap_future(pool.submit((reward.name, given) for reward, given in calls))
    outcomes = [_begun(reward, copied(given)) for reward, given in calls]
    waiting = [place for place, outcome in enumerate(outcomes) if inspect.isawaitable(outcome.result)]
    for place, outcome in zip(waiting, await asyncio.gather(*(_ended(outcomes[place]) for place in waiting))):
        outcomes[place] = outcome
    return outcomes


async def result_of(reward: LoadedReward, given: dict[str, Any]) -> Any:
    """What the reward returns for verl's four arguments, awaited if it is asynchronous."""
    result = _called(reward, given)
    return await result if inspect.isawaitable(result) else result


def _called(reward: LoadedReward, given: Any) -> Any:
    function = reward.plugin.target
    return function(given, **reward.kwargs) if reward.of_group else function(**given, **reward.kwargs)


def _begun(reward: LoadedReward, given: Any) -> Outcome:
    """The outcome of a call, or a coroutine and when it began; a task for each call would cost more than most rewards."""
    begun = time.perf_counter()
    try:
        result = _called(reward, given)
    except Exception as error:  # the boundary: a user's reward may raise anything
        result = error
    return Outcome(result, begun if inspect.isawaitable(result) else time.perf_counter() - begun)


async def _ended(outcome: Outcome) -> Outcome:
    try:
        result = await outcome.result
    except Exception as error:
        result = error
    return Outcome(result, time.perf_counter() - outcome.seconds)
