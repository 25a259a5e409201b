"""Read the JSON a model writes: Python quotes and a trailing comma pass, a missing or surplus bracket never does.

Not `json` alone, nor `ast`: the first refuses what the grading rules allow, the second is a Python parser fed by a model.
Nesting is bounded, each character is read once, and a key given two different values is a fault, not the last one.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_DEPTH = 64
MAX_INTEGER_DIGITS = 300  # Python refuses to convert integers of more than 4300 digits; longer ones become inf

_OBJECT_START = re.compile(r"\{(?=\s*+[\"'}])")  # a key or the end must follow; saves a try at each brace of a flood
_BLANK = re.compile(r"\s*+")
_NUMBER = re.compile(r"-?+(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][-+]?+[0-9]++)?+(?![\w.%])")
# Lists of plain numbers, and lists of these, are read by C: a reply may name thousands of boxes. Only what `json` and we
# read alike: no sign but minus, no leading zero, no exponent, JSON's own blanks, no comma at the end.
_S = r"[ \t\n\r]*+"
_PLAIN = r"-?+(?:0|[1-9][0-9]{0,14}+)(?:\.[0-9]++)?+"
_ROW = rf"\[{_S}{_PLAIN}(?:{_S},{_S}{_PLAIN})*+{_S}\]"
_PLAIN_LISTS = re.compile(rf"{_ROW}|\[{_S}{_ROW}(?:{_S},{_S}{_ROW})*+{_S}\]")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*+)"|\'((?:[^\'\\]|\\.)*+)\'', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_WORD = re.compile(r"[-+]?+[A-Za-z]++(?!\w)")
_WORDS = {
    "true": True, "false": False, "null": None, "none": None,
    "nan": math.nan, "inf": math.inf, "infinity": math.inf, "-inf": -math.inf, "-infinity": -math.inf,
}  # fmt: skip
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_CLOSING = {"[": "]", "(": ")"}


class JsonFault(ValueError):
    """The text is not JSON; `position` is where reading stopped."""

    def __init__(self, position: int) -> None:
        super().__init__(f"no JSON value at character {position}")
        self.position = position


@dataclass(frozen=True)
class FoundObject:
    """A `{` in a text: the complete object that starts there, or None when it is malformed, and the characters read."""

    start: int
    end: int
    value: dict[str, object] | None


def parse_json(text: str) -> object:
    """The one JSON value that makes up the text; keys come out in lower case. Raises JsonFault.

    >>> parse_json("{'Answer': ['A', 'C',],}")
    {'answer': ['A', 'C']}
    """
    value, end = _value(text, _skip(text, 0), 0)
    if _skip(text, end) != len(text):
        raise JsonFault(end)
    return value


def parse_at(text: str, start: int) -> tuple[object, int]:
    """The JSON value that starts at this character and the position after it. Raises JsonFault.

    >>> parse_at("at (1, 2) px", 3)
    ([1, 2], 9)
    """
    return _value(text, start, 0)


def is_json(text: str) -> bool:
    """True when the whole text is one JSON value.

    >>> is_json("[1, 2]"), is_json("[1, 2")
    (True, False)
    """
    try:
        parse_json(text)
    except JsonFault:
        return False
    return True


def find_objects(text: str) -> Iterator[FoundObject]:
    """The outermost objects of a text, in order, malformed ones included.

    >>> [found.value for found in find_objects('See {"answer": "B"} or {x}')]
    [{'answer': 'B'}, None]
    """
    start = text.find("{")
    while start >= 0:
        value: dict[str, object] | None = None
        end = start + 1
        if _OBJECT_START.match(text, start):
            try:
                value, end = _object(text, end, 0)
            except JsonFault as fault:
                end = max(fault.position, end)  # what lies before the fault is inside the malformed object
        yield FoundObject(start, end, value)
        start = text.find("{", end)


def brackets_match(text: str) -> bool:
    """True when square brackets and braces pair up. Round ones may not: people write `b)`.

    >>> brackets_match("[B] {}"), brackets_match("[B"), brackets_match("B}")
    (True, False, False)
    """
    if text.count("[") != text.count("]") or text.count("{") != text.count("}"):
        return False  # a flood of one of them is not walked through
    stack = []
    for bracket in re.finditer(r"[\[\]{}]", text):
        if bracket[0] in "[{":
            stack.append("]" if bracket[0] == "[" else "}")
        elif not stack or stack.pop() != bracket[0]:
            return False
    return not stack


def finite_number(value: object) -> float | None:
    """A JSON number or numeric string as a finite float; None for anything else, booleans and NaN included.

    >>> finite_number("40.5"), finite_number(True), finite_number("40px"), finite_number("nan")
    (40.5, None, None, None)
    """
    if isinstance(value, str):
        text = value.strip()
        value = float(text) if _NUMBER.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def _value(text: str, start: int, depth: int) -> tuple[object, int]:
    """The value that starts at `start` and the position after it."""
    if depth > MAX_DEPTH or start >= len(text):
        raise JsonFault(start)
    first = text[start]
    if first == "{":
        return _object(text, start + 1, depth)
    if first in _CLOSING:
        return _list(text, start + 1, _CLOSING[first], depth)
    if first in "\"'":
        return _string(text, start)
    if number := _NUMBER.match(text, start):
        return _as_number(number[0]), number.end()
    word = _WORD.match(text, start)
    if word is None or word[0].lower() not in _WORDS:
        raise JsonFault(start)
    return _WORDS[word[0].lower()], word.end()


def _object(text: str, start: int, depth: int) -> tuple[dict[str, object], int]:
    found: dict[str, object] = {}
    position = _skip(text, start)
    while text[position : position + 1] != "}":
        name, position = _string(text, position)
        position = _skip(text, position)
        if text[position : position + 1] != ":":
            raise JsonFault(position)
        value, position = _value(text, _skip(text, position + 1), depth + 1)
        key = name.strip().lower()
        if key in found and found[key] != value:  # {"answer": "B", "answer": "C"} is two answers
            raise JsonFault(position)
        found[key] = value
        position = _after_item(text, position, "}")
    return found, position + 1


def _list(text: str, start: int, closing: str, depth: int) -> tuple[list[object], int]:
    if depth < MAX_DEPTH - 1 and (plain := _PLAIN_LISTS.match(text, start - 1)):
        return json.loads(plain[0]), plain.end()
    found: list[object] = []
    position = _skip(text, start)
    while text[position : position + 1] != closing:
        value, position = _value(text, position, depth + 1)
        found.append(value)
        position = _after_item(text, position, closing)
    return found, position + 1


def _after_item(text: str, position: int, closing: str) -> int:
    """The start of the next item, or of the closing bracket; a comma before the latter is allowed."""
    position = _skip(text, position)
    if text[position : position + 1] == ",":
        return _skip(text, position + 1)
    if text[position : position + 1] != closing:
        raise JsonFault(position)
    return position


def _string(text: str, start: int) -> tuple[str, int]:
    match = _STRING.match(text, start)
    if match is None:
        raise JsonFault(start)
    content = match[1] if match[1] is not None else match[2]
    return _ESCAPE.sub(_unescaped, content) if "\\" in content else content, match.end()


def _unescaped(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else _ESCAPED.get(escape[2], escape[2])


def _as_number(digits: str) -> int | float:
    whole = digits.lstrip("-").isdigit()
    return int(digits) if whole and len(digits) <= MAX_INTEGER_DIGITS else float(digits)


def _skip(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    assert match is not None
    return match.end()
