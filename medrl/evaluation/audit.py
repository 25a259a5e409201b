"""`medrl data audit`: what the splits of a recipe give away, before a GPU is asked to learn it.

Two questions: how far does one get without looking (shortcuts.py), and what of the held-out split was seen (leaks.py)?
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medrl.data.fingerprints import take_fingerprints
from medrl.data.sample import Sample
from medrl.data.shortcuts import form_of
from medrl.evaluation.leaks import COPY_WORDS, Leak, contradictions, distinct_pictures, find_leak
from medrl.evaluation.shortcuts import Shortcut, measure, measure_within, strongest

HELD_OUT = "val"
PAIRS_TOLD = 200  # in the JSON; all are counted
FAULTS_TOLD = 5

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Split:
    """One split in numbers."""

    name: str
    questions: int
    pictures: int  # distinct by their pixels
    kinds: dict[str, int]
    unmeasured: int  # questions whose answers no rule can guess: reports, lists of boxes, masks
    contradictions: int  # the same question on the same picture with different answers


@dataclass(frozen=True)
class Audit:
    """Everything found. `leaks` compare each split that trains with the held-out one."""

    splits: list[Split]
    shortcuts: list[Shortcut]
    leaks: list[Leak]
    unreadable: list[str]
    max_shortcut: float | None = None

    @property
    def strongest(self) -> Shortcut | None:
        """The best rule fitted on a training split and tried on the held-out one."""
        return strongest([one for one in self.shortcuts if not one.fitted_on.startswith("other folds")])

    @property
    def refused(self) -> bool:
        """Whether the recipe's own limit is reached."""
        best = self.strongest
        return self.max_shortcut is not None and best is not None and best.accuracy >= self.max_shortcut

    def findings(self) -> list[str]:
        """What a person should know, worst first; empty when nothing was found."""
        return [*_told_leaks(self.leaks), *_told_shortcuts(self.shortcuts), *_told_splits(self.splits, self.unreadable)]

    def as_json(self) -> dict[str, Any]:
        """The audit for scripts; of patients and studies only how many."""
        best = self.strongest
        return {
            "findings": self.findings(),
            "splits": {one.name: {k: v for k, v in asdict(one).items() if k != "name"} for one in self.splits},
            "shortcuts": [{**asdict(one), "stands_out": one.stands_out} for one in self.shortcuts],
            "strongest_shortcut": asdict(best) if best else None,
            "max_shortcut": self.max_shortcut,
            "max_shortcut_reached": self.refused,
            "leaks": [_leak_json(leak) for leak in self.leaks],
            "unreadable_pictures": len(self.unreadable),
        }


def audit(
    splits: Mapping[str, Sequence[Sample]],
    root: Path,
    max_shortcut: float | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Audit the splits by name; HELD_OUT among them is compared with each of the others.

    `root` is where their image paths start.
    """
    everything = [sample for samples in splits.values() for sample in samples]
    prints, unreadable = take_fingerprints(everything, root, progress)
    held_out = splits[HELD_OUT]
    found: list[Shortcut] = []
    leaks = []
    for name, samples in splits.items():
        if name != HELD_OUT:
            found += measure(samples, held_out, HELD_OUT, name, root, progress=progress)
            leaks.append(find_leak(samples, held_out, prints, (name, HELD_OUT)))
    for name, samples in splits.items():
        found += measure_within(samples, name, root, progress=progress)
    numbers = [
        Split(
            name,
            len(samples),
            len(distinct_pictures(samples, prints)),
            _kinds(samples),
            sum(form_of(sample) is None for sample in samples),
            contradictions(samples, prints),
        )
        for name, samples in splits.items()
    ]
    return Audit(numbers, found, leaks, unreadable, max_shortcut)


def _kinds(samples: Sequence[Sample]) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for sample in samples:
        kinds[sample.kind or "not stated"] = kinds.get(sample.kind or "not stated", 0) + 1
    return kinds


def _told_leaks(leaks: Sequence[Leak]) -> list[str]:
    told = []
    for leak in leaks:
        if leak.copies:
            kinds = ", ".join(f"{count} {COPY_WORDS[level]}" for level, count in leak.levels.items() if count)
            told.append(
                f"{leak.copies} of {leak.pictures} pictures of {leak.second} are in {leak.first} too ({kinds}); "
                f"{leak.questions} questions of {leak.second} show one"
            )
        for count, what in (
            (leak.patients, "patients"),
            (leak.studies, "studies"),
            (leak.repeated, f"questions of {leak.second}, with picture and answer,"),
        ):
            if count:
                told.append(f"{count} {what} are in both {leak.first} and {leak.second}")
        if leak.contradicted:
            told.append(
                f"{leak.contradicted} questions on the same picture are answered differently in {leak.first} and {leak.second}"
            )
        if leak.same_names and not leak.copies:
            told.append(
                f"{leak.same_names} image names are in both {leak.first} and {leak.second}, with different pictures"
            )
    return told


def _told_shortcuts(shortcuts: Sequence[Shortcut]) -> list[str]:
    """The best of each split, kind and training set that stands out."""
    best: dict[tuple[str, str, str], Shortcut] = {}
    for one in shortcuts:
        key = (one.split, one.fitted_on, one.kind)
        if one.stands_out and (key not in best or one.accuracy > best[key].accuracy):
            best[key] = one
    return [one.sentence() for one in sorted(best.values(), key=lambda one: -one.accuracy)]


def _told_splits(splits: Sequence[Split], unreadable: Sequence[str]) -> list[str]:
    told = [
        f"{one.contradictions} questions of {one.name} have different answers on the same picture"
        for one in splits
        if one.contradictions
    ]
    if unreadable:
        told.append(f"{len(unreadable)} pictures could not be read: {'; '.join(unreadable[:FAULTS_TOLD])}")
    return told


def _leak_json(leak: Leak) -> dict[str, Any]:
    return {
        "train": leak.first,
        "held_out": leak.second,
        "held_out_pictures": leak.pictures,
        "also_in_train": leak.copies,
        **{f"also_in_train_by_{level}": count for level, count in leak.levels.items()},
        "held_out_questions_that_show_them": leak.questions,
        "same_image_names": leak.same_names,
        "patients": leak.patients,
        "studies": leak.studies,
        "repeated_questions": leak.repeated,
        "contradicted_questions": leak.contradicted,
        "pairs": [
            {
                "train": twins.first_name,
                "held_out": twins.second_name,
                "how": twins.copy.how,
                "correlation": twins.copy.correlation,
            }
            for twins in leak.twins[:PAIRS_TOLD]
        ],
    }
