"""Which stored rollouts a page shows: whole groups, by a rule that never looks at a reward.

Steps spread evenly over the run take turns, and in a step the questions follow the order of their hash, so the mix on
the page is that of the run. Questions whose pictures were kept come first; which these are is the data order's choice.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medrl.errors import MedrlError
from medrl.record.album import own_name, read_album
from medrl.record.reading import numbered, read_lines
from medrl.record.replies import Row, integer_of, text_of

SPREAD_STEPS = 4  # as many steps share the page, more of them where they are small


@dataclass(frozen=True)
class Group:
    """All attempts at one question in one step. `number`: its place among the step's questions, from 1."""

    step: int
    number: int
    rows: tuple[Row, ...]
    left_out: int


@dataclass(frozen=True)
class Selection:
    """The groups in order, their pictures by name, and what they were chosen from."""

    groups: tuple[Group, ...]
    pictures: Mapping[str, bytes]
    shown: int
    rollouts: int  # in the steps that were read
    steps: tuple[int, ...]
    recorded_steps: int


def select(run_dir: Path, most: int, step: int | None, problems: list[str]) -> Selection:
    """Up to `most` rollouts of a run, or of one of its steps. Raises MedrlError when there are none."""
    files = {int(path.stem.removeprefix("step_")): path for path in numbered(run_dir / "rollouts", ".jsonl")}
    if not files:
        raise MedrlError(
            f"{run_dir}: no rollouts yet; expected {run_dir}/rollouts/step_000001.jsonl. A run writes them with its first "
            "training step."
        )
    if most < 1:
        raise MedrlError(f"--most {most}: expected at least 1.")
    if step is not None and step not in files:
        raise MedrlError(
            f"{run_dir}: step {step} has no rollouts; recorded are {len(files)} steps from {min(files)} to {max(files)}."
        )
    taking = [step] if step is not None else _spread(files, most, problems)
    found = {each: _groups(each, read_lines(files[each], problems)) for each in taking}
    if not any(found.values()):
        raise MedrlError(
            f"{run_dir}/rollouts: nothing can be read in step {', '.join(map(str, taking))}. Try another with --step."
        )
    albums = {each: read_album(files[each].with_suffix(".zip")) for each in taking}
    chosen = _take_turns(
        [
            sorted(found[each], key=lambda group: (not _kept(group, albums[group.step]), _hash(group)))
            for each in taking
        ],
        most,
    )
    return Selection(
        groups=tuple(sorted(chosen, key=lambda group: (group.step, group.number))),
        pictures={name: data for album in albums.values() for name, data in album.items()},
        shown=sum(len(group.rows) for group in chosen),
        rollouts=sum(len(group.rows) for groups in found.values() for group in groups),
        steps=tuple(sorted(taking)),
        recorded_steps=len(files),
    )


def _spread(files: Mapping[int, Path], most: int, problems: list[str]) -> list[int]:
    """Steps from the last to the first in equal strides; where pictures were kept in some, among these."""
    steps = sorted(files)
    steps = [step for step in steps if files[step].with_suffix(".zip").is_file()] or steps
    size = max(len(read_lines(files[steps[-1]], [])), 1)
    count = min(len(steps), max(SPREAD_STEPS, most // size))
    if count == 1:
        return steps[-1:]
    return [steps[round(place * (len(steps) - 1) / (count - 1))] for place in reversed(range(count))]


def _groups(step: int, rows: Sequence[Row]) -> list[Group]:
    by_sample: dict[str, list[Row]] = {}
    for row in rows:
        by_sample.setdefault(text_of(row, "sample_id"), []).append(row)
    return [
        Group(step, number, tuple(sorted(group, key=lambda row: integer_of(row.get("attempt")))), 0)
        for number, group in enumerate(by_sample.values(), start=1)
    ]


def _take_turns(queues: Sequence[Sequence[Group]], most: int) -> list[Group]:
    """One group of each step after the other while there is room; the very first may be cut to it."""
    chosen: list[Group] = []
    room = most
    for turn in range(max(map(len, queues))):
        for queue in queues:
            if turn >= len(queue):
                continue
            group = queue[turn]
            if len(group.rows) > room:
                if chosen:
                    return chosen
                group = Group(group.step, group.number, group.rows[:room], len(group.rows) - room)
            chosen.append(group)
            room -= len(group.rows)
    return chosen


def _kept(group: Group, album: Mapping[str, bytes]) -> bool:
    names = group.rows[0].get("images")
    return not names or (isinstance(names, list) and own_name(str(names[0])) in album)


def _hash(group: Group) -> str:
    sample = text_of(group.rows[0], "sample_id")
    return hashlib.sha256(f"{group.step} {sample}".encode("utf-8", "backslashreplace")).hexdigest()
