"""What a row says of places in an image: its size, the right boxes or points, the spacing of its pixels.

For rewards of places. A row comes from a parquet file, so each may be a list, a tuple, an array, or that as JSON; what is
not as expected is a ValueError that says what was found, what was expected and where. Nothing here reads a reply.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from medrl.vision.boxes import Box, Point, clip_box, is_box
from medrl.vision.masks import MAX_PIXELS, MAX_POINTS, Pixels, as_mask, draw
from medrl.vision.spacing import Spacing, as_spacing


def image_size(extra_info: Mapping[str, Any] | None) -> tuple[float, float]:
    """`extra_info["image_size"]`: width and height in pixels of the image that the reply's numbers belong to.

    >>> image_size({"image_size": "[640, 480]"})
    (640.0, 480.0)
    """
    given = (extra_info or {}).get("image_size")
    size = numbers(given)
    if size is None or len(size) != 2 or not all(0 < side < math.inf for side in size):
        raise ValueError(
            f'extra_info["image_size"] is {str(given)[:80]!r}; expected the width and height in pixels of the image the '
            "answer is about. Add it to the row."
        )
    return size[0], size[1]


def right_box(ground_truth: object, width: float, height: float) -> Box:
    """The one right box x1, y1, x2, y2 in pixels, clipped to the image.

    >>> right_box("[40, 60, 900, 110]", 640, 480)
    (40.0, 60.0, 640.0, 110.0)
    """
    box = numbers(ground_truth)
    clipped = _clipped(box, width, height)
    if clipped is None:
        raise ValueError(
            f"ground_truth is {str(ground_truth)[:80]!r}; expected four numbers x1, y1, x2, y2 with x1 < x2 and y1 < y2, "
            f"as a list or its JSON, with an area inside the image of {width:g} x {height:g} pixels."
        )
    return clipped


def right_boxes(ground_truth: object, width: float, height: float) -> list[Box]:
    """All right boxes, clipped to the image; an empty list where there is nothing to find.

    >>> right_boxes("[[1, 2, 3, 4]]", 640, 480), right_boxes([], 640, 480)
    ([(1.0, 2.0, 3.0, 4.0)], [])
    """
    boxes = [_clipped(box, width, height) for box in _groups(ground_truth, "boxes [x1, y1, x2, y2]")]
    if any(box is None for box in boxes):
        raise ValueError(
            f"ground_truth is {str(ground_truth)[:80]!r}; expected each box as x1, y1, x2, y2 with x1 < x2 and y1 < y2 "
            f"and an area inside the image of {width:g} x {height:g} pixels."
        )
    return [box for box in boxes if box is not None]


def right_points(ground_truth: object) -> list[Point]:
    """All right points in pixels; an empty list where there is nothing to find.

    >>> right_points("[[30, 40], [90.5, 200]]")
    [(30.0, 40.0), (90.5, 200.0)]
    """
    points = _groups(ground_truth, "points [x, y]")
    if not all(len(point) == 2 and all(map(math.isfinite, point)) for point in points):
        raise ValueError(f"ground_truth is {str(ground_truth)[:80]!r}; expected each point as two finite numbers x, y.")
    return [(point[0], point[1]) for point in points]


def right_mask(ground_truth: Any, frame_px: tuple[float, float]) -> Pixels:
    """The right mask as pixels (height, width), in its own size or else the frame's; without any where nothing is to be found.

    >>> right_mask('{"size": [2, 3], "counts": [4, 2]}', (640, 480)).astype(int).tolist()
    [[0, 0, 1], [0, 0, 1]]
    """
    try:
        value = json.loads(ground_truth) if isinstance(ground_truth, str) else ground_truth
    except ValueError:
        value = None
    mask = as_mask(_plain(value))
    if mask is None:
        raise ValueError(
            f"ground_truth is {str(ground_truth)[:80]!r}; expected polygons [[[x, y], …], …] of at most {MAX_POINTS} corners in "
            'all, {"size": [height, width], "counts": …} with run lengths that fill it, [] for nothing, or that as JSON.'
        )
    size = mask.size_px or (round(frame_px[0]), round(frame_px[1]))
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"the mask has {size[0]} x {size[1]} pixels; expected at most {MAX_PIXELS}. Make it smaller.")
    pixels = draw(mask, size, frame_px)
    if not mask.is_empty and not pixels.any():
        raise ValueError(f"ground_truth is {str(ground_truth)[:80]!r}; expected a mask with an area inside the image.")
    return pixels


def pixel_spacing_mm(extra_info: Mapping[str, Any] | None) -> Spacing:
    """`extra_info["pixel_spacing_mm"]`: (down, across), mm from pixel to pixel of the image of `image_size`.

    >>> pixel_spacing_mm({"pixel_spacing_mm": [0.5, 0.7]})
    (0.5, 0.7)
    """
    given = (extra_info or {}).get("pixel_spacing_mm")
    spacing = as_spacing(numbers(given))
    if spacing is None:
        raise ValueError(
            f'extra_info["pixel_spacing_mm"] is {str(given)[:80]!r}; expected [down, across], two positive numbers in mm. '
            "Add it to the row, or measure in pixels."
        )
    return spacing


def numbers(given: Any) -> tuple[float, ...] | None:
    """A list, tuple, array or JSON list of numbers as floats; None for anything else.

    >>> numbers("[1, 2.5]"), numbers([1, "x"])
    ((1.0, 2.5), None)
    """
    try:
        items = json.loads(given) if isinstance(given, str) else given
        return tuple(float(item) for item in items)
    except (TypeError, ValueError, OverflowError):  # not a list, not numbers, no JSON, an endless integer
        return None


def _plain(value: Any) -> Any:
    """Tuples and arrays, as parquet returns lists, as lists."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _groups(ground_truth: object, what: str) -> list[tuple[float, ...]]:
    """A list of lists of numbers, or that as JSON."""
    items: Any = ground_truth
    try:
        items = json.loads(ground_truth) if isinstance(ground_truth, str) else ground_truth
        groups = None if isinstance(items, (str, Mapping)) else [numbers(item) for item in items]
    except (TypeError, ValueError):  # no JSON, nothing to iterate
        groups = None
    if groups is None or any(group is None for group in groups):
        raise ValueError(
            f"ground_truth is {str(ground_truth)[:80]!r}; expected a list of {what} in pixels, or its JSON; [] where "
            "there is nothing to find."
        )
    return [group for group in groups if group is not None]


def _clipped(box: Sequence[float] | None, width: float, height: float) -> Box | None:
    if box is None or not is_box(box):
        return None
    clipped = clip_box(box, width, height)
    return clipped if is_box(clipped) else None
