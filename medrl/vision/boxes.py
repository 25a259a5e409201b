"""Boxes as (left, top, right, bottom) floats: overlap, clipping and the pixels a box covers.

Pure geometry: a box says nothing of its frame, so the boxes of a call must share one (see `frames.py`).
Edges lie between pixels: the whole of a 10 x 8 image is (0, 0, 10, 8). Boxes may come from a model, so what
measures one never raises: an inverted, empty, infinite or NaN box is "no box", with area and overlap 0.
"""

import math
from collections.abc import Sequence

Box = tuple[float, float, float, float]
Point = tuple[float, float]

EDGE_TOLERANCE_PX = 1e-6  # a round trip between frames leaves 3.0000000001; that must not cost a whole pixel


def is_box(box: Sequence[float]) -> bool:
    """True when `box` is four finite numbers that enclose an area.

    >>> is_box((0, 0, 10, 8)), is_box((10, 0, 0, 8)), is_box((0, 0, float("nan"), 8))
    (True, False, False)
    """
    return box_edges(box) is not None


def box_area(box: Sequence[float]) -> float:
    """Area in squared units of the box's frame; 0.0 for anything `is_box` refuses."""
    edges = box_edges(box)
    return (edges[2] - edges[0]) * (edges[3] - edges[1]) if edges else 0.0


def iou(box_a: Sequence[float], box_b: Sequence[float]) -> float:
    """Intersection over union, in [0, 1]; 0.0 when either is inverted, empty, not finite or not a box.

    >>> iou((0, 0, 10, 10), (5, 0, 15, 10)) == 50 / 150
    True
    """
    return iou_of_edges(box_edges(box_a), box_edges(box_b))


def iou_of_edges(edges_a: Box | None, edges_b: Box | None) -> float:
    """`iou` of two boxes that `box_edges` has seen; each of many boxes is then looked at once."""
    if edges_a is None or edges_b is None:
        return 0.0
    a_left, a_top, a_right, a_bottom = edges_a
    b_left, b_top, b_right, b_bottom = edges_b
    shared_width = min(a_right, b_right) - max(a_left, b_left)
    shared_height = min(a_bottom, b_bottom) - max(a_top, b_top)
    if shared_width <= 0 or shared_height <= 0:
        return 0.0
    shared = shared_width * shared_height
    union = (a_right - a_left) * (a_bottom - a_top) + (b_right - b_left) * (b_bottom - b_top) - shared
    if not math.isfinite(union) or union <= 0:  # edges near 1e200 overflow to inf, near 1e-200 underflow to 0
        return 0.0
    return min(shared / union, 1.0)


def giou(box_a: Sequence[float], box_b: Sequence[float]) -> float:
    """Generalised IoU, in (-1, 1]: IoU less the share of the hull that neither covers; -1.0 when either is no box.

    Source: Rezatofighi et al. 2019, https://arxiv.org/abs/1902.09630.

    >>> giou((0, 0, 10, 10), (0, 0, 10, 10)), giou((0, 0, 10, 10), (30, 0, 40, 10))
    (1.0, -0.5)
    """
    if not (is_box(box_a) and is_box(box_b)):
        return -1.0
    left, top = min(box_a[0], box_b[0]), min(box_a[1], box_b[1])
    right, bottom = max(box_a[2], box_b[2]), max(box_a[3], box_b[3])
    hull, both, overlap = box_area((left, top, right, bottom)), box_area(box_a) + box_area(box_b), iou(box_a, box_b)
    if not math.isfinite(hull) or not math.isfinite(both) or hull <= 0:
        return -1.0
    union = both / (1 + overlap)  # IoU = shared / union and union = both - shared
    return max(-1.0, min(overlap, overlap - (hull - union) / hull))  # the union may be a hair above the hull


def clip_box(box: Sequence[float], width: float, height: float) -> Box:
    """The box with every edge moved into [0, width] x [0, height]; outside becomes empty, NaN stays NaN.

    >>> clip_box((-5, 2, 30, 8), 20, 10)
    (0.0, 2.0, 20.0, 8.0)
    """
    left, top, right, bottom = box
    # in this order NaN passes through, never becomes 0
    return (
        float(min(max(left, 0.0), width)),
        float(min(max(top, 0.0), height)),
        float(min(max(right, 0.0), width)),
        float(min(max(bottom, 0.0), height)),
    )


def pixel_box(box_px: Sequence[float], width: int, height: int) -> tuple[int, int, int, int] | None:
    """The whole pixels a pixel-frame box touches, ready for `PIL.Image.crop`; None when it touches none.

    >>> pixel_box((1.2, 2.0, 3.9, 99), 20, 10), pixel_box((30, 0, 40, 5), 20, 10)
    ((1, 2, 4, 10), None)
    """
    if not is_box(box_px):
        return None
    left, top, right, bottom = clip_box(box_px, width, height)
    if left >= right or top >= bottom:
        return None
    first_column, first_row = math.floor(left + EDGE_TOLERANCE_PX), math.floor(top + EDGE_TOLERANCE_PX)
    last_column, last_row = math.ceil(right - EDGE_TOLERANCE_PX), math.ceil(bottom - EDGE_TOLERANCE_PX)
    if first_column >= last_column or first_row >= last_row:  # a sliver thinner than the tolerance
        return None
    return (first_column, first_row, last_column, last_row)


def box_from_xywh(left: float, top: float, width: float, height: float) -> Box:
    """The box of a corner and a size, as COCO and ChestX-ray14 publish them.

    >>> box_from_xywh(10, 20, 30, 40)
    (10.0, 20.0, 40.0, 60.0)
    """
    return (float(left), float(top), float(left + width), float(top + height))


def box_edges(box: Sequence[float]) -> Box | None:
    """The four finite edges of a box that encloses an area; None for what is no box."""
    try:
        left, top, right, bottom = map(float, box)
    except (TypeError, ValueError, OverflowError):  # not numbers, not four, or an integer beyond any float
        return None
    # infinities and NaN fail one of these
    return (
        (left, top, right, bottom)
        if -math.inf < left < right < math.inf and -math.inf < top < bottom < math.inf
        else None
    )
