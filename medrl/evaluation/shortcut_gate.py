"""The gate `data.max_shortcut`: a run whose held-out questions can be answered without looking does not start."""

from collections.abc import Callable, Sequence
from pathlib import Path

from medrl.data.sample import Sample
from medrl.errors import MedrlError
from medrl.evaluation.shortcuts import FEWEST, measure, strongest

QUICK_AT_MOST = 5_000  # questions of a split looked at where no limit is set

Progress = Callable[[str, int, int], None]


def judge(
    train: Sequence[Sample],
    val: Sequence[Sample],
    limit: float | None,
    root: Path | None = None,
    progress: Progress | None = None,
) -> tuple[str, list[str]]:
    """(the best rule as a sentence, what to warn of). Without a limit the text classifier is left out: milliseconds.

    Raises MedrlError when a rule reaches the limit on a kind of at least FEWEST held-out questions.
    """
    if limit is None:
        train, val = (side[:: len(side) // QUICK_AT_MOST + 1] for side in (train, val))
    found = measure(train, val, "val", "train", root, thorough=limit is not None, progress=progress)
    best = strongest(found)
    if best is None:
        unjudged = f"data.max_shortcut={limit} judged nothing: val has no kind of at least {FEWEST} questions with short answers."
        return "", [] if limit is None else [unjudged]
    if limit is not None and best.accuracy >= limit:
        raise MedrlError(
            f"data.max_shortcut={limit:g}: {best.sentence()}. A score on such a split does not show that a model looks. "
            "Use held-out questions whose words do not give the answer away, or raise data.max_shortcut. "
            "`medrl data audit` shows every rule."
        )
    outstanding = strongest([one for one in found if one.stands_out])
    return best.sentence(), [f"shortcut: {outstanding.sentence()}."] if outstanding else []
