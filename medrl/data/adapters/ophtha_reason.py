"""MM-Retinal-Reason, the data of OphthaReason: a JSON list of pictures, a question and its answer, and often the reasoning.

`image` holds paths below the root or base64; `conversations` one turn of `human` and one of `gpt`. The published file has
no split, so articles and pictures are kept apart by hash. How an answer is read follows from the record alone.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medrl.data.options import list_options, split_options
from medrl.data.published import as_text, check_one_of, find_file, read_json_list
from medrl.data.sample import IMAGE_PLACEHOLDER, Refused, Sample, check, make_sample
from medrl.data.splits import FRACTIONS, assign, check_fractions, split_of
from medrl.data.turns import NoTurns, read_turns

ANSWERED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
THOUGHT = re.compile(r"<think>(.*?)</think>", re.DOTALL)
TAGS = re.compile(r"</?(?:think|answer)>")
AT_AN_EDGE = re.compile(rf"\A(?:\s*{IMAGE_PLACEHOLDER})+|(?:{IMAGE_PLACEHOLDER}\s*)+\Z")
LETTER_LIST = re.compile(r"[A-Z](?:\s*,\s*[A-Z])+")
LETTER_AND_TEXT = re.compile(r"([A-Z])[).:]\s*(.*)", re.DOTALL)
TRUE_FALSE = {"A": "True", "B": "False"}


def read(
    root: Path,
    split: str,
    *,
    file: str = "complex_reasoning.json",
    fractions: Mapping[str, float] = FRACTIONS,
    seed: int = 0,
) -> Iterator[Sample | Refused]:
    """Yield the records of `file` that belong to `split`, a name in `fractions` or `all`, in file order.

    Kinds: choice and multi_choice where options stand in the question, a statement answered true or false as a choice of
    the two, yes_no, else open_short. `reason` becomes the demonstration. No article (`pmcid`) and no picture is in two splits.
    """
    check_fractions(fractions)
    check_one_of("ophtha_reason", "split", split, (*fractions, "all"))
    path = find_file("ophtha_reason", root, (file, f"{file}.json"))
    found = [
        _sample(split, f"{path.name} record {number}", f"ophtha_reason/{path.stem}/{number}", record)
        for number, record in enumerate(read_json_list("ophtha_reason", path))
    ]
    samples = [one for one in found if isinstance(one, Sample)]
    for one in found:
        if isinstance(one, Refused) and split in ("all", split_of(one.place, fractions, seed)):
            yield one
    yield from samples if split == "all" else assign(samples, fractions, seed)[split]


def _sample(split: str, place: str, name: str, record: Any) -> Sample | Refused:
    if not isinstance(record, dict):
        return Refused(place, f"a JSON {type(record).__name__}, expected an object")
    try:
        turns = read_turns(record)
        images = [_image(one, position) for position, one in enumerate(_listed(record.get("image")))]
        if len(turns.replies) != 1 or len(turns.prompt) != 1:
            raise NoTurns(f"{len(turns.replies)} replies, expected one question and one answer")
        reply = turns.replies[0]
        tagged = ANSWERED.findall(reply)
        asked = _without_edges(turns.prompt[0]["content"])
        question, kind, answer, options = _answered(asked, (tagged[-1] if tagged else reply).strip())
    except NoTurns as fault:
        return Refused(place, str(fault))
    thought = THOUGHT.search(reply)
    reason = TAGS.sub("", as_text(record.get("reason")) or (thought[1] if thought else "")).strip()
    sample = make_sample(
        id=name,
        data_source="ophtha_reason",
        question=list_options(question, options) if options else question,
        images=images,
        ground_truth=answer,
        kind=kind,
        split=split,
        options=options,
        plain_question=question if options else None,
        image_id=[f"ophtha_reason/{_name_of(image)}" for image in images],
        study_id=as_text(record.get("pmcid")) or None,  # figures of one article belong together
        title=as_text(record.get("title")) or None,
        caption=as_text(record.get("caption")) or None,
        demonstration=f"<think>{reason}</think><answer>{{ground_truth}}</answer>" if reason else None,
    )
    unfit = check(sample)
    return Refused(place, unfit) if unfit else sample


def _answered(asked: str, answer: str) -> tuple[str, str, str, dict[str, str] | None]:
    """(question without options, kind, answer as the rewards read it, options); NoTurns where they do not go together."""
    parsed = split_options(asked)
    if parsed is None:
        if answer.lower() in ("true", "false"):
            return asked, "choice", "A" if answer.lower() == "true" else "B", TRUE_FALSE
        return (
            (asked, "yes_no", answer.lower(), None)
            if answer.lower() in ("yes", "no")
            else (asked, "open_short", answer, None)
        )
    question, options = parsed
    bare = answer.rstrip(".")
    if bare in options:
        return question, "choice", bare, options
    if LETTER_LIST.fullmatch(bare):
        letters = sorted({letter.strip() for letter in bare.split(",")})
        if len(letters) > 1 and options.keys() >= set(letters):
            return question, "multi_choice", ",".join(letters), options
    both = LETTER_AND_TEXT.fullmatch(answer)
    if both and both[2].strip() == options.get(both[1]):
        return question, "choice", both[1], options
    named = [letter for letter, text in options.items() if text == answer]
    if len(named) != 1:
        raise NoTurns(f"the answer {answer[:60]!r} is none of the options {', '.join(options)}")
    return question, "choice", named[0], options


def _without_edges(asked: str) -> str:
    """The question without the placeholders around it, which come first anyway; those between words stay, and then all do."""
    bare = AT_AN_EDGE.sub("", asked).strip()
    return asked.strip() if IMAGE_PLACEHOLDER in bare else bare


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _image(one: Any, position: int) -> dict[str, Any]:
    """verl's dict of a path (which has a dot) or of base64 (which has none); NoTurns for anything else."""
    if not isinstance(one, str) or not one.strip():
        raise NoTurns(f"image[{position}] is {repr(one)[:60]}, expected a path or base64 text")
    text = one.strip()
    _, marked, encoded = text.partition(";base64,")
    if not marked and "." in text:
        return {"path": text}
    try:
        return {"bytes": base64.b64decode(encoded if marked else text, validate=True)}
    except binascii.Error as error:
        raise NoTurns(f"image[{position}] is neither a path with a suffix nor base64 ({error})") from None


def _name_of(image: dict[str, Any]) -> str:
    return str(image.get("path") or hashlib.sha256(image["bytes"]).hexdigest()[:16])
