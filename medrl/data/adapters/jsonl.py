"""Any JSON-lines file with R1-V's or EasyR1's columns: problem (or question), answer (or solution), images (or image).

Options come as a column or inline in the problem. What kind of answer a row has is inferred only where it is plain;
otherwise it is "open_short". Further columns with plain values reach the rewards in `extra_info`, `raw` and
`pixel_spacing_mm` the environments.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medrl.data.options import letter_options, list_options, split_options
from medrl.data.published import as_text, check_one_of, find_file
from medrl.data.sample import Refused, Sample, check, make_sample
from medrl.vision.boxes import is_box

QUESTION, ANSWER, IMAGES = ("problem", "question"), ("answer", "solution", "ground_truth"), ("images", "image")
OWN_COLUMNS = {*QUESTION, *ANSWER, *IMAGES, "options", "id", "data_source", "kind", "split"}
PASSED_ON = ("raw", "pixel_spacing_mm")  # what environments know of a picture (rollout/raw.py)
TAGGED = re.compile(r"\s*<answer>(.*?)</answer>\s*", re.DOTALL)
DATA_URI = re.compile(r"data:image/[\w.+-]+;base64,")


def read(
    root: Path | None,
    split: str,
    *,
    kind: str | None = None,
    image_encoding: str = "path",
    data_source: str | None = None,
) -> Iterator[Sample | Refused]:
    """Yield the rows of the file `split` (".jsonl" may be left out) below `root`, one JSON object a line.

    `kind` states the kind of every answer instead of inferring it. `image_encoding`: "path" (below the root) or
    "base64"; `data:` addresses and objects with `path` or `bytes` are understood either way. `data_source`: None means
    the column of that name, else the file's name. Raises MedrlError when the file is missing.
    """
    check_one_of("jsonl", "image_encoding", image_encoding, ("path", "base64"))
    path = find_file("jsonl", root or Path.cwd(), (split, f"{split}.jsonl"))
    with path.open("rb") as file:  # bytes: one line that is no UTF-8 must cost that line, not the file
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _sample(path.stem, number, line, kind, image_encoding, data_source)


def infer_kind(question: str, answer: str, options: dict[str, str] | None, images: int) -> str:
    """The kind a row plainly has: one of its options, yes or no, a number after "how many", one box on one image.

    >>> infer_kind("How many nodules?", "3", None, 1), infer_kind("Which T stage?", "3", None, 1)
    ('count', 'open_short')
    """
    if options is not None and (answer in options or answer in options.values()):
        return "choice"
    if answer.lower() in ("yes", "no"):
        return "yes_no"
    if answer.isascii() and answer.isdigit() and re.search(r"\bhow many\b", question, re.IGNORECASE):
        return "count"
    if images == 1 and answer.startswith("["):
        try:
            if is_box(json.loads(answer)):
                return "box"
        except ValueError:
            pass  # text in brackets
    return "open_short"


def _sample(
    stem: str, number: int, line: bytes, kind: str | None, image_encoding: str, data_source: str | None
) -> Sample | Refused:
    place = f"{stem} line {number}"
    try:
        row = json.loads(line)
    except ValueError as error:
        return Refused(place, f"not JSON: {error}")
    if not isinstance(row, dict):
        return Refused(place, f"a JSON {type(row).__name__}, expected an object")
    question, answer = as_text(_first(row, QUESTION)), _answer(_first(row, ANSWER))
    if not question or not answer:
        missing = QUESTION if not question else ANSWER
        return Refused(place, f"no value in {' or '.join(missing)}; the columns are {', '.join(row)}")
    images = _images(_first(row, IMAGES), image_encoding)
    if isinstance(images, str):
        return Refused(place, images)
    listed, plain = _options(row.get("options"), question)
    kind_of_row = kind or infer_kind(plain, answer, listed, len(images))
    options = listed if kind_of_row in ("choice", "multi_choice") else None
    if options is not None:
        if kind_of_row == "choice" and answer not in options:  # the text of an option instead of its letter
            answer = next((letter for letter, text in options.items() if text == answer), answer)
        question = list_options(plain, options)
    elif kind_of_row == "yes_no":
        answer = answer.lower()
    sample = make_sample(
        id=as_text(row.get("id")) or f"{stem}/{number}",
        data_source=data_source or as_text(row.get("data_source")) or stem,
        question=question,
        images=images,
        ground_truth=answer,
        kind=kind_of_row,
        split=stem,
        options=options,
        **{
            key: value
            for key, value in row.items()
            if key in PASSED_ON or (key not in OWN_COLUMNS and isinstance(value, str | int | float))
        },
    )
    reason = check(sample)
    return Refused(place, reason) if reason else sample


def _first(row: dict[str, Any], columns: tuple[str, ...]) -> Any:
    """The value of the first column that has one."""
    return next((row[column] for column in columns if row.get(column) not in (None, "")), None)


def _answer(value: Any) -> str:
    """The answer as text, without R1-V's `<answer>` tags; a list (a box) as JSON."""
    text = json.dumps(value) if isinstance(value, list | dict) else as_text(value)
    tagged = TAGGED.fullmatch(text)
    return tagged[1].strip() if tagged else text


def _options(column: Any, question: str) -> tuple[dict[str, str] | None, str]:
    """The options by letter, from their column or out of the question, and the question without them."""
    if isinstance(column, dict) and column:
        return {as_text(letter): as_text(text) for letter, text in column.items() if as_text(text)}, question
    if isinstance(column, list) and column:
        return letter_options(as_text(text) for text in column), question
    parsed = split_options(question)
    return (parsed[1], parsed[0]) if parsed else (None, question)


def _images(value: Any, image_encoding: str) -> list[dict[str, Any]] | str:
    """The images as verl's dicts, or what is wrong with them."""
    images: list[dict[str, Any]] = []
    for one in value if isinstance(value, list) else [] if value is None else [value]:
        encoded, text = image_encoding == "base64", one
        if isinstance(one, dict):
            encoded, text = one.get("bytes") is not None, one.get("bytes") or one.get("path")
        if not isinstance(text, str) or not text:
            return f"images[{len(images)}] is {str(one)[:80]!r}, expected a path or base64 text"
        uri = DATA_URI.match(text)
        if not encoded and uri is None:
            images.append({"path": text})
            continue
        try:
            images.append({"bytes": base64.b64decode(text[uri.end() :] if uri else text, validate=True)})
        except binascii.Error as error:
            return f"images[{len(images)}] is no base64 ({error}); for paths set image_encoding to path"
    return images
