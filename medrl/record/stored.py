"""Rollouts out of a run's files: the rows of rollouts/ and eval/ as the Rollouts they were written from.

All that a reward looks at is there again: reply, turns, confirmed actions, frames, groups. What only training needs is not:
pictures and log-probabilities. A row names its sample by id, and the sample has to ask what it asked then.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrl.data.sample import Sample
from medrl.dialogue.tokens import Prompt
from medrl.errors import MedrlError
from medrl.record.reading import numbered, read_lines, read_object
from medrl.rollout.refused import TOKENS
from medrl.rollout.types import Rollout, Turn

NEEDED = ("step", "sample_id", "attempt", "reply", "ground_truth", "image_sizes_px", "model_sizes_px", "frame",
          "truth_in_model_frame", "prompt", "tokens", "end_reason")  # fmt: skip
NAMED = 3  # samples named in an error


@dataclass(frozen=True)
class Stored:
    """One row and the rollout it tells of, not scored yet; rollouts of one group share their Prompt object."""

    row: dict[str, Any]
    rollout: Rollout


def read_stored(
    run: Path, samples: Sequence[Sample], held_out: bool, problems: list[str], root: Path | None = None
) -> list[Stored]:
    """The training rollouts of a run, or those of its validations, in the order of their steps; groups hang together.

    `samples`: the split they answer, whose pictures lie below `root`. `problems` tells of lines that cannot be read.
    Raises MedrlError when there are no
    rollouts, when a sample is gone, or when it asks something else now.
    """
    rows = list(_rows(run, held_out, problems))
    if not rows:
        where = run / ("eval/step_*.json" if held_out else "rollouts/step_*.jsonl")
        raise MedrlError(f"{where}: not one stored rollout. Give the folder of a run that has taken a step.")
    by_id = {sample.id: sample for sample in samples}
    _check_samples(run, rows, by_id, held_out)
    again: Counter[tuple[int, str, int]] = Counter()
    groups: dict[tuple[int, str, int], list[Stored]] = {}
    for row in rows:
        key = (row["step"], row["sample_id"])
        # a small data set asks a question twice in one step: the second attempt 0 is of a second group
        number = again[(*key, row["attempt"])]
        again[(*key, row["attempt"])] += 1
        group = groups.setdefault((*key, number), [])
        prompt = group[0].rollout.prompt if group else _prompt(row, by_id[row["sample_id"]], root)
        group.append(Stored(row, _rollout(row, prompt)))
    return [one for group in groups.values() for one in group]


def _rows(run: Path, held_out: bool, problems: list[str]) -> Iterator[dict[str, Any]]:
    paths = numbered(run / "eval", ".json") if held_out else numbered(run / "rollouts", ".jsonl")
    for path in paths:
        rows = read_object(path, problems).get("rows", []) if held_out else read_lines(path, problems)
        for number, row in enumerate(rows, start=1):
            if lacking := [key for key in NEEDED if key not in row]:
                raise MedrlError(
                    f"{path} row {number}: no {', '.join(lacking)}. The run was made by an older medrl, or the file is damaged."
                )
            yield row


def _check_samples(run: Path, rows: list[dict[str, Any]], by_id: dict[str, Sample], held_out: bool) -> None:
    """MedrlError where a sample is gone or is another question now: its answer would be compared with the wrong one."""
    first = {row["sample_id"]: row for row in rows}
    gone = [name for name in first if name not in by_id]
    other = [name for name, row in first.items() if name in by_id and _asks_other(row, by_id[name])]
    for names, what in ((gone, "are not in"), (other, "ask or answer something else in")):
        if names:
            listed = ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")
            split = "data.val" if held_out else "data.train"
            raise MedrlError(
                f"{run}: {len(names)} of the {len(first)} samples that its rollouts answer {what} {split} of this recipe: "
                f"{listed}. Use the data section of {run / 'recipe.yaml'}, with the data as they were."
            )


def _asks_other(row: dict[str, Any], sample: Sample) -> bool:
    then = row["ground_truth"], row.get("question"), row.get("options"), row.get("kind")
    return then != (sample.ground_truth, sample.question, sample.options, sample.kind)


def _prompt(row: dict[str, Any], sample: Sample, root: Path | None) -> Prompt:
    sizes, model_sizes = (tuple(map(tuple, row[key])) for key in ("image_sizes_px", "model_sizes_px"))
    # as PromptBuilder gave it: the frame the model answers in
    answer_size = (1000, 1000) if row["frame"] == "norm1000" else model_sizes[0] if model_sizes else None
    return Prompt(
        sample=sample,
        text=row["prompt"],
        token_ids=(),
        pixel_values=None,
        image_grid_thw=None,
        image_sizes_px=sizes,
        model_sizes_px=model_sizes,
        frame=row["frame"],
        ground_truth=row["truth_in_model_frame"],
        answer_size_px=answer_size if model_sizes else None,
        root=root,
    )


def _rollout(row: dict[str, Any], prompt: Prompt) -> Rollout:
    turns = [Turn(**{**turn, "tokens": tuple(turn["tokens"])}) for turn in row.get("turns", ())]
    lengths = [turn.tokens for turn in turns] or [(row["tokens"], 0)]
    ids = row.get("token_ids") or [0] * row["tokens"]
    return Rollout(
        prompt=prompt,
        attempt=row["attempt"],
        token_ids=ids,
        mask=[own for said, heard in lengths for own in [1] * said + [0] * heard],
        logprobs=[0.0] * len(ids),
        text=row["reply"],
        end_reason=row["end_reason"],
        turns=turns,
        # what no reward was shown then is shown to none now
        entropy=row.get("entropy"),
        missing={TOKENS: row["missing"][TOKENS]} if TOKENS in row.get("missing", {}) else {},
        filtered=row.get("filtered") is True,  # not trained on then, and so not now
    )
