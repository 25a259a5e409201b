"""Read the boxes or points a text names: groups of numbers in brackets, JSON, or bare numbers as the whole text.

Section 10 of the grading rules. Nothing is rescaled, swapped or repaired; one group that is not exactly four (two)
finite numbers, one bracket too few or too many, and the whole text is unread.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from medrl.dialogue.answer_json import MAX_DEPTH, JsonFault, finite_number, parse_at
from medrl.dialogue.answer_mentions import MAX_MENTIONS, Mention, asserted, is_rejected
from medrl.dialogue.answer_region import agreed, normalise

Group = tuple[float, ...]
Box = tuple[float, float, float, float]
Point = tuple[float, float]

BOX_KEYS = ("bbox_2d", "bbox", "box", "point_2d", "point", "answer")
CORNER_KEYS = ("x1", "y1", "x2", "y2")
COUNT_KEYS = ("counts", "count")
MAX_BRACKETS = 4 * MAX_MENTIONS  # in a region; more cannot belong to what may be named, and reading them costs time

_NUMBER_KINDS = {int, float}
_EMPTY = re.compile(r"\[ ?\]|none", re.IGNORECASE)
_ANY_BRACKET = re.compile(r"[\[\](){}]")
_CLOSING = {"[": "]", "(": ")"}
_ITEM_BREAK = re.compile(r"\s*[,;]\s*|\s+")
_NUMBER = r"[-+]?\.?[0-9][0-9.eE+-]*+"
_BARE = re.compile(rf"{_NUMBER}(?:[\s,;]++{_NUMBER})*+,?")
_FOUR_IN_A_ROW = re.compile(rf"(?<![\w.])(?:{_NUMBER}[\s,;]++){{3}}{_NUMBER}")
_LATEX_BRACKET = re.compile(r"\\(?:left|right)?(?=[\[\](){}])")  # \[ 1, 2 \] and \left( 1, 2 \right) are brackets
_QUOTED = re.compile(r"'[^']*+'|\"[^\"]*+\"")
_LOOKS_NUMERIC = re.compile(r"(?<![\w.])[-+]?\.?[0-9]|(?<!\w)(?:nan|inf|infinity)(?!\w)|∞", re.IGNORECASE)


@dataclass
class _Bracket:
    """An open bracket: where it is, what closes it, its text outside inner brackets, and whether it has any."""

    start: int
    closing: str
    own: list[str] = field(default_factory=list)
    has_inner: bool = False


def read_box(reply: str) -> Box | None:
    """The one box a reply names as x1, y1, x2, y2 in pixels; repeats of it are the same box.

    >>> read_box("<answer>[40, 60, 140.5, 160]</answer>"), read_box("<answer>[40, 60, 140]</answer>")
    ((40.0, 60.0, 140.5, 160.0), None)
    """

    def one_box(region: str) -> Group | None:
        boxes = set(read_groups(region, 4) or ())
        return boxes.pop() if len(boxes) == 1 else None

    box = agreed(reply, one_box)
    return (box[0], box[1], box[2], box[3]) if box else None


def read_boxes(reply: str) -> list[Box] | None:
    """All boxes a reply names, in order and with repeats; `[]` or "none" gives an empty list, no answer gives None.

    >>> read_boxes("<answer>[[1, 2, 3, 4], [5, 6, 7, 8]]</answer>"), read_boxes("<answer>none</answer>")
    ([(1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)], [])
    """
    boxes = agreed(reply, lambda region: read_groups(region, 4), _same_groups)
    return None if boxes is None else [(box[0], box[1], box[2], box[3]) for box in boxes]


def read_points(reply: str) -> list[Point] | None:
    """All points a reply names, as `read_boxes`.

    >>> read_points('<answer>{"counts": 1, "point_2d": [[30, 40]]}</answer>')
    [(30.0, 40.0)]
    """
    points = agreed(reply, lambda region: read_groups(region, 2), _same_groups)
    return None if points is None else [(point[0], point[1]) for point in points]


def read_groups(region: str, size: int) -> list[Group] | None:
    """The groups of `size` numbers one region names and stands by; None when any of it cannot be read.

    >>> read_groups("(1, 2) and not (3, 4)", 2), read_groups("(1, 2) or (3, 4, 5)", 2)
    ([(1.0, 2.0)], None)
    """
    text = normalise(region).rstrip(" .!;")
    if sum(map(text.count, "[({")) > MAX_BRACKETS or text.count(",") > 4 * MAX_BRACKETS:
        return None
    if "\\" in text:
        text = _LATEX_BRACKET.sub("", text)
    if _EMPTY.fullmatch(text):
        return []
    if _BARE.fullmatch(text):
        group = _as_group(text, size)
        return [group] if group else None
    found = _named_groups(text, size)
    if not found:  # unreadable, or nothing but words
        return None
    if len(found) == 1 and found[0].end - found[0].start == len(text) and len(found[0].value) <= MAX_MENTIONS:
        return list(found[0].value)  # no word beside it that could reject it
    mentions = [Mention(group, part.start, part.end) for part in found for group in part.value]
    kept = asserted(text, mentions)
    if mentions and not kept:
        return None
    return [mention.value for mention in mentions if mention.value in kept]


def _named_groups(text: str, size: int) -> list[Mention[tuple[Group, ...]]] | None:
    """Each JSON value and each bracket in prose with the groups in it.

    None when one is malformed, or numbers stand in a row outside of brackets.
    """
    found: list[Mention[tuple[Group, ...]]] = []
    outside, end = [], 0
    brackets_read = 0
    while opening := _ANY_BRACKET.search(text, end):
        start = opening.start()
        outside.append(text[end:start])
        brackets_read += 1
        if opening[0] not in "[({" or brackets_read > MAX_MENTIONS:
            return None
        if part := _json_groups(text, start, size):
            groups, end = part
            if groups is None:
                return None
            found.append(Mention(tuple(groups), start, end))  # of none where {"bbox_2d": []} names no box
            continue
        loose = _loose_groups(text, start, size) if opening[0] != "{" else None
        if loose is None:
            return None
        inner, end = loose
        if inner and is_rejected(text, start, end):  # "not ([1, 2, 3, 4] and [5, 6, 7, 8])"
            inner = [Mention(tuple(group for named in inner for group in named.value), start, end)]
        found += inner
    words = " ".join([*outside, text[end:]])
    return None if "%" in words or _FOUR_IN_A_ROW.search(words) else found


def _json_groups(text: str, start: int, size: int) -> tuple[list[Group] | None, int] | None:
    """The groups of the JSON value at `start` and the position after it; None when there is no JSON."""
    try:
        value, end = parse_at(text, start)
    except JsonFault:
        return None
    return _groups_of(value, size), end


def _groups_of(value: object, size: int) -> list[Group] | None:
    if isinstance(value, dict):
        return _groups_of_object(value, size)
    if not isinstance(value, list) or not value:
        return None
    kinds = set(map(type, value))
    if list in kinds or dict in kinds:
        return _flattened([_groups_of(item, size) for item in value])
    if len(value) != size:
        return None
    if kinds <= _NUMBER_KINDS and all(map(math.isfinite, value)):
        return [tuple(map(float, value))]
    numbers = [number for number in map(finite_number, value) if number is not None]
    return [tuple(numbers)] if len(numbers) == size else None


def _groups_of_object(found: dict[str, object], size: int) -> list[Group] | None:
    parts: list[list[Group] | None] = []
    for key in BOX_KEYS:
        held = found.get(key)
        if key not in found:
            continue
        if held == []:
            parts.append([])
        elif key == "answer" and isinstance(held, str):  # an object with this key stands for what it holds
            parts.append(read_groups(held, size))
        else:
            parts.append(_groups_of(held, size))
    if any(key in found for key in CORNER_KEYS):
        parts.append(_groups_of([found.get(key) for key in CORNER_KEYS], size))
    groups = _flattened(parts) if parts else None
    if groups is not None and any(finite_number(found[key]) != len(groups) for key in COUNT_KEYS if key in found):
        return None
    return groups


def _flattened(parts: Iterable[list[Group] | None]) -> list[Group] | None:
    groups: list[Group] = []
    for part in parts:
        if part is None:
            return None
        groups += part
    return groups


def _loose_groups(text: str, start: int, size: int) -> tuple[list[Mention[tuple[Group, ...]]], int] | None:
    """The groups in a bracket that is no JSON, such as "(upper left)", "[1 2 3 4]" or "(not [1, 2, 3, 4])"."""
    groups: list[Mention[tuple[Group, ...]]] = []
    stack: list[_Bracket] = []
    read_to = start
    for sign in _ANY_BRACKET.finditer(text, start):
        if stack:
            stack[-1].own.append(text[read_to : sign.start()])
        read_to = sign.end()
        if sign[0] in _CLOSING:
            if len(stack) == MAX_DEPTH:
                return None
            stack.append(_Bracket(sign.start(), _CLOSING[sign[0]]))
            continue
        bracket = stack.pop()
        own = " ".join(bracket.own)
        if sign[0] != bracket.closing or "%" in own:
            return None
        if _LOOKS_NUMERIC.search(own):
            group = None if bracket.has_inner else _as_group(own, size)
            if group is None:
                return None
            groups.append(Mention((group,), bracket.start, read_to))
        elif not bracket.has_inner and not own.strip(" ,\n"):
            return None  # an empty group among others
        if not stack:
            return groups, read_to
        stack[-1].has_inner = True
    return None


def _same_groups(first: list[Group], second: list[Group]) -> bool:
    """True when both name the same boxes or points as often, in whatever order."""
    return sorted(first) == sorted(second)


def _as_group(text: str, size: int) -> Group | None:
    """Numbers, each maybe in quotes, separated by commas or blanks; a comma at the end is allowed."""
    items = _ITEM_BREAK.split(text.strip(), size + 1)  # no more than show that there are too many
    if items[-1] == "":
        items.pop()
    unquoted = [item[1:-1] if _QUOTED.fullmatch(item) else item for item in items]
    numbers = [number for item in unquoted if (number := finite_number(item)) is not None]
    return tuple(numbers) if len(numbers) == len(items) == size else None
