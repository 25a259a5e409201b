"""Read the lengths or angles a reply measures: as many numbers as were asked for, each with or without a unit.

In the spirit of sections 4 and 11 of the grading rules: a range, a bound, "or", a number too many, a comma that may be a
decimal one, and the reply is unread. MedVision's own reader takes the last numbers of any text, and "0.2-0.5" as -0.5.
"""

import math
import re
from itertools import islice
from typing import NamedTuple

from medrl.dialogue.answer_json import JsonFault, brackets_match, parse_json
from medrl.dialogue.answer_mentions import MAX_MENTIONS, is_rejected, with_json_answers
from medrl.dialogue.answer_region import agreed

# unit: what it measures, and how many of the first unit of that it is
UNITS = {
    "mm": ("length", 1.0), "millimeter": ("length", 1.0), "millimetre": ("length", 1.0),
    "cm": ("length", 10.0), "centimeter": ("length", 10.0), "centimetre": ("length", 10.0),
    "m": ("length", 1000.0), "meter": ("length", 1000.0), "metre": ("length", 1000.0),
    "um": ("length", 1e-3), "μm": ("length", 1e-3), "micron": ("length", 1e-3), "micrometer": ("length", 1e-3),
    "micrometre": ("length", 1e-3), "inch": ("length", 25.4), "inches": ("length", 25.4),
    "degree": ("angle", 1.0), "deg": ("angle", 1.0), "°": ("angle", 1.0),
    "rad": ("angle", 180 / math.pi), "radian": ("angle", 180 / math.pi),
    "px": ("pixels", 1.0), "pixel": ("pixels", 1.0), "voxel": ("voxels", 1.0),
    "%": ("share", 1.0), "percent": ("share", 1.0), "hu": ("density", 1.0), "g": ("mass", 1.0), "kg": ("mass", 1000.0),
    "ml": ("volume", 1.0), "l": ("volume", 1000.0), "s": ("time", 1.0), "ms": ("time", 1e-3), "mmhg": ("pressure", 1.0),
    "mm2": ("area", 1.0), "cm2": ("area", 100.0), "mm3": ("volume", 1e-3), "cm3": ("volume", 1.0), "cc": ("volume", 1.0),
}  # fmt: skip
UNIT_KEYS = ("unit", "units")
MAX_CHARACTERS = 10_000  # a longer region is no statement of a few numbers, and reading it costs time

_NAMES = sorted({*UNITS, *(f"{name}s" for name in UNITS if len(name) > 2 and name.isalpha())}, key=len, reverse=True)
_UNIT = rf"(?:{'|'.join(map(re.escape, _NAMES))})(?![\w^])"
_QUANTITY = re.compile(
    rf"(?<![\w.,])(?P<sign>[-+]\s?)?(?P<digits>[0-9][0-9.,]*+(?:e[-+]?[0-9]+)?)(?:\)?[ -]?(?P<unit>{_UNIT}))?",
    re.IGNORECASE,
)
_ALSO = re.compile(r"(?<![\w.])\.?[0-9]")  # digits that stand alone or begin a word: each must belong to a quantity
_SPOILED = re.compile(
    r"""[<>≤≥±+^/=?]
      | [\w°%)\]]-[0-9] | [\w°%)\]]\s+-\s+[0-9] | -\s*\Z        # a range, but not "is -45"
      | (?<!\w)(?:
            to\s+[0-9] | (?:over|under|above|below|exceed(?:s|ing)?)\s+(?:about\s+|~)?[0-9] | up\s+to
          | (?:or|versus|vs|between|plus|minus|least|most|than|nan|inf|infinity|hundreds?|thousands?|dozens?|half
              |unknown|unsure|cannot|unable)(?!\w)
        )""",
    re.IGNORECASE | re.VERBOSE,
)


class Quantity(NamedTuple):
    """A number and its unit as UNITS has it; None where none is written."""

    value: float
    unit: str | None


def read_measurements(reply: str, count: int) -> tuple[Quantity, ...] | None:
    """The `count` quantities a reply states, in its order; None for more, fewer, ranges and bounds.

    A unit behind the last of several stands for those before it.

    >>> read_measurements("<answer>about 34.5 x 20 mm</answer>", 2)
    (Quantity(value=34.5, unit='mm'), Quantity(value=20.0, unit='mm'))
    >>> read_measurements("<answer>20-35 mm</answer>", 1), read_measurements("<answer>[34.5, 20]</answer>", 3)
    (None, None)
    """

    def quantities(region: str) -> tuple[Quantity, ...] | None:
        found = _of_text(with_json_answers(region)) if len(region) <= MAX_CHARACTERS else None
        return tuple(found) if found is not None and len(found) == count else None

    return agreed(reply, quantities)


def _of_text(text: str) -> list[Quantity] | None:
    try:
        return _of_json(parse_json(text), depth=4)
    except JsonFault:
        pass
    if not brackets_match(text) or "{" in text or _SPOILED.search(text):
        return None
    found: list[Quantity] = []
    starts: set[int] = set()
    for match in islice(_QUANTITY.finditer(text), MAX_MENTIONS):
        starts.add(match.start("digits"))
        numbers = _numbers(match["digits"])
        if numbers is None or text[match.end() : match.end() + 1].isalnum():
            return None
        if is_rejected(text, match.start(), match.end()):
            continue
        sign = -1.0 if (match["sign"] or "").startswith("-") else 1.0
        unit = _unit(match["unit"]) if match["unit"] else None
        found += [Quantity(sign * number, unit) for number in numbers]
        starts.update(match.start("digits") + comma + 1 for comma in _commas(match["digits"]))
    if any(digit.start() not in starts for digit in islice(_ALSO.finditer(text), MAX_MENTIONS + 1)):
        return None
    return _with_later_units(found)


def _of_json(value: object, depth: int) -> list[Quantity] | None:
    if depth == 0 or (isinstance(value, list) and len(value) > MAX_MENTIONS):
        return None
    if isinstance(value, str):
        return _of_text(value) if any(map(str.isdigit, value)) and not value.lstrip().startswith(("[", "{")) else []
    if isinstance(value, dict):
        stated = next((value[key] for key in UNIT_KEYS if key in value), None)
        unit = _unit(stated) if isinstance(stated, str) else None
        if stated is not None and unit is None:
            return None
        inner = _of_json([item for key, item in value.items() if key not in UNIT_KEYS], depth)
        return None if inner is None else [Quantity(one.value, one.unit or unit) for one in inner]
    if isinstance(value, list):
        found: list[Quantity] = []
        for item in value:
            part = _of_json(item, depth - 1)
            if part is None:
                return None
            found += part
        return found
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return [Quantity(float(value), None)]


def _with_later_units(found: list[Quantity]) -> list[Quantity]:
    """A unit stands for the numbers before it that have none: "34 x 20 mm"."""
    unit: str | None = None
    complete = []
    for quantity in reversed(found):
        unit = quantity.unit or unit
        complete.append(Quantity(quantity.value, quantity.unit or unit))
    return complete[::-1]


def _numbers(digits: str) -> list[float] | None:
    """One number, or several that commas separate beyond doubt ("3.4,2.0"); None for "3,4", "1.2.3", "1e999"."""
    parts = digits.rstrip(".,").split(",")
    if len(digits) > 300 or (len(parts) > 1 and not all(re.fullmatch(r"[0-9]+\.[0-9]+", part) for part in parts)):
        return None
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def _commas(digits: str) -> list[int]:
    return [at for at, sign in enumerate(digits) if sign == ","]


def _unit(name: str) -> str | None:
    """The unit of this name as UNITS has it, whatever its case and number.

    >>> _unit("Degrees"), _unit("furlong")
    ('degree', None)
    """
    plain = name.strip().lower()
    return plain if plain in UNITS else plain[:-1] if plain.endswith("s") and plain[:-1] in UNITS else None
