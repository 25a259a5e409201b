"""How well the rules that never see a picture do on a split, each with its interval, beside chance and a control.

A rule fitted on the training split and tried on held-out questions says what a test score can be without looking.
Fitted and tried inside one split, over folds that share no patient and no image, it says the same of a split alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medrl.data.sample import Sample
from medrl.data.shortcuts import Fit, baselines, by_kind, chance, header_sizes, mean_box, shuffled_answers
from medrl.data.splits import assign
from medrl.data.text_baseline import text_classifier
from medrl.evaluation.intervals import wilson_interval

NO_IMAGE = "no-image classifier"
CONTROLLED = ("option prior", "question prior")  # rules that learn by heart are tried on shuffled answers too
CONTROL_DEALS = 5
FOLDS = 5
HIT_IOU = 0.5  # from this overlap on a box counts as right
FEWEST = 20  # questions: fewer are shown but not judged
MARGIN = 0.05  # above chance, beyond the interval: less is not worth a sentence
OPEN_LEVEL = 0.5  # where chance is not defined (open answers, counts, boxes)

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Shortcut:
    """One rule on the questions of one kind of one split; `control` is its accuracy when fitted on shuffled answers."""

    split: str
    fitted_on: str
    kind: str
    baseline: str
    n: int
    accuracy: float
    low: float
    high: float
    chance: float | None
    control: float | None = None
    mean_iou: float | None = None

    @property
    def stands_out(self) -> bool:
        """Clearly above chance; of open answers, right half the time or more."""
        if self.n < FEWEST:
            return False
        return self.low >= OPEN_LEVEL if self.chance is None else self.low > self.chance + MARGIN

    def sentence(self) -> str:
        """For a person: what was found, on what, beside chance."""
        beside = "" if self.chance is None else f", chance {self.chance:.1%}"
        control = "" if self.control is None else f", {self.control:.1%} when fitted on shuffled answers"
        return (
            f"{self.baseline}, fitted on {self.fitted_on}, answers {self.accuracy:.1%} of {self.n} {self.kind} questions of "
            f"{self.split} without the picture (95 % interval {self.low:.1%} to {self.high:.1%}{beside}{control})"
        )


def measure(
    train: Sequence[Sample],
    test: Sequence[Sample],
    split: str,
    fitted_on: str,
    root: Path | None = None,
    thorough: bool = True,
    progress: Progress | None = None,
) -> list[Shortcut]:
    """Every rule fitted on `train` and tried on `test`, kind by kind; a kind that `train` lacks is left out.

    `thorough=False` takes milliseconds: no text classifier and no control.
    """
    return _shortcuts([(train, test)], split, fitted_on, root, thorough, progress)


def measure_within(
    samples: Sequence[Sample],
    split: str,
    root: Path | None = None,
    thorough: bool = True,
    progress: Progress | None = None,
) -> list[Shortcut]:
    """The same over FOLDS folds of one split: each is tried on the rules of the others. Empty where all is one group."""
    shares = {str(fold): 1 / FOLDS for fold in range(FOLDS)}
    folds = [fold for fold in assign(samples, shares).values() if fold]
    pairs = [
        ([sample for other in folds if other is not fold for sample in other], fold) for fold in folds if len(folds) > 1
    ]
    return _shortcuts(pairs, split, f"other folds of {split}", root, thorough, progress)


def strongest(found: Sequence[Shortcut]) -> Shortcut | None:
    """The most accurate rule among kinds of at least FEWEST questions."""
    return max((one for one in found if one.n >= FEWEST), key=lambda one: one.accuracy, default=None)


def _shortcuts(
    pairs: Sequence[tuple[Sequence[Sample], Sequence[Sample]]],
    split: str,
    fitted_on: str,
    root: Path | None,
    thorough: bool,
    progress: Progress | None,
) -> list[Shortcut]:
    """One row for each kind and rule, over the test questions of all pairs together."""
    scores: dict[tuple[str, str, str], list[float]] = {}
    controls: dict[tuple[str, str, str], list[float]] = {}
    tested: dict[tuple[str, str], list[Sample]] = {}
    for number, (train, test) in enumerate(pairs, start=1):
        known = by_kind(train)
        for (kind, form), questions in by_kind(test).items():
            if not (learned := known.get((kind, form))):
                continue
            tested.setdefault((kind, form), []).extend(questions)
            for name, fit in _rules(form, root, thorough).items():
                rule = fit(learned)
                scores.setdefault((kind, form, name), []).extend(map(rule, questions))
                if thorough and name in CONTROLLED:
                    for seed in range(CONTROL_DEALS):
                        rule = fit(shuffled_answers(learned, seed))
                        controls.setdefault((kind, form, name), []).extend(map(rule, questions))
        if progress:
            progress(f"shortcuts on {split}", number, len(pairs))
    found = []
    for (kind, form, name), values in scores.items():
        right = sum(value >= HIT_IOU for value in values)  # of a rule for text and options a value is 0 or 1
        low, high = wilson_interval(right, len(values))
        control = controls.get((kind, form, name))
        found.append(
            Shortcut(
                split,
                fitted_on,
                kind,
                name,
                len(values),
                right / len(values),
                low,
                high,
                chance(tested[kind, form]),
                sum(control) / len(control) if control else None,
                sum(values) / len(values) if form == "box" else None,
            )
        )
    return found


def _rules(form: str, root: Path | None, thorough: bool) -> dict[str, Fit]:
    rules = baselines(form)
    if form == "box":
        return {name: lambda train: mean_box(train, header_sizes(root)) for name in rules}
    return {**rules, NO_IMAGE: text_classifier} if thorough else rules
