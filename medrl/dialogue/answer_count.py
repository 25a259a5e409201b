"""Read how many a text counts: one non-negative whole number, in digits or English words.

Section 9 of the grading rules. A number with anything beside it that could change its value (a sign, a bound, a unit
grown onto it, a slash, "hundred") makes the whole region unreadable, since dropping it would be a guess.
"""

import re

from medrl.dialogue.answer_json import brackets_match, find_objects, finite_number, is_json
from medrl.dialogue.answer_mentions import Mention, asserted
from medrl.dialogue.answer_region import agreed, normalise

NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()
MAX_DIGITS = 300  # beyond this a number is noise, and Python refuses to convert more than 4300 digits

_VALUE_OF = {word: value for value, word in enumerate(NUMBER_WORDS)}
# `t2` and `COVID19` are words: digits behind a letter are no number, digits before one are
_NUMBER = re.compile(rf"(?<![\w])(?:[0-9](?:[.,]?[0-9])*+|(?:{'|'.join(NUMBER_WORDS)})(?!\w))", re.IGNORECASE)
_PLAIN_DIGITS = re.compile(r"(?:[0-9]++|[0-9]{1,3}(?:,[0-9]{3})++)(?:\.0++)?")
_LIST_KEYS = {"point_2d": 2, "bbox_2d": 4}

_HEDGE = r"(?:(?:of|about|around|approximately|roughly|circa|the|a|an|some|~)\s+)*~?\s*"
_LARGE = r"(?:thirty|forty|fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|millions?|billions?|dozens?)"
_SPOILED_BEFORE = re.compile(
    rf"""(?:
        [-+±.^/÷×=]\Z(?<!\w\s=)(?<!\s=)(?<!\w=)                  # a sign, a cut decimal, an operator; n=5 is fine
      | (?:\A|[(\[\n])\s*-\s*\Z | [+±^/÷×]\s*\Z                  # "- 5" with nothing before it, "+ 5", "2 / 5"
      | [0-9]\s*[-*~:]\s*\Z                                      # a range, product or ratio of two numbers
      | (?:[<>≤≥≦≧⩽⩾≲≳≮≯]=?|\\(?:leq?|geq?|lt|gt|pm|infty)(?!\w))\s*{_HEDGE}\Z
      | (?<!\w)(?:
            (?:minus|negative|plus|times)\s+
          | (?<!rather\s)than\s+{_HEDGE}
          | at\s+(?:the\s+)?(?:least|most|minimum|maximum)\s+{_HEDGE}
          | (?:over|under|above|below|up\s*to|upwards?|beyond|exceed(?:s|ing)?|min|max|minimum|maximum)[.:]?\s+{_HEDGE}
          | as\s+(?:many|few|much)\s+as\s+{_HEDGE}
          | {_LARGE}(?:\s+|-|\s+and\s+)
        )\Z
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_SPOILED_AFTER = re.compile(
    rf"""(?:
        [\w+%°^'] | -(?!ish\b) | \.?[*/÷×=\\]\s*\S | \s*[+%±÷×^/] | \s*-\s*(?:\Z|[0-9])
      | \s*[*~:]\s*[0-9] | \s+[x]\s+[0-9]
      | \s+(?:percent|per\s+cent)(?!\w) | \s+plus(?!\w) | \s+to\s+[0-9]
      | [\s-]+(?:and\s+(?:an?|one)\s+)?(?:half|halves|thirds?|quarters?|(?:four|fif|six|seven|eigh|nin|ten)ths?)(?!\w)
      | [\s-]+{_LARGE}(?!\w)
      | (?:\s+\w+){{0,2}}[\s,]+(?:
            (?:or|and)\s+(?:more|less|fewer|greater|higher|lower|larger|smaller|above|below|over|under|up|counting)
          | at\s+(?:the\s+)?(?:very\s+)?(?:least|most|minimum|maximum)
          | (?:minimum|maximum|min|max)
        )(?!\w)
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_REACH = 48  # characters before a number in which a bound on it can begin
_NOT_FINITE = re.compile(r"(?<!\w)(?:nan|inf|infinity|infinite)(?!\w)|∞", re.IGNORECASE)


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
    if text.startswith(("[", "(")) and is_json(text) and not text[1:-1].strip().isalnum():
        return None  # a list alone is no count; (5) and (five) are numbers in brackets
    without_objects = _objects_as_counts(text)
    if without_objects is None or not brackets_match(without_objects) or _NOT_FINITE.search(without_objects):
        return None
    mentions = _numbers(without_objects)
    values = asserted(without_objects, mentions) if mentions is not None else set()
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


def _count_in_object(found: dict[str, object]) -> str | None:
    """The number under `counts`, `count` or `answer`, as text; None unless all agree with each other and the lists."""
    stated = [found[key] for key in ("counts", "count", "answer") if key in found]
    counts = {_whole_number(value) for value in stated}
    if len(counts) != 1 or None in counts:
        return None
    count = counts.pop()
    lengths = {_length(found[key], size) for key, size in _LIST_KEYS.items() if isinstance(found.get(key), list)}
    return str(count) if lengths <= {count} else None


def _whole_number(value: object) -> int | None:
    if isinstance(value, str):
        mentions = _numbers(normalise(value))
        return mentions[0].value if mentions and len({mention.value for mention in mentions}) == 1 else None
    number = finite_number(value)
    return int(number) if number is not None and number >= 0 and number == int(number) else None


def _length(found: object, size: int) -> int:
    """How many boxes or points a list holds; [x1, y1, x2, y2] not wrapped in a list is one box."""
    assert isinstance(found, list)
    flat = len(found) == size and not any(isinstance(item, (list, dict)) for item in found)
    return 1 if flat else len(found)


def _numbers(text: str) -> list[Mention[int]] | None:
    """All whole numbers of a text; None when one is not whole, or something beside it may change its value."""
    found = []
    for match in _NUMBER.finditer(text):
        word = match[0].lower()
        if word not in _VALUE_OF and (not _PLAIN_DIGITS.fullmatch(word) or len(word) > MAX_DIGITS):
            return None
        if _SPOILED_BEFORE.search(text, max(0, match.start() - _REACH), match.start()):
            return None
        if _SPOILED_AFTER.match(text, match.end()):
            return None
        value = _VALUE_OF[word] if word in _VALUE_OF else int(word.split(".")[0].replace(",", ""))
        found.append(Mention(value, match.start(), match.end()))
    return found
