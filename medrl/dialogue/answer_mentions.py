"""Which of the values a text mentions it stands by: a rejected one ("not C", "C is wrong") does not count.

Section 4 of the grading rules, and the JSON objects of section 2d that stand for their `answer`. Shared by all kinds.
"""

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from medrl.dialogue.answer_json import find_objects
from medrl.dialogue.answer_region import normalise, unwrap

Value = TypeVar("Value", bound=Hashable)

MAX_MENTIONS = 500  # a region that names its value more often is a loop, not an answer; so is one with more objects
REACH = 64  # characters before a mention in which its rejection can begin: the longest takes fewer

_OPENING = r"""["'(\[{]*"""
# "not the option (C": an article, the word that introduces the value, and brackets belong to the mention
_LEAD = rf"(?:\s+(?:an?|the))?\s*{_OPENING}\s*(?:(?:option|answer|choice)(?:\s+is)?[\s:]*)?{_OPENING}\s*\Z"
_NOT = r"(?:(?<!\w)not|n't)"
_REJECTING = r"(?:(?<!\w)(?:not|no|without|rather\s+than|instead\s+of|neither|nor|excludes?)|n't)"
_REJECTED_BEFORE = re.compile(_REJECTING + _LEAD, re.IGNORECASE)
_DENIED_BEFORE = re.compile(_NOT + _LEAD, re.IGNORECASE)
_REJECTED_AFTER = re.compile(
    r"""["')\]}]*\s+(?:is|was)\s+(?:wrong|incorrect|excluded|ruled[ -]out|unlikely)(?!\w)""", re.IGNORECASE
)
_MAY_REJECT = re.compile(r"\b(?:not?|without|than|of|n?either|nor|excludes?|is|was)\b|n't", re.IGNORECASE)
_ANSWER_KEY = re.compile(r"""answer\s*["']\s*:""", re.IGNORECASE)


@dataclass(frozen=True)
class Mention(Generic[Value]):
    """A value and the characters that name it."""

    value: Value
    start: int
    end: int


def asserted(text: str, mentions: Sequence[Mention[Value]]) -> set[Value]:
    """The values a text stands by. One that it both rejects and asserts makes it stand by nothing: never guess.

    >>> mentions = [Mention("B", 0, 1), Mention("C", 7, 8)]
    >>> asserted("B, not C", mentions), asserted("B - not B", [Mention("B", 0, 1), Mention("B", 8, 9)])
    ({'B'}, set())
    """
    if not 0 < len(mentions) <= MAX_MENTIONS:
        return set()
    may_reject = _MAY_REJECT.search(text) is not None  # most texts need no closer look
    kept: set[Value] = set()
    rejected: set[Value] = set()
    for mention in mentions:
        refuse = may_reject and is_rejected(text, mention.start, mention.end)
        (rejected if refuse else kept).add(mention.value)
    return set() if kept & rejected else kept


def is_rejected(text: str, start: int, end: int) -> bool:
    """True when the words directly before or after these characters reject them.

    >>> is_rejected("rather than the B", 16, 17), is_rejected("B was ruled out", 0, 1), is_rejected("no, B", 4, 5)
    (True, True, False)
    """
    before = _REJECTED_BEFORE.search(text, max(0, start - REACH), start)
    return before is not None or _REJECTED_AFTER.match(text, end) is not None


def is_denied(text: str, start: int) -> bool:
    """True when *not* stands directly before `start`; the only rejection a yes or no can have.

    >>> is_denied("not a yes", 6), is_denied("without a yes", 10)
    (True, False)
    """
    return _DENIED_BEFORE.search(text, max(0, start - REACH), start) is not None


def with_json_answers(region: str) -> str:
    """The region's plain text, each JSON object that has a key `answer` replaced by what the key holds.

    >>> with_json_answers("Here: {'answer': ['A', 'C'], 'note': 'not B'}")
    'Here: A, C'
    """
    text = normalise(region)
    pieces, end = [], 0
    objects = find_objects(text) if _ANSWER_KEY.search(text) else ()
    for found in islice(objects, MAX_MENTIONS):
        if found.value is not None and "answer" in found.value:
            pieces += [text[end : found.start], " ", unwrap(_as_text(found.value["answer"])), " "]
            end = found.end
    return normalise("".join([*pieces, text[end:]])) if pieces else text


def _as_text(value: object) -> str:
    if isinstance(value, dict) and "answer" in value:
        return _as_text(value["answer"])
    if isinstance(value, list):
        return ", ".join(_as_text(item) for item in value)
    return "" if value is None else str(value)
