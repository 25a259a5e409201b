"""Group filtering with bounded refill: questions whose attempts are all equally right teach nothing, so others are asked.

Both engines take a step's rollouts from `gather`; how they are made is the engine's `ask`. Whether a group is left out is
decided by accuracy alone, never by the weighted sum: a format reward that differs would keep a question that teaches
nothing but format. A step has as many groups as one without the filter, so no denominator changes. Source: DAPO's dynamic
sampling (arXiv 2503.14476), which asks on until the batch is full; here `algorithm.max_refills` is the end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from medrl.data.sample import Sample
from medrl.learning.advantages.groups import zero_spread
from medrl.learning.course import Course
from medrl.learning.estimator import Estimator, group_numbers, judged
from medrl.learning.step import check_missing
from medrl.recipe import Recipe
from medrl.rollout.types import Rollout
from medrl.scoring.accuracy import accuracy_of, judge_of

Ask = Callable[[list[Sample]], list[Rollout]]  # scored rollouts, group after group; none of a sample that was lost
Group = list[Rollout]


@dataclass(frozen=True)
class Gathered:
    """A step's rollouts. `batch` goes through the update: what was kept, in the order it was asked, then what fills its
    places; `aside` was replaced. What was left out is marked `filtered` in both. `metrics`: `group/…` of the filter.
    """

    batch: list[Rollout]
    aside: list[Rollout] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def rollouts(self) -> list[Rollout]:
        """Everything that was asked, the batch first."""
        return [*self.batch, *self.aside]


def gather(recipe: Recipe, step: int, course: Course, ask: Ask, estimator: Estimator) -> Gathered:
    """The rollouts of 0-based `step`: of the course's samples and, with `algorithm.filter_groups`, of those asked in place
    of questions that teach nothing, at most `algorithm.max_refills` times.

    When the refills or the data end first, groups that were left out fill the batch; they have no advantage there.
    `group/zero_spread` is that of the first samples, as without the filter: the share of the data that teaches nothing
    is what is to be watched, and refills would hide it. Raises MedrlError as soon as too many rollouts have no score.
    """
    first = course.batch(step)
    rollouts = ask(first)
    if not recipe.algorithm.filter_groups:
        return Gathered(rollouts)
    size = len(first)
    spread = _spread(recipe, rollouts, estimator)
    asked, groups, refills = list(first), _groups(rollouts), 0
    kept = _kept(groups, recipe, step)
    while len(kept) < size and refills < recipe.algorithm.max_refills:
        more = course.more(step, refills + 1, size - len(kept), asked)
        if not more:
            break
        refills += 1
        asked += more
        groups += _groups(ask(more))
        kept = _kept(groups, recipe, step)
    chosen = {id(group) for group in kept}
    dropped = [group for group in groups if id(group) not in chosen]
    for group in dropped:
        for rollout in group:
            rollout.filtered = True
    places = size - len(kept)
    metrics = {
        "group/asked": float(len(groups)),
        "group/kept": float(len(kept)),
        "group/filtered": len(dropped) / max(1, len(groups)),
        "group/refills": float(refills),
        "group/cap_reached": float(places > 0),
        **spread,
    }
    return Gathered(_flat([*kept, *dropped[:places]]), _flat(dropped[places:]), metrics)


def teaches(group: Sequence[Rollout], reward: str | None) -> bool:
    """Whether two attempts that can be trained on differ in accuracy, the raw score of `reward`.

    A question of a kind that `reward` does not score cannot be judged, and is kept.
    """
    trained = [rollout for rollout in group if rollout.reward is not None]
    found = {accuracy_of(rollout, reward) if reward is not None else None for rollout in trained}
    return len(trained) > 1 and (found == {None} or len(found) > 1)


def warnings_of(recipe: Recipe, samples: Sequence[Sample]) -> list[str]:
    """What about the filter will not go as one may expect, for `medrl check`."""
    if not recipe.algorithm.filter_groups:
        return []
    found = []
    size, refills = recipe.training.prompts_per_step, recipe.algorithm.max_refills
    if len(samples) < size * (1 + refills):
        found.append(
            f"algorithm.filter_groups: {len(samples)} training samples cannot always fill the refills of a step; "
            f"training.prompts_per_step={size} with algorithm.max_refills={refills} may ask {size * (1 + refills)}. "
            "Add data, or lower one of the two."
        )
    others = sorted({str(sample.kind) for sample in samples if judge_of(recipe, sample) is None})
    if others:
        found.append(
            f"algorithm.filter_groups: no reward says whether an answer to questions of kind {', '.join(others)} is right, so "
            "they are never left out. Set scoring.accuracy to a reward that scores every kind, or leave it so."
        )
    return found


def _kept(groups: Sequence[Group], recipe: Recipe, step: int) -> list[Group]:
    """Those that teach; MedrlError where so many rollouts have no score that asking on would only hide it."""
    if rollouts := _flat(groups):
        check_missing(recipe, rollouts, step)
    return [group for group in groups if teaches(group, judge_of(recipe, group[0].prompt.sample))]


def _groups(rollouts: Sequence[Rollout]) -> list[Group]:
    groups: dict[int, Group] = {}
    for rollout in rollouts:
        groups.setdefault(id(rollout.prompt), []).append(rollout)
    return list(groups.values())


def _flat(groups: Sequence[Group]) -> list[Rollout]:
    return [rollout for group in groups for rollout in group]


def _spread(recipe: Recipe, rollouts: Sequence[Rollout], estimator: Estimator) -> dict[str, float]:
    scored = [rollout for rollout in rollouts if rollout.reward is not None]
    if not scored:
        return {}
    return {"group/zero_spread": zero_spread(judged(recipe, scored, estimator.asks_for), group_numbers(scored))}
