"""A recipe's rewards as one function of verl's: `reward.custom_reward_function` of a plain verl run points here.

verl shows a reward one reply at a time, so a reward that compares the attempts of a group is refused.
"""

import asyncio
import copy
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from medrl.errors import MedrlError
from medrl.recipe_file import load_recipe
from medrl.scoring.compose import gated_entries, total
from medrl.scoring.loaded import LoadedReward, load_rewards
from medrl.scoring.obtain import result_of
from medrl.scoring.returned import numbers_of


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: dict[str, Any] | None = None,
    *,
    recipe: str,
    changes: Sequence[str] = (),
) -> dict[str, float]:
    """`score` is the recipe's sum of its rewards, gates kept; every part is returned as `name/entry` beside it."""
    extra = extra_info or {}
    known = _rewards(recipe, tuple(changes))
    rewards = [one for one in known if not one.kinds or extra.get("kind") in one.kinds]
    given = {"data_source": data_source, "solution_str": solution_str, "ground_truth": ground_truth}
    results = await asyncio.gather(*(result_of(one, {**given, "extra_info": copy.deepcopy(extra)}) for one in rewards))
    found = {one.name: numbers_of(result) for one, result in zip(rewards, results)}
    parts = {f"{name}/{entry}": value for name, entries in found.items() for entry, value in entries.items()}
    rules = {one.name: one for one in known}
    return {"score": total(parts, rules), **parts, **gated_entries(parts, rules)}


@cache
def _rewards(recipe: str, changes: tuple[str, ...]) -> list[LoadedReward]:
    path = Path(recipe)
    rewards = load_rewards(load_recipe(path, changes).rewards, path.parent)
    if fault := group_fault(rewards):
        raise MedrlError(f"{recipe}: {fault}")
    return rewards


def group_fault(rewards: Sequence[LoadedReward]) -> str:
    """Why these rewards cannot be had under plain verl; empty where they can."""
    names = ", ".join(f"rewards.{reward.name}" for reward in rewards if reward.of_group)
    return f"{names}: needs a whole group, and plain verl scores one reply at a time; leave it out." if names else ""
