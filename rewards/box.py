"""Score one box by its overlap with the right one, in pixels of the image; nothing is rescaled or swapped."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from medrl.dialogue.answers import read_box
from medrl.vision.boxes import Box, clip_box, iou, is_box


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Sequence[float] | str,
    extra_info: Mapping[str, Any] | None = None,
    threshold: float | None = None,
) -> dict[str, float]:
    """Intersection over union of the one box the reply names, clipped to the image, and the right box.

    `ground_truth`: x1, y1, x2, y2 in pixels, or that as JSON. `extra_info["image_size"]`: width and height of the image
    these pixels belong to. With `threshold` the score is 1.0 from that overlap on, else 0.0. An inverted, empty or
    outside box is answered and scores 0. Raises ValueError when the row lacks a size or a box inside it.

    >>> row = {"image_size": [640, 480]}
    >>> compute_score("polyp", "<answer>[40, 60, 140, 160]</answer>", [40, 60, 140, 110], row)
    {'score': 0.5, 'answered': 1.0}
    >>> compute_score("polyp", "<answer>top left</answer>", "[40, 60, 140, 110]", row, threshold=0.5)
    {'score': 0.0, 'answered': 0.0}
    """
    width, height = _image_size((extra_info or {}).get("image_size"))
    right = _right_box(ground_truth, width, height)
    named = read_box(solution_str)
    overlap = 0.0 if named is None else iou(clip_box(named, width, height), right)
    score = overlap if threshold is None else float(overlap > 0 and overlap >= threshold)
    return {"score": score, "answered": float(named is not None)}


def _right_box(ground_truth: object, width: float, height: float) -> Box:
    box = _numbers(ground_truth)
    clipped = clip_box(box, width, height) if box is not None and len(box) == 4 else None
    if clipped is None or not is_box(box or ()) or not is_box(clipped):
        raise ValueError(
            f"ground_truth is {ground_truth!r}; expected four numbers x1, y1, x2, y2 with x1 < x2 and y1 < y2, as a list "
            f"or its JSON, with an area inside the image of {width:g} x {height:g} pixels."
        )
    return clipped


def _image_size(given: object) -> tuple[float, ...]:
    size = _numbers(given)
    if size is None or len(size) != 2 or not all(0 < side < math.inf for side in size):
        raise ValueError(
            f'extra_info["image_size"] is {given!r}; expected the width and height in pixels of the image the box is '
            "drawn on. Add it to the row."
        )
    return size


def _numbers(given: object) -> tuple[float, ...] | None:
    """A list, tuple, array or JSON list of numbers as floats; None for anything else."""
    try:
        items = json.loads(given) if isinstance(given, str) else given
        return tuple(float(item) for item in items)  # type: ignore[union-attr]
    except (TypeError, ValueError, OverflowError):  # not a list, not numbers, no JSON, an endless integer
        return None
