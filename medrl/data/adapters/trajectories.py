"""Trajectories to imitate: conversations in which the model acts, is shown something, and goes on (see data/turns.py).

A JSON-lines or parquet file; `images` holds the pictures in the order of their `<image>` placeholders, the question's
first. What the file says was answered between two replies is kept beside the demonstration.
"""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medrl.data.published import as_text, check_one_of, find_file
from medrl.data.sample import IMAGE_PLACEHOLDER, Refused, Sample, check
from medrl.data.turns import NoTurns, Turns, read_turns
from medrl.dialogue.actions import PROTOCOLS
from medrl.dialogue.answers import normalise
from medrl.errors import MedrlError

ANSWER = ("answer", "solution", "ground_truth")
OWN_COLUMNS = {
    *ANSWER,
    "messages",
    "conversations",
    "images",
    "image",
    "id",
    "data_source",
    "tools",
    "split",
    "options",
}
NUMBER = r"\s*(-?\d+(?:\.\d+)?)\s*"
BOX = re.compile(rf'("bbox_2d"\s*:\s*)\[{",".join([NUMBER] * 4)}\]')
ANSWERED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def read(
    root: Path | None,
    split: str,
    *,
    boxes: str = "as_given",
    observations: bool = True,
    system: bool = True,
    kind: str = "open_short",
) -> Iterator[Sample | Refused]:
    """Yield the records of the file `split` (".jsonl" or ".parquet" may be left out) below `root`.

    `boxes`: "original" where the actions name places in pixels of the first picture as it lies on disk (DeepEyes, verl):
    they are then written in the frame of the model that learns; "as_given" leaves them. `observations`: false forgets
    what was answered, so that the recipe's environment answers anew. `system`: false leaves out the file's own system
    turn, since the recipe's prompt already says what to do. `kind`: of the answers, where a record has none of its own
    (a choice needs its `options`, letter to text).
    """
    check_one_of("trajectories", "boxes", boxes, ("as_given", "original"))
    path = find_file("trajectories", root or Path.cwd(), (split, f"{split}.jsonl", f"{split}.parquet"))
    for place, row in _rows(path):
        if isinstance(row, str):
            yield Refused(place, row)
            continue
        try:
            yield _sample(path.stem, place, row, boxes, observations, system, kind)
        except NoTurns as fault:
            yield Refused(place, str(fault))


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """(place, record, or why it is none)."""
    if path.suffix == ".parquet":
        try:
            file = pq.ParquetFile(path)
        except (OSError, pa.ArrowInvalid) as error:
            raise MedrlError(f"{path}: not a readable parquet file ({error}).") from None
        number = 0
        for batch in file.iter_batches(batch_size=256):
            for row in batch.to_pylist():
                yield f"{path.stem} row {number}", row
                number += 1
        return
    with path.open("rb") as lines:  # bytes: one line that is no UTF-8 must cost that line, not the file
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                yield f"{path.stem} line {number}", f"not JSON: {error}"
                continue
            yield (
                f"{path.stem} line {number}",
                row if isinstance(row, dict) else f"a JSON {type(row).__name__}, expected an object",
            )


def _sample(
    stem: str, place: str, row: dict[str, Any], boxes: str, observations: bool, system: bool, kind: str
) -> Sample | Refused:
    turns = read_turns(row)
    prompt = tuple(turn for turn in turns.prompt if system or turn["role"] != "system")
    images = _images(row.get("images") if row.get("images") is not None else row.get("image"))
    first = sum(turn["content"].count(IMAGE_PLACEHOLDER) for turn in prompt)
    shown = [text.count(IMAGE_PLACEHOLDER) for text in turns.observations]
    if first + sum(shown) != len(images):
        raise NoTurns(
            f"the question has {first} `{IMAGE_PLACEHOLDER}` and the observations {sum(shown)}, but there are {len(images)} "
            "images; they must pair up one to one"
        )
    if any(IMAGE_PLACEHOLDER in reply for reply in turns.replies):
        raise NoTurns(f"a reply of the model contains `{IMAGE_PLACEHOLDER}`; only what it is shown can be a picture")
    replies = [_in_frame(reply) for reply in turns.replies] if boxes == "original" else list(turns.replies)
    recorded, rest = [], images[first:]
    for text, count in zip(turns.observations, shown):
        recorded.append({"text": text.replace(IMAGE_PLACEHOLDER, "").strip(), "images": rest[:count]})
        rest = rest[count:]
    plain = {
        key: value for key, value in row.items() if key not in OWN_COLUMNS and isinstance(value, str | int | float)
    }
    sample_id = as_text(row.get("id")) or place.replace(" ", "/")
    extra = {
        "id": sample_id, "split": stem, "kind": kind, **plain, "demonstration": replies,
        **({"options": row["options"]} if isinstance(row.get("options"), dict) else {}),
        **({"observations": recorded} if observations and recorded else {}),
    }  # fmt: skip
    sample = Sample(
        sample_id, as_text(row.get("data_source")) or stem, prompt, tuple(images[:first]), _answer(row, turns),
        extra_info=extra,
    )  # fmt: skip
    reason = check(sample)
    return Refused(place, reason) if reason else sample


def _answer(row: dict[str, Any], turns: Turns) -> str:
    """The record's answer, else what the last reply says in answer tags or in its Terminate action, else that reply."""
    given = next((row[column] for column in ANSWER if row.get(column) not in (None, "")), None)
    if given is not None:
        return json.dumps(given) if isinstance(given, list | dict) else as_text(given)
    last = PROTOCOLS["thought_action"].answer(turns.replies[-1])
    tagged = ANSWERED.findall(last)
    return normalise(tagged[-1]) if tagged else turns.replies[-1]


def _in_frame(reply: str) -> str:
    """Boxes of actions as the prompt builder's `{box …}`, which it writes in the model's frame."""
    return BOX.sub(lambda found: f"{found[1]}{{box {' '.join(found[2 + side] for side in range(4))}}}", reply)


def _images(value: Any) -> list[dict[str, Any]]:
    """The pictures as verl's dicts; NoTurns for one that is neither a path nor bytes."""
    images: list[dict[str, Any]] = []
    for one in value if isinstance(value, list) else [] if value is None else [value]:
        found = one if isinstance(one, dict) else {"path": one}
        held, path = found.get("bytes"), found.get("path")
        if isinstance(held, str):
            try:
                held = base64.b64decode(held, validate=True)
            except ValueError as error:
                raise NoTurns(f"images[{len(images)}] is no base64 ({error})") from None
        if held:
            images.append({"bytes": held})
        elif isinstance(path, str) and path:
            images.append({"path": path})
        else:
            raise NoTurns(f"images[{len(images)}] is {str(one)[:80]!r}, expected a path or bytes")
    return images
