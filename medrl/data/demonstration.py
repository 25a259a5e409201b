"""Replies for the cold start, made from the annotation alone: short, the same every time, and true of the picture.

`{ground_truth}` stands literally for the answer: the prompt builder fills it in, boxes in the model's own frame.
"""

from collections import Counter
from collections.abc import Sequence

GRID = 4  # places are told on a field of 4 x 4, as in the phantom set
LISTED = 6  # more things than this are counted row by row instead of one by one


def reply_with(thought: str) -> str:
    """A whole reply with this reasoning and a placeholder for the answer."""
    return f"<think>{thought}</think><answer>{{ground_truth}}</answer>"


def tell_places(boxes_px: Sequence[Sequence[float]], size_px: tuple[int, int]) -> str:
    """Where the centres of the boxes lie in a picture of (width, height); every box is told exactly once.

    >>> tell_places([(0, 0, 10, 10), (90, 90, 100, 100)], (100, 100))
    'row 1 column 1, row 4 column 4'
    >>> tell_places([(0, 0, 10, 10)] * 5 + [(90, 90, 100, 100)] * 2, (100, 100))
    'row 1: 5, row 2: 0, row 3: 0, row 4: 2'
    """
    places = sorted(_place(box, size_px) for box in boxes_px)
    if len(places) <= LISTED:
        return ", ".join(f"row {row} column {column}" for row, column in places)
    per_row = Counter(row for row, _ in places)
    return ", ".join(f"row {row}: {per_row[row]}" for row in range(1, GRID + 1))


def _place(box_px: Sequence[float], size_px: tuple[int, int]) -> tuple[int, int]:
    """(row, column) of a box's centre, counted from 1 at the top left."""
    left, top, right, bottom = box_px
    width, height = size_px
    row, column = int((top + bottom) / 2 * GRID / height), int((left + right) / 2 * GRID / width)
    return min(row, GRID - 1) + 1, min(column, GRID - 1) + 1
