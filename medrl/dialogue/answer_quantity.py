"""Read the one quantity a text states: a number in digits and its unit, "64 mm (6.4 cm)" being one quantity.

Section 11 of the grading rules. A range, bound, product or a second value makes the region unread; a number without a
unit is no quantity; a unit that is not listed is one that converts to nothing.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

from medrl.dialogue.answer_bounds import BOUND_AFTER, BOUND_BEFORE, HEDGE, is_not_finite
from medrl.dialogue.answer_json import brackets_match, find_objects, finite_number
from medrl.dialogue.answer_mentions import MAX_MENTIONS, is_rejected
from medrl.dialogue.answer_quantity_text import FoundNumber, find_numbers, number_in, plain_quantities
from medrl.dialogue.answer_region import agreed
from medrl.dialogue.answer_units import Unit, in_base_units, unit_named

AGREEMENT = 0.01  # quantities of one reply that differ by less, relative to the larger, are one

_REACH = 64  # characters before a number in which a bound on it can begin
_SPOILED_BEFORE = re.compile(
    rf"""(?:
        [\w.^]-? | [+±÷×^]\s*                      # grown onto a word, or the second half of something
      | (?:\A|[(\[\n:=])\s*-\s+                     # "- 40 HU": a sign or a dash?
      | (?<!\w)(?:between|within|from)\s+{HEDGE}
      | {BOUND_BEFORE}
    )\Z""",
    re.IGNORECASE | re.VERBOSE,
)
_SPOILED_AFTER = re.compile(rf"""(?: \s*[+<>≤≥] | \s*-\s*\Z | {BOUND_AFTER} )""", re.IGNORECASE | re.VERBOSE)
_WORD_BETWEEN = r"(?:to|till|until|through|thru|or|and|by|times|x|vs\.?|versus|plus|minus)"
# text between two numbers that makes them one expression: "6-7", "6 or 7", "4 x 3", "6, about 7", "6 7"
_JOINED = re.compile(
    rf"[\s)\]]*(?:[-~,/*×·+^;]|:(?!\s)|\.{{1,3}}|{_WORD_BETWEEN}(?!\w))?\s*(?:(?!(?:in|on|at|for|since|during)\s)\w+\s+)?{HEDGE}\Z",
    re.IGNORECASE,
)
# text between two quantities that makes them a range or product, even where they nearly agree; "-" needs equal units
_COMBINED = re.compile(r"[\s)\]]*(?P<sign>-|[~*×·+^]|(?:to|till|until|through|thru|by|times|x|plus|minus)(?!\w))", re.I)
# text between a rejected bare number and the value that stands in its place: "not 40 but 35 mm"
_INSTEAD = re.compile(rf"[\s,;)\]]*(?:(?:but|nor)\s+)?{HEDGE}\Z", re.IGNORECASE)
_MAX_GAP = 40


@dataclass(frozen=True)
class Quantity:
    """A finite value in a unit."""

    value: float
    unit: Unit

    def in_base_units(self) -> float:
        """The value in the base unit of its dimension."""
        return self.value * in_base_units(self.unit)

    def agrees_with(self, other: "Quantity", tolerance: float = AGREEMENT) -> bool:
        """True when both measure the same and differ by at most this share of the larger."""
        if self.unit.dimension != other.unit.dimension:
            return False
        ours, theirs = self.in_base_units(), other.in_base_units()
        return abs(ours - theirs) <= (tolerance + 1e-9) * max(abs(ours), abs(theirs))


def read_number_with_unit(reply: str) -> Quantity | None:
    """The one quantity a reply states, as it is first written; None for no unit, a range, a bound, two values.

    >>> found = read_number_with_unit("<answer>about 6,4 cm (64 mm)</answer>")
    >>> found.value, found.unit.symbol, read_number_with_unit("<answer>6-7 cm</answer>")
    (6.4, 'cm', None)
    """
    return agreed(reply, _quantity, Quantity.agrees_with)


def _quantity(region: str) -> Quantity | None:
    stated = _quantities(region)
    if not stated or not all(stated[0].agrees_with(other) for other in stated[1:]):
        return None
    return stated[0]


def _quantities(region: str, inside: int = 0) -> list[Quantity] | None:
    """Every quantity a region stands by; None when something in it cannot be read. `inside`: depth of JSON answers."""
    text = plain_quantities(region)
    stated: list[Quantity] = []
    pieces, end = [], 0
    for found in find_objects(text):
        held = _in_object(found.value, inside) if found.value is not None else None
        if not held or len(stated) > MAX_MENTIONS:
            return None
        stated += held
        pieces += [text[end : found.start], "\n.\n"]
        end = found.end
    outside = "".join([*pieces, text[end:]])
    if not brackets_match(outside) or is_not_finite(outside):
        return None
    written = _written(outside)
    return None if written is None else stated + written


def _in_object(found: dict[str, object], inside: int) -> list[Quantity] | None:
    """What the keys `value` and `unit` state, and what the key `answer` stands for."""
    stated: list[Quantity] = []
    if "answer" in found:
        answer = found["answer"]
        if isinstance(answer, dict):
            held = _in_object(answer, inside)
        else:
            held = _quantities(answer, inside + 1) if isinstance(answer, str) and inside == 0 else None
        if not held:
            return None
        stated += held
    if "value" in found or "unit" in found:
        value, name = found.get("value"), found.get("unit")
        number = number_in(value) if isinstance(value, str) else finite_number(value)
        unit = _unit(name) if isinstance(name, str) else None
        if number is None or unit is None:
            return None
        stated.append(Quantity(number, unit))
    return stated


def _unit(name: str) -> Unit | None:
    """The listed unit of this name, or one that converts to nothing; None for a blank name."""
    plain = plain_quantities(name).strip(" .()[]")
    return unit_named(plain) or _unlisted(plain) if plain else None


def _unlisted(name: str) -> Unit:
    return Unit(f"unlisted {name.lower()}", name)


def _written(text: str) -> list[Quantity] | None:
    """The quantities in prose; None for anything that is not plainly one value."""
    numbers: list[FoundNumber] = []
    for number in find_numbers(text):
        if number.value is None or len(numbers) == MAX_MENTIONS:
            return None
        numbers.append(number)
    measured = any(number.is_measured for number in numbers)
    if any(_is_joined(text, first, second) for first, second in pairwise(numbers)):
        return None
    stated: list[Quantity] = []
    rejected: list[Quantity] = []
    for number in numbers:
        if number.unit_name is None or (measured and not number.is_measured):
            continue  # "on slice 12", "2 stents": words about something else
        if _SPOILED_BEFORE.search(text, max(0, number.start - _REACH), number.start):
            return None
        if _SPOILED_AFTER.match(text, number.end):
            return None
        assert number.value is not None
        unit = unit_named(number.unit_name) or _unlisted(number.unit_name)
        refuse = is_rejected(text, number.start, number.end)
        (rejected if refuse else stated).append(Quantity(number.value, unit))
    # one that is both rejected and stated makes the text stand by nothing
    return None if any(no.agrees_with(yes) for no in rejected for yes in stated[:1]) else stated


def _is_joined(text: str, first: FoundNumber, second: FoundNumber) -> bool:
    """True when two neighbouring numbers make a range, a product or a list of which one has no unit."""
    start, end = first.end, second.start
    if end - start > _MAX_GAP or (first.is_label and text[start] in ",;") or second.is_label:
        return False  # "slice 12, 64 mm" and "64 mm, slice 12"
    if first.is_measured and second.is_measured:
        combined = _COMBINED.match(text, start, end)
        if combined is None or _JOINED.match(text, start, end) is None:
            return False
        return combined["sign"] != "-" or first.unit_name == second.unit_name
    if first.unit_name is not None and not first.is_measured:
        return False
    if second.unit_name is not None and not second.is_measured:
        return False
    if second.unit_name is None and is_rejected(text, second.start, second.end):  # "35 mm, not 40"
        return False
    if first.unit_name is None and _INSTEAD.match(text, start, end) and is_rejected(text, first.start, first.end):
        return False
    return _JOINED.match(text, start, end) is not None
