"""The parts that the runs of a sweep name, loaded before the first run starts: estimators, rewards, environments, templates.

Each set of parts is tried once, however many runs share it, and a fault is told with the name of the first run that has it.
Models, data and the cluster are left to the check that every run makes of itself.
"""

import difflib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from medrl.errors import MedrlError
from medrl.recipe import Recipe
from medrl.scoring.loaded import load_rewards
from medrl.sweep.plan import Plan, told


def check_parts(plan: Plan, beside: Path) -> None:
    """MedrlError lists every part that does not load, and a metric of a reward that some runs have not. `beside`: the
    recipe's folder."""
    faults: dict[str, list[str]] = {}
    known: dict[str, list[str]] = {}
    for name, recipe in plan.recipes.items():
        for key, load in _tried(recipe, beside):
            if key not in known:
                known[key] = _faults(load)
            for problem in known[key]:
                faults.setdefault(problem, []).append(name)
        if fault := metric_fault(plan.sweep.metric, recipe):
            faults.setdefault(fault, []).append(name)
    if faults:
        count = f"{len(faults)} mistake{'s' if len(faults) > 1 else ''}"
        listed = [told(problem, names, len(plan.recipes)) for problem, names in faults.items()]
        raise MedrlError("\n".join([f"{plan.sweep.recipe}: {count} in its sweep.", *(f"  - {one}" for one in listed)]))


def metric_fault(metric: str, recipe: Recipe) -> str | None:
    """What is wrong with `val/reward/<name>/…` for a recipe's rewards, or None; other metrics are not looked at."""
    parts = metric.split("/")
    if parts[:2] != ["val", "reward"] or len(parts) == 2:
        return None
    if len(parts) == 3:
        return f"sweep.metric={metric}: expected val/reward, or val/reward/<a reward's name>/score"
    if parts[2] in recipe.rewards:
        return None
    near = difflib.get_close_matches(parts[2], recipe.rewards, n=1)
    hint = f"did you mean {near[0]}?" if near else f"its rewards are {', '.join(recipe.rewards)}"
    return f"sweep.metric={metric}: the recipe has no reward {parts[2]}; {hint}"


def _tried(recipe: Recipe, beside: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """(what a part is made of, how to load it)."""
    estimator = {"advantage": recipe.algorithm.advantage, "kwargs": recipe.algorithm.kwargs}
    yield _key(estimator), partial(_load_estimator, recipe, beside)
    for name, reward in recipe.rewards.items():
        yield _key({name: asdict(reward)}), partial(load_rewards, {name: reward}, beside)
    dialogue = {"env": asdict(recipe.env), "style": recipe.prompt.style}
    yield _key(dialogue), partial(_load_dialogue, recipe, beside)


def _load_estimator(recipe: Recipe, beside: Path) -> None:
    from medrl.learning.estimator import load_estimator  # imports torch

    load_estimator(recipe.algorithm, beside)


def _load_dialogue(recipe: Recipe, beside: Path) -> None:
    from medrl.dialogue.prompts import load_style
    from medrl.rollout.interaction import load_interaction

    interaction = load_interaction(recipe.env, beside)
    load_style(recipe.prompt.style, beside, interaction.tools if interaction else ())


def _faults(load: Callable[[], Any]) -> list[str]:
    try:
        load()
    except MedrlError as error:
        return [str(error)]
    return []


def _key(part: Any) -> str:
    return json.dumps(part, sort_keys=True, default=str)
