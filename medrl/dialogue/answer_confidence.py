"""Read how sure a reply says it is: one probability, or None when it states none, an unreadable one, or several.

Looked for outside the reasoning only, and as plainly as an answer: a tag, a JSON key, or "confidence: 80%". Never raises.
"""

import re
from collections.abc import Iterator
from itertools import islice

from medrl.dialogue.answer_json import find_objects
from medrl.dialogue.answer_mentions import MAX_MENTIONS
from medrl.dialogue.answer_region import normalise, without_reasoning

_TAG = re.compile(r"<\s*+(?a:confidence)\s*+>([^<>]*+)(?:<\s*+/\s*+(?a:confidence)\s*+>)?", re.IGNORECASE)
_CUE = re.compile(r"(?<!\w)(?a:confidence)(?: (?:level|score))? ?[:=] ?", re.IGNORECASE)
_KEY = re.compile(r"""(?a:confidence)\s*["']\s*:""", re.IGNORECASE)  # most replies have no such key to look for
_NUMBER = re.compile(r"([0-9]{1,3}(?:[.,][0-9]{1,12})?|[.,][0-9]{1,12})(?![0-9])( ?%| percent(?!\w))?")
# neither a part of something else ("0.8x", "1/2", "80 mm") nor the start of a range ("0.7-0.9", "70% to 90%")
_GOES_ON = re.compile(r"[\w%/~^]|[.,:-]\w| ?(?:-|to|or|and|/|out|of|±|\+)(?: |(?=[0-9.]))")


def read_confidence(reply: str) -> float | None:
    """The one confidence the reply states, from 0 to 1: a number up to 1, or a percentage up to 100 with its sign.

    `<confidence>0.8</confidence>`, the key `confidence` of a JSON object, or `confidence: 80%`; a bare 80 could be either
    and is none. Statements that differ, and one that cannot be read beside one that can, are none.

    >>> read_confidence('<answer>{"answer": "B", "confidence": 0.8}</answer>'), read_confidence("B\\nConfidence: 80%")
    (0.8, 0.8)
    >>> read_confidence("<think>confidence: 0.8</think>B"), read_confidence("B, confidence: 0.6, confidence: 0.9")
    (None, None)
    """
    text = without_reasoning(reply)
    stated = set(islice(_statements(text), MAX_MENTIONS))
    return stated.pop() if len(stated) == 1 else None


def _statements(text: str) -> Iterator[float | None]:
    plain, end = [], 0
    for found in islice(find_objects(text), MAX_MENTIONS) if _KEY.search(text) else ():
        if found.value is not None:
            if "confidence" in found.value:
                yield _probability(found.value["confidence"])
            plain.append(text[end : found.start])
            end = found.end
    rest = "\n".join([*plain, text[end:]])
    for tag in _TAG.finditer(rest):
        yield _probability(tag[1])
    said = normalise(_TAG.sub("\n", rest))
    for cue in _CUE.finditer(said):
        number = _NUMBER.match(said, cue.end())
        yield None if number is None or _GOES_ON.match(said, number.end()) else _value(number)


def _probability(given: object) -> float | None:
    if isinstance(given, bool) or not isinstance(given, (int, float, str)):
        return None
    text = normalise(given).strip() if isinstance(given, str) else repr(given)
    number = _NUMBER.fullmatch(text)
    return _value(number) if number else None


def _value(number: re.Match[str]) -> float | None:
    value = float(number[1].replace(",", ".")) / (100 if number[2] else 1)
    return value if value <= 1 else None
