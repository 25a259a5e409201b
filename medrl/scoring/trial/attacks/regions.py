"""Boxes, points and numbers that cover everything, repeat themselves, or are none: for graders of geometry and counts."""

import json
from collections.abc import Iterator
from typing import Any

from medrl.scoring.trial.attacks.target import NUMBERS, SETS, Attack, Hostile, Target, grid

BOX = frozenset({"box"})
BOXES = frozenset({"boxes"})
POINTS = frozenset({"points"})
COPIES = 20


def whole_picture(target: Target) -> Iterator[Hostile]:
    """The whole picture as the box."""
    width, height = target.size_px
    yield Hostile(target.stated(_written(target, [[0, 0, width, height]])))


def box_beyond_the_picture(target: Target) -> Iterator[Hostile]:
    """A box far larger than the picture."""
    for far in (10**6, 10**18):
        yield Hostile(target.stated(_written(target, [[-far, -far, far, far]])))


def grid_of_boxes(target: Target) -> Iterator[Hostile]:
    """Boxes of several sizes side by side all over the picture."""
    yield Hostile(target.stated(json.dumps([cell for parts in (2, 3, 4, 6) for cell in grid(target.size_px, parts)])))


def thousand_boxes(target: Target) -> Iterator[Hostile]:
    """So many boxes that some fit."""
    yield Hostile(
        target.stated(json.dumps([cell for parts in (8, 12, 16, 24) for cell in grid(target.size_px, parts)]))
    )


def carpet_of_points(target: Target) -> Iterator[Hostile]:
    """A point every few pixels."""
    width, height = target.size_px
    step = max(12, (width * height // 2500) ** 0.5)
    points = [
        [int(x * step), int(y * step)] for x in range(int(width / step) + 1) for y in range(int(height / step) + 1)
    ]
    yield Hostile(target.stated(json.dumps(points)))


def boxes_one_after_another(target: Target) -> Iterator[Hostile]:
    """Several boxes where one is asked for."""
    for one, other in target.pairs():
        yield Hostile(target.stated(f"{one}, {other}"))
        yield Hostile(target.stated(f"[{one}, {other}]"))
    yield Hostile(target.stated(json.dumps(grid(target.size_px, 4))))


def copies(target: Target) -> Iterator[Hostile]:
    """One region of a list many times, which must not be worth more than once."""
    for one in (*target.candidates, _joined(target.candidates)):
        listed = _listed(one)
        for item in listed[:4]:
            for many in (listed + [item] * COPIES, [item] * COPIES + listed):
                yield Hostile(target.stated(json.dumps(many)), target.stated(json.dumps(listed)))


def near_copies(target: Target) -> Iterator[Hostile]:
    """As copies, each moved by a pixel, so that none is a repeat to the letter."""
    for one in (*target.candidates, _joined(target.candidates)):
        listed = _listed(one)
        for item in listed[:4]:
            moved = [[edge + step for edge in item] for step in (1, -1, 2, -2)]
            for many in (listed + moved, moved + listed):
                yield Hostile(target.stated(json.dumps(many)), target.stated(json.dumps(listed)))


def inverted_box(target: Target) -> Iterator[Hostile]:
    """Corners exchanged, so that widths are negative and formulas without a guard misbehave."""
    for one in target.candidates:
        for left, top, right, bottom in [item for item in _listed(one) if len(item) == 4][:3]:
            for box in ([right, bottom, left, top], [right, top, left, bottom]):
                yield Hostile(target.stated(_written(target, [box])))


def box_without_an_area(target: Target) -> Iterator[Hostile]:
    """Points and lines instead of boxes: divisions by zero."""
    for one in target.candidates:
        for left, top, right, _ in [item for item in _listed(one) if len(item) == 4][:3]:
            yield Hostile(target.stated(_written(target, [[left, top, left, top]])))
            yield Hostile(target.stated(_written(target, [[left, top, right, top]])))


def numbers_that_are_none(target: Target) -> Iterator[Hostile]:
    """NaN and infinity: every comparison with NaN is false."""
    size = {"points": 2, "box": 4, "boxes": 4}.get(target.kind, 1)
    unit = " ".join(target.wrong_answer.split()[1:]) if target.kind == "number_with_unit" else ""
    for word in ("NaN", "Infinity", "-Infinity", "nan", "inf", "1e999", "-1e999"):
        group = f"[{', '.join([word] * size)}]"
        stated = {1: f"{word} {unit}".strip(), 2: f"[{group}]"}.get(
            size, group if target.kind == "box" else f"[{group}]"
        )
        yield Hostile(target.stated(stated))


def numbers_beyond_any_float(target: Target) -> Iterator[Hostile]:
    """Thousands of digits, more than a float or Python's own reader takes."""
    size = {"points": 2, "box": 4, "boxes": 4}.get(target.kind, 1)
    unit = " ".join(target.wrong_answer.split()[1:]) if target.kind == "number_with_unit" else ""
    for digits in ("9" * 400, "9" * 5000, "1e308", "0." + "0" * 5000 + "1", "-" + "9" * 400):
        group = [digits] * size
        yield Hostile(target.stated(f"{digits} {unit}".strip() if size == 1 else f"[{', '.join(group)}]"))


def signs_and_percents(target: Target) -> Iterator[Hostile]:
    """The number with a sign, a percent or a fraction grown onto it."""
    for one in target.candidates:
        number, _, unit = one.partition(" ")
        for text in (f"-{number}", f"{number}/9", f"{number}%", f"{number}e0 to {number}e9", f"9{number}-{number}"):
            yield Hostile(target.stated(f"{text} {unit}".strip()))


def _written(target: Target, boxes: list[list[Any]]) -> str:
    return json.dumps(boxes[0] if target.kind == "box" else boxes)


def _listed(answer: str) -> list[list[float]]:
    """The regions a candidate lists; none where it is no list."""
    try:
        found = json.loads(answer)
    except ValueError:
        return []
    flat = isinstance(found, list) and found and not isinstance(found[0], list)
    regions = [found] if flat else found if isinstance(found, list) else []
    return [item for item in regions if isinstance(item, list)]


def _joined(candidates: tuple[str, ...]) -> str:
    return json.dumps([item for one in candidates for item in _listed(one)])


ATTACKS = (
    Attack(whole_picture, BOX | BOXES, blind=True),
    Attack(box_beyond_the_picture, BOX | BOXES, blind=True),
    Attack(grid_of_boxes, BOXES, blind=True),
    Attack(thousand_boxes, BOXES, blind=True),
    Attack(carpet_of_points, POINTS, blind=True),
    Attack(boxes_one_after_another, BOX),
    Attack(copies, BOXES | POINTS),
    Attack(near_copies, BOXES | POINTS),
    Attack(inverted_box, BOX | BOXES),
    Attack(box_without_an_area, BOX | BOXES),
    Attack(numbers_that_are_none, NUMBERS | BOX | SETS - {"multi_choice"}),
    Attack(numbers_beyond_any_float, NUMBERS | BOX | SETS - {"multi_choice"}),
    Attack(signs_and_percents, frozenset({"count"})),
)
