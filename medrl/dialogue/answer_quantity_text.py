"""Find the numbers of a text, each with the unit written behind it: what a quantity is read from.

Section 11 of the grading rules: comma and point, exponents, signs, "x ± y", LaTeX spacing, and where a unit ends. Every
pattern is bounded or possessive, so that a text costs time in proportion to its length.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from medrl.dialogue.answer_region import normalise
from medrl.dialogue.answer_units import UNITS

MAX_DIGITS = 300  # beyond this a number is noise

_DEGREES = "º˚"  # NFKC would make an o and a combining ring of them
_LATEX = [
    (re.compile(r"\\[,;:! ]"), " "),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\^ ?(?:\{ ?)?\\circ(?![A-Za-z])(?: ?\})?|\\degree(?![A-Za-z])"), "°"),
    (re.compile(r"\\mu(?![A-Za-z]) ?"), "μ"),
    (re.compile(r"\\pm(?![A-Za-z])"), "±"),
    (re.compile(r"\\times(?![A-Za-z])"), "×"),
    (re.compile(r"\\(?:approx|sim|simeq)(?![A-Za-z])"), "~"),
    (re.compile(r"(?<=[0-9])~(?=[A-Za-z])"), " "),
    (re.compile(r"\^\{([23])\}"), r"^\1"),
]

_FIGURES = r"(?:[0-9]++(?:[.,][0-9]++)*+|\.[0-9]++)(?:[eE][-+]?[0-9]++(?![0-9.,]*[0-9]))?+"
_SECOND_FACTOR = r"(?<=[0-9m][xX])|(?<=[0-9m]\s[xX])"  # 4x3 cm, 4cmx3cm, 4 cm x3 cm
_NUMBER = re.compile(
    rf"(?=[-+.0-9])(?:(?<![\w)\]}}%°.])[-+])?+(?:(?<![^\W_])|{_SECOND_FACTOR})(?<![^\W_][.,]){_FIGURES}"
)
_SIGN_WORD = re.compile(r"(?<!\w)(?:minus|negative)\s+\Z", re.IGNORECASE)
_LABEL = re.compile(
    r"(?<!\w)(?:slice|series|image|figure|fig|frame|level|phase|segment|step|number|grade|stage|type|zone|view|case|"
    r"lesion|nodule|patient|panel|day|year)\.?\s*#?\Z",
    re.IGNORECASE,
)
_SPREAD = re.compile(rf"\s*+[(\[]?+\s*+(?:±|\+/?-)\s*+{_FIGURES}[)\]]?+")
_TO_UNIT = r"[)\]]?+\s*+[-(\[]?+\s*+"
_NAMES = "|".join(
    r"\s+".join(map(re.escape, name.split()))
    for name in sorted(UNITS, key=len, reverse=True)
    if name not in ("in", "°", "%")
)
_COMPOUND = (
    r"(?!(?!x[0-9])[\w^·]|\s*/\s*[^\W\d_]|\s+per(?!\w))"  # mm/s, mg per day, mm^2 are other units; 8mmx9mm is a product
)
_NO_CELSIUS = r"(?!\s*(?:[cfk](?!\w)|celsius|fahrenheit|kelvin|centigrade))"
# "5 in the lung" has no unit, "5 in", "5 in." and "5 in long" have
_INCH = r"in(?!\w)(?!\s+(?!(?:long|wide|high|tall|thick|deep|across|in|by|x|or|and|to)(?!\w))\w)"
_UNIT = re.compile(rf"{_TO_UNIT}(?P<name>(?:{_NAMES}){_NO_CELSIUS}{_COMPOUND}|°{_NO_CELSIUS}|%|{_INCH})", re.IGNORECASE)
_OTHER = re.compile(
    rf"{_TO_UNIT}(?!x[0-9])(?P<name>(?:°\s?|deg(?:ree)?s?\s)?+[^\W\d_](?:[\w^/·]|\s*/\s*(?=[^\W\d_])|\s+per\s+)*+)",
    re.I,
)
_FUNCTION_WORDS = """
    a about above across all also an and approx approximately around as at be because below between but by circa deep each
    either else for from has have high i if in into is it its left less long max maximum maybe min minimum more not of off
    on only or out over per perhaps plus possibly probably right roughly since so tall than that the then there these thick
    this those through till times to total under until versus vs was were which wide with x
"""
# not listed, but of a kind that is: a second value, not a word about something else
_UNLISTED_UNITS = """
    px pixel pixels voxel voxels pm dm km foot feet ft yard yards mile miles turn turns mm2 cm2 m2 m3 dm3 km2 nl dl cl
    microgram micrograms μg ug mcg ng pg lb lbs pound pounds oz ounce ounces ton tonne tons tonnes pa kpa hpa torr atm bar
    hz khz mhz h hr hrs hour hours us μs ns
"""
_NO_UNIT, _RIVALS = frozenset(_FUNCTION_WORDS.split()), frozenset(_UNLISTED_UNITS.split())
_REACH = 24


@dataclass(frozen=True)
class FoundNumber:
    """A number and the unit behind it. `value` is None when it is malformed or endless.

    `is_measured`: the unit is listed, or is of a kind that is; other words behind a number may be no unit at all.
    `is_label`: the number only names something, as in "slice 12".
    """

    value: float | None
    unit_name: str | None
    is_measured: bool
    is_label: bool
    start: int
    end: int


def plain_quantities(text: str) -> str:
    """The normal form, with what LaTeX writes for a degree, a space or a plus-minus in plain signs.

    >>> plain_quantities(r"45^{\\circ} \\pm 2^\\circ"), plain_quantities(r"6.4\\,cm")
    ('45° ± 2°', '6.4 cm')
    """
    for sign in _DEGREES:
        text = text.replace(sign, "°")
    plain = normalise(text)
    if "\\" in plain or "^" in plain or "~" in plain:
        for pattern, sign in _LATEX:
            plain = pattern.sub(sign, plain)
    return plain


def find_numbers(text: str) -> Iterator[FoundNumber]:
    """All numbers in digits of a plain text, in order; the spread of "64 ± 2 mm" belongs to the first.

    >>> [(found.value, found.unit_name) for found in find_numbers("T2, slice 3: -1,500.5 ± 2 HU")]
    [(3.0, None), (-1500.5, 'HU')]
    """
    end = 0
    while match := _NUMBER.search(text, end):
        start, end = match.span()
        value = number_in(match[0])
        unit = _UNIT.match(text, end)
        end = unit.end() if unit else end
        if spread := _SPREAD.match(text, end):
            end = spread.end()
            behind = _UNIT.match(text, end)
            end = behind.end() if behind else end
            unit = unit or behind
        other = None if unit else _OTHER.match(text, end)
        if other and " ".join(other["name"].lower().split()) in _NO_UNIT:
            other = None
        if other:
            end = other.end()
        name = unit["name"] if unit else other["name"] if other else None
        if sign := _SIGN_WORD.search(text, max(0, start - _REACH), start):
            value = -value if value is not None and match[0][0] not in "+-" else None
            start = sign.start()
        is_label = name is None and _LABEL.search(text, max(0, start - _REACH), start) is not None
        yield FoundNumber(value, name, unit is not None or _is_rival(name), is_label, start, end)


def number_in(figures: str) -> float | None:
    """The value of a number by its commas and points; None when they make no sense, or it is not finite.

    One comma is decimal unless three digits follow and the part before is not 0; with both signs the last is decimal.

    >>> [number_in(figures) for figures in ("6,4", "1,500", "0,500", "1.500", "1.234,5", "1,234.5", "1.7e1", "1,23,4")]
    [6.4, 1500.0, 0.5, 1.5, 1234.5, 1234.5, 17.0, None]
    """
    figures = figures.strip()
    if len(figures) > MAX_DIGITS or re.fullmatch(rf"[-+]?{_FIGURES}", figures) is None:
        return None
    whole, _, exponent = figures.lower().partition("e")
    commas, points = whole.count(","), whole.count(".")
    if commas and points:
        decimal = max(",", ".", key=whole.rfind)
        thousands = "," if decimal == "." else "."
        if whole.count(decimal) > 1 or not _is_grouped(whole.partition(decimal)[0], thousands):
            return None
        whole = whole.replace(thousands, "").replace(decimal, ".")
    elif commas:
        before, _, after = whole.partition(",")
        if commas == 1 and (len(after) != 3 or int(before) == 0):
            whole = whole.replace(",", ".")
        elif commas == 1 or (int(before) != 0 and _is_grouped(whole, ",")):
            whole = whole.replace(",", "")
        else:
            return None
    elif points > 1:
        return None
    value = float(f"{whole}e{exponent}" if exponent else whole)
    return value if math.isfinite(value) else None


def _is_grouped(figures: str, thousands: str) -> bool:
    first, *groups = figures.lstrip("+-").split(thousands)
    return 1 <= len(first) <= 3 and all(len(group) == 3 for group in groups)


def _is_rival(name: str | None) -> bool:
    if name is None:
        return False
    plain = name.lower()
    return (
        plain in _RIVALS or any(sign in plain for sign in "/^°") or bool(re.match(r"deg(?:ree)?s?\s|.*\sper\s", plain))
    )
