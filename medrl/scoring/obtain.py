"""How the results of rewards are obtained: from the scoring service, or by a call in this process where there is none."""

import asyncio
import copy
import inspect
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from medrl.scoring.service import Outcome, Service

if TYPE_CHECKING:
    from medrl.scoring.rewards import LoadedReward


async def outcomes_of(calls: Iterable[tuple["LoadedReward", Any]], pool: Service | None = None) -> list[Outcome]:
    """What became of calls of rewards with their arguments (for a reward of groups a list of them), in their order.

    No call sees what another does to its arguments. Without `pool` they are made here, one after another, coroutines at
    the same time, and none has a deadline.
    """
    if pool is not None:
        return await asyncio.wrap_future(pool.submit((reward.name, given) for reward, given in calls))
    return list(await asyncio.gather(*(_here(reward, copy.deepcopy(given)) for reward, given in calls)))


async def result_of(reward: "LoadedReward", given: dict[str, Any]) -> Any:
    """What the reward returns for verl's four arguments, awaited if it is asynchronous."""
    result = reward.plugin.target(**given, **reward.kwargs)
    return await result if inspect.isawaitable(result) else result


async def group_results_of(reward: "LoadedReward", group: list[dict[str, Any]]) -> Any:
    """What a group reward returns for the arguments of every rollout of a group, awaited if it is asynchronous."""
    results = reward.plugin.target(group, **reward.kwargs)
    return await results if inspect.isawaitable(results) else results


async def _here(reward: "LoadedReward", given: Any) -> Outcome:
    begun = time.perf_counter()
    try:
        result = await (group_results_of(reward, given) if reward.of_group else result_of(reward, given))
    except Exception as error:  # the boundary: a user's reward may raise anything
        result = error
    return Outcome(result, time.perf_counter() - begun)
