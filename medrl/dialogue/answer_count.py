"""Read how many a text counts: one non-negative whole number, in digits or English words.

Section 9 of the grading rules. A number with anything beside it that could change its value (a sign, a bound, a unit
grown onto it, a slash, "hundred") makes the whole region unreadable, since dropping it would be a guess.
"""

import re

from medrl.dialogue.answer_bounds import BOUND_AFTER, BOUND_BEFORE, is_not_finite
from medrl.dialogue.answer_json import brackets_match, find_objects, finite_number
from medrl.dialogue.answer_mentions import MAX_MENTIONS, Mention, asserted
from medrl.dialogue.answer_region import agreed, normalise

NUMBER_WORDS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
]  # fmt: skip
MAX_DIGITS = 300  # beyond this a number is noise, and Python refuses to convert more than 4300 digits

_VALUE_OF = {word: value for value, word in enumerate(NUMBER_WORDS)}
# `t2` and `COVID19` are words: digits behind a letter are no number, digits before one are
_NUMBER = re.compile(
    rf"(?=[0-9efnostz])(?<!\w)(?:[0-9](?:[.,]?[0-9])*+|(?:{'|'.join(NUMBER_WORDS)})(?!\w))", re.IGNORECASE
)
_PLAIN_DIGITS = re.compile(r"(?:[0-9]++|[0-9]{1,3}(?:,[0-9]{3})++)(?:\.0++)?")
_LIST_OF_NUMBERS = re.compile(r"\[[^\[\]]*[0-9]")
_LIST_KEYS = {"point_2d": 2, "bbox_2d": 4}

_LARGE = r"(?:thirty|forty|fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|millions?|billions?|dozens?)"
_SPOILED_BEFORE = re.compile(
    rf"""(?:
        [-.]                                        # a sign, a hyphenated word, or a cut decimal
      | [+±^/÷×]\s* | (?:\A|[(\[\n])\s*-\s*         # "+ 5", "7 / 9", and "- 5" with nothing before it
      | [0-9](?:\s*[-*~]\s*|\s*:|\s+:\s+)           # a range, product or ratio of two numbers
      | (?<!\w)(?:(?:minus|negative|plus|times)\s+|{_LARGE}(?:\s+and\s+|\s+))
      | {BOUND_BEFORE}
    )\Z""",
    re.IGNORECASE | re.VERBOSE,
)
_SPOILED_AFTER = re.compile(
    rf"""(?:
        (?!ish(?!\w))[\w^] | '\w | -(?!ish(?!\w))     # grown onto something: 5mm, 3rd, 5-fold
      | \s*(?:[+%°±÷×/<>≤≥]|\\(?:%|times|cdot|pm)) | \s+(?:percent|per\s+cent|plus)(?!\w)
      | \s*(?:[-*~]|\bx\b|\bto\b)\s*[0-9] | (?::|\s+:\s+)[0-9] | \s*-\s*\Z
      | [\s-]+(?:and\s+(?:an?|one)\s+)?(?:half|halves|thirds?|quarters?|(?:four|fif|six|seven|eigh|nin|ten)ths?)(?!\w)
      | [\s-]+{_LARGE}(?!\w)
      | {BOUND_AFTER}
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_REACH = 48  # characters before a number in which a bound on it can begin


def read_count(reply: str) -> int | None:
    """The one number a reply counts; None for ranges, bounds, fractions, signs, or two numbers.

    >>> read_count("<answer>about 1,234 cells</answer>"), read_count("<answer>at least 7</answer>")
    (1234, None)
    """
    return agreed(reply, _count)


def _count(region: str) -> int | None:
    text = normalise(region)
    if text.rstrip(" .!;").lower() == "none":
        return 0
    plain = _objects_as_counts(text)
    if plain is None or not brackets_match(plain) or _LIST_OF_NUMBERS.search(plain) or is_not_finite(plain):
        return None
    numbers = _numbers(plain)
    values = asserted(plain, numbers) if numbers is not None else set()
    return values.pop() if len(values) == 1 else None


def _objects_as_counts(text: str) -> str | None:
    """The text with each JSON object replaced by the count it states; None when one states none."""
    pieces, end = [], 0
    for found in find_objects(text):
        count = _count_in_object(found.value) if found.value is not None else None
        if count is None:
            return None
        pieces += [text[end : found.start], f" {count} "]
        end = found.end
    return "".join([*pieces, text[end:]]).strip()


def _count_in_object(found: dict[str, object]) -> int | None:
    """The number under `counts`, `count` or `answer`; None unless they agree with each other and with the lists."""
    stated = {_stated(found[key], as_text=key == "answer") for key in ("counts", "count", "answer") if key in found}
    count = stated.pop() if len(stated) == 1 else None
    lengths = {_length(found[key], size) for key, size in _LIST_KEYS.items() if isinstance(found.get(key), list)}
    return count if lengths <= {count} else None


def _stated(value: object, as_text: bool) -> int | None:
    """A JSON value as a count; a string is a numeric one. Under `answer`, a string or object stands for what it says."""
    if isinstance(value, dict):
        return _count_in_object(value) if as_text else None
    if isinstance(value, str):
        if as_text:
            return _count(value)
        return _as_count(value.strip()) if _is_plain(value.strip()) else None
    number = finite_number(value)
    return int(number) if number is not None and number >= 0 and number == int(number) else None


def _length(found: object, size: int) -> int:
    """How many boxes or points a list holds; [x1, y1, x2, y2] not wrapped in a list is one box."""
    assert isinstance(found, list)
    flat = len(found) == size and not any(isinstance(item, (list, dict)) for item in found)
    return 1 if flat else len(found)


def _numbers(text: str) -> list[Mention[int]] | None:
    """All whole numbers of a text; None when one is not whole, or something beside it may change its value."""
    found: list[Mention[int]] = []
    for match in _NUMBER.finditer(text):
        word = match[0].lower()
        if len(found) > MAX_MENTIONS or not (word in _VALUE_OF or _is_plain(word)):
            return None
        if _SPOILED_BEFORE.search(text, max(0, match.start() - _REACH), match.start()):
            return None
        if _SPOILED_AFTER.match(text, match.end()):
            return None
        found.append(Mention(_VALUE_OF[word] if word in _VALUE_OF else _as_count(word), *match.span()))
    return found


def _is_plain(digits: str) -> bool:
    return _PLAIN_DIGITS.fullmatch(digits) is not None and len(digits) <= MAX_DIGITS


def _as_count(digits: str) -> int:
    return int(digits.split(".")[0].replace(",", ""))
