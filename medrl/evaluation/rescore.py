"""Stored rollouts under another recipe's rewards, without a model: what would have been paid, ranked and taught instead.

Old values are those the run recorded, new ones come from the same functions as in training. A rollout without a score is
missing with a reason and enters no comparison.
"""

import asyncio
import gc
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

from medrl.data.of_recipe import load_split
from medrl.errors import MedrlError
from medrl.evaluation.rankings import SAME, Order, compare, sign_changes
from medrl.learning.estimator import Estimator, load_estimator
from medrl.learning.step import fill_advantages, mask_over_turns
from medrl.recipe import Recipe
from medrl.record.files import write_text
from medrl.record.stored import Stored, read_stored
from medrl.rollout.types import Rollout
from medrl.scoring.compose import SCORE
from medrl.scoring.loaded import LoadedReward, load_rewards
from medrl.scoring.rewards import common_reasons, score_rollouts_async
from medrl.scoring.workers.service import Service, open_service

AT_ONCE = 512  # rollouts scored between two reports of progress
REASONS = 5
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Rescored:
    """The rollouts of a run with old and new scores: `facts_of` tells what changed, `write` keeps all of it."""

    rollouts: list[Stored]
    problems: list[str]
    trained: bool  # training rollouts, which have advantages


def rescore(
    run: Path, recipe: Recipe, beside: Path | None = None, held_out: bool = False, progress: Progress | None = None
) -> Rescored:
    """Score the training rollouts of `run`, or those of its validations, by the rewards of `recipe`.

    The samples come from the recipe's data. Raises MedrlError for rewards that do not load, no rollouts, lost samples.
    """
    report = progress or (lambda what, done, total: None)
    rewards, estimator = load_rewards(recipe.rewards, beside), load_estimator(recipe.algorithm, beside)
    problems: list[str] = []
    with (
        open_service(recipe.scoring, rewards) as pool,
        _settled() as settle,
    ):  # the workers start while the files are read
        report("reading data", 0, 1)
        data = load_split(recipe, "val" if held_out else "train", beside)
        report("reading rollouts", 0, 1)
        found = read_stored(run, data.samples, held_out, problems, data.root)
        settle()
        _score(run, recipe, found, rewards, estimator, held_out, pool, report)
    return Rescored(found, problems, not held_out)


@contextmanager
def _settled() -> Iterator[Callable[[], None]]:
    """No garbage collection until `settle` is called, and none of what there is by then until the end.

    Ten thousand rows are millions of objects in no cycle; to walk over them again and again takes half of all the time.
    """
    gc.disable()

    def settle() -> None:
        gc.freeze()
        gc.enable()

    try:
        yield settle
    finally:
        gc.enable()
        gc.unfreeze()


def _score(
    run: Path,
    recipe: Recipe,
    found: Sequence[Stored],
    rewards: Sequence[LoadedReward],
    estimator: Estimator,
    held_out: bool,
    pool: Service | None,
    report: Progress,
) -> None:
    """Fill scores, rewards and, a step at a time, advantages; `held_out` rollouts have none."""
    sample = next(
        (one.row["sample_id"] for one in found if not any(r.applies(one.rollout.prompt.sample) for r in rewards)), ""
    )
    if sample:
        raise MedrlError(f"{run}: no reward of this recipe applies to {sample}. Add one for its kind of question.")
    asyncio.run(
        _score_portions(list(_portions(found)), rewards, pool, lambda done: report("scoring", done, len(found)))
    )
    if held_out:
        return
    for _, step in groupby(found, lambda one: one.row["step"]):
        scored = [one.rollout for one in step if one.rollout.reward is not None and not one.rollout.filtered]
        if "entropies" in estimator.asks_for and any(one.entropy is not None for one in scored):
            # one that had no score then was not looked at, and has none to go by now
            scored = [one for one in scored if one.entropy is not None]
        if scored:
            fill_advantages(recipe, scored, estimator)
        if recipe.algorithm.mask_over_turns:
            mask_over_turns(scored)


def _portions(found: Sequence[Stored]) -> Iterator[list[Rollout]]:
    start = 0
    while start < len(found):
        end = min(start + AT_ONCE, len(found))
        while end < len(found) and found[end].rollout.prompt is found[end - 1].rollout.prompt:  # a group stays whole
            end += 1
        yield [one.rollout for one in found[start:end]]
        start = end


async def _score_portions(
    portions: Sequence[list[Rollout]],
    rewards: Sequence[LoadedReward],
    pool: Service | None,
    report: Callable[[int], None],
) -> None:
    """One portion is prepared here while the reward processes are at the one before."""
    scored = 0
    report(scored)
    under_way: deque[tuple[int, asyncio.Task[None]]] = deque()
    for portion in [*portions, None]:
        if portion is not None:
            under_way.append((len(portion), asyncio.ensure_future(score_rollouts_async(portion, rewards, pool))))
            await asyncio.sleep(0)  # it sends its calls
        while len(under_way) > (1 if portion is not None else 0):
            rollouts, task = under_way.popleft()
            await task
            scored += rollouts
            report(scored)


def facts_of(rescored: Rescored, top: int = 10) -> dict[str, Any]:
    """What changed, as plain JSON: `rewards` by name, `missing`, `order` within groups, `advantages`, and the `top`
    groups and rollouts by how much they changed."""
    found = rescored.rollouts
    groups = [_ordered(list(group)) for _, group in groupby(found, lambda one: id(one.rollout.prompt))]
    ordered = [(group, order) for group, order in groups if order is not None]
    taus = [order.tau for _, order in ordered if order.tau is not None]
    names = {key.removesuffix(f"/{SCORE}"): None for one in found for key in (*one.row["scores"], *one.rollout.scores)
             if key.endswith(f"/{SCORE}")}  # fmt: skip
    rollouts = [one.rollout for one in found]
    return {
        "rollouts": len(found),
        "steps": [found[0].row["step"], found[-1].row["step"]],
        "rewards": {
            "reward": _change([(one.row["reward"], one.rollout.reward) for one in found]),
            **{name: _change([_both(one, f"{name}/{SCORE}") for one in found]) for name in names},
        },
        "missing": {
            "old": sum(one.row["reward"] is None for one in found),
            "new": sum(one.reward is None for one in rollouts),
            "reasons": [line.strip() for line in common_reasons(rollouts, REASONS).splitlines()],
        },
        "order": {
            "groups": len(ordered),
            "best_changed": sum(order.best_old != order.best_new for _, order in ordered),
            "order_changed": sum(order.changed > 0 for _, order in ordered),
            "pairs": sum(order.pairs for _, order in ordered),
            "inverted_pairs": sum(order.inverted for _, order in ordered),
            "kendall_tau": fmean(taus) if taus else None,
        },
        "advantages": _advantages(found) if rescored.trained else None,
        "top_groups": [_told(*one) for one in sorted(ordered, key=_upset)[:top] if one[1].changed],
        "top_rollouts": [_moved(one) for one in sorted(found, key=_distance)[:top] if _distance(one) < -SAME],
        "problems": rescored.problems,
    }


def write(rescored: Rescored, path: Path) -> None:
    """Old and new of every rollout, one JSON object a line."""
    lines = []
    for one in rescored.rollouts:
        row, rollout = one.row, one.rollout
        line = {key: row[key] for key in ("step", "sample_id", "attempt")}
        line |= {"old": {key: row.get(key) for key in ("reward", "scores", "missing", "advantage")}}
        line |= {"new": {key: getattr(rollout, key) for key in line["old"]}}
        lines.append(json.dumps(line, ensure_ascii=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(f"{line}\n" for line in lines))


def _both(one: Stored, key: str) -> tuple[float | None, float | None]:
    return one.row["scores"].get(key), one.rollout.scores.get(key)


def _change(values: Sequence[tuple[float | None, float | None]]) -> dict[str, Any]:
    """Means over the rollouts that have a value, and how many have another one now."""
    old, new = ([value for value in side if value is not None] for side in zip(*values))
    both = [(before, after) for before, after in values if before is not None and after is not None]
    return {
        "old": fmean(old) if old else None,
        "new": fmean(new) if new else None,
        "scored_old": len(old),
        "scored_new": len(new),
        "changed": sum(abs(before - after) > SAME for before, after in both),
    }


def _ordered(group: list[Stored]) -> tuple[list[Stored], Order | None]:
    """The members of a group that have a reward old and new, and how these order them; None for fewer than two."""
    known = [one for one in group if one.row["reward"] is not None and one.rollout.reward is not None]
    if len(known) < 2:
        return known, None
    return known, compare([one.row["reward"] for one in known], [one.rollout.reward or 0.0 for one in known])


def _advantages(found: Sequence[Stored]) -> dict[str, int]:
    pairs = [(one.row["advantage"], one.rollout.advantage) for one in found]
    known = [(old, new) for old, new in pairs if old is not None and new is not None]
    return sign_changes([old for old, _ in known], [new for _, new in known])


def _upset(one: tuple[list[Stored], Order]) -> tuple[int, int]:
    return -one[1].inverted, -one[1].changed


def _distance(one: Stored) -> float:
    """Minus how far the reward moved; a rollout without one of the two has not."""
    old, new = one.row["reward"], one.rollout.reward
    return 0.0 if old is None or new is None else -abs(new - old)


def _told(group: list[Stored], order: Order) -> dict[str, Any]:
    return {
        "step": group[0].row["step"],
        "sample_id": group[0].row["sample_id"],
        "inverted_pairs": order.inverted,
        "kendall_tau": order.tau,
        "best_old": [group[place].row["attempt"] for place in order.best_old],
        "best_new": [group[place].row["attempt"] for place in order.best_new],
    }


def _moved(one: Stored) -> dict[str, Any]:
    names = dict.fromkeys(key for key in (*one.row["scores"], *one.rollout.scores) if key.endswith(f"/{SCORE}"))
    scores = {key.removesuffix(f"/{SCORE}"): _both(one, key) for key in names}
    return {
        **{key: one.row[key] for key in ("step", "sample_id", "attempt")},
        "old": one.row["reward"],
        "new": one.rollout.reward,
        "scores": {name: list(both) for name, both in scores.items() if both[0] != both[1]},
    }
