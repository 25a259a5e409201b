"""Results told apart by `data.slice_by`: modality, site, scanner, … A mean over all of them hides who it fails.

The same names tell the domains of the estimators `drpo` and `worst_group` apart.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from medrl.data.sample import Sample
from medrl.recipe import Recipe
from medrl.rollout.refused import TOKENS
from medrl.rollout.types import Rollout
from medrl.scoring.accuracy import accuracy_of, accuracy_reward

COLUMNS = ("data_source", "kind", "ability")  # of a sample; every other key is one of extra_info
MOST_SLICES = 64  # a key with more values names single patients or pictures


@dataclass(frozen=True)
class Slicing:
    """`by`: what tells slices apart; `accuracy`: the reward that says whether an answer is right."""

    by: str
    accuracy: str
    kinds: tuple[str, ...] = ()  # those it has a say about; all, where there are none

    @classmethod
    def of(cls, recipe: Recipe) -> "Slicing | None":
        """That of the recipe; None where it tells nothing apart."""
        if not recipe.data.slice_by:
            return None
        name = accuracy_reward(recipe)
        return cls(recipe.data.slice_by, name, tuple(recipe.rewards[name].kinds))


def slice_metrics(rollouts: Sequence[Rollout], slicing: Slicing) -> dict[str, float]:
    """`slice/<name>/…` of each slice, `worst_slice`, the lowest accuracy of any, and `slice_gap`, the highest less the lowest.

    `n`: questions; `reward`: the mean over their attempts; `accuracy`: the mean score of the accuracy reward where it has a
    say. A missing score counts 0, as everywhere in validation. A slice in which that reward has no say has no accuracy, and
    is neither the worst nor the best. A slice of few questions may be the worst by chance alone: look at its `n`.
    """
    slices: dict[str, list[Rollout]] = {}
    for rollout in rollouts:
        slices.setdefault(rollout.prompt.sample.slice_of(slicing.by), []).append(rollout)
    found: dict[str, float] = {}
    accuracies = []
    for name, members in sorted(slices.items()):
        found[f"slice/{name}/n"] = float(len({id(one.prompt) for one in members}))
        found[f"slice/{name}/reward"] = sum(one.reward or 0.0 for one in members) / len(members)
        scores = [_accuracy(one, slicing) for one in members]
        judged = [score for score in scores if score is not None]
        if judged:
            accuracies.append(sum(judged) / len(judged))
            found[f"slice/{name}/accuracy"] = accuracies[-1]
    if accuracies:
        found |= {"worst_slice": min(accuracies), "slice_gap": max(accuracies) - min(accuracies)}
    return found


def slice_faults(by: str | None, split: str, samples: Sequence[Sample]) -> list[str]:
    """What is wrong with `data.slice_by` for the samples of a split: a key that none has, or one that tells each apart."""
    if by is None:
        return []
    values: dict[str, set[str]] = {}
    for sample in samples:
        for key, value in sample.extra_info.items():
            if isinstance(value, (str, int, float)):
                values.setdefault(key, set()).add(str(value))
    if by not in {*COLUMNS, *values}:
        telling = {key for key, found in values.items() if len(found) <= min(MOST_SLICES, len(samples) - 1)}
        known = [*COLUMNS, *sorted(telling - set(COLUMNS))]
        near = difflib.get_close_matches(by, known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        return [
            f"data.slice_by={by}: none of the {len(samples)} samples of {split} has such a key in extra_info.{hint} "
            f"Found: {', '.join(known)}."
        ]
    names = {sample.slice_of(by) for sample in samples}
    if len(names) > MOST_SLICES:
        shown = ", ".join(sorted(names)[:3])
        return [
            f"data.slice_by={by}: {len(names)} different values in {split} ({shown}, …); at most {MOST_SLICES} can be told "
            "apart. Name a key of fewer, such as the modality or the site."
        ]
    return []


def _accuracy(rollout: Rollout, slicing: Slicing) -> float | None:
    """Its score; 0 where it is missing, None where the reward has no say."""
    if slicing.kinds and rollout.prompt.sample.kind not in slicing.kinds:
        return None
    score = accuracy_of(rollout, slicing.accuracy)
    return 0.0 if score is None and {slicing.accuracy, TOKENS} & rollout.missing.keys() else score
