"""Masks named by polygons, boxes or COCO run lengths: checked before anything is allocated, drawn without C code.

pycocotools decodes run lengths of a wrong sum past the end of its buffer, and draws a polygon with memory as its edges are
long; both may come from a model. So what a mask names is read and bounded here, and numpy fills it. A pixel belongs to a
polygon when its centre does; the whole of a 10 x 8 image is the box (0, 0, 10, 8), as everywhere in medrl.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medrl.vision.boxes import Point, is_box

MAX_PIXELS = 2**24  # of a mask: 4096 x 4096
MAX_RUNS = 10_000
MAX_POINTS = 1_000  # of all polygons together
FARTHEST_PX = 1e6  # a corner beyond is drawn here: what lies outside the picture has no area in it
KEYS = ("polygon", "polygons", "segmentation", "mask", "answer", "bbox_2d", "bbox", "box")

Pixels = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Mask:
    """The union of `polygons` (corners x, y in pixels), or run lengths: `runs` down the columns, off first, of `size_px`."""

    polygons: tuple[tuple[Point, ...], ...] = ()
    runs: tuple[int, ...] = ()
    size_px: tuple[int, int] | None = None  # (width, height)

    @property
    def is_empty(self) -> bool:
        """True when nothing is named; a polygon without an area names something, if badly."""
        return not self.polygons and not any(self.runs[1::2])


def as_mask(value: object) -> Mask | None:
    """The mask a parsed JSON value names, None when it is none: {"size": [height, width], "counts": …} as COCO has it, a
    polygon [x, y, x, y, …] or [[x, y], …] of three corners or more, a box of four numbers, a list or an object of these.

    >>> as_mask({"polygon": [[0, 0], [4, 0], [0, 4]]}) == as_mask([0, 0, 4, 0, 0, 4]), as_mask([1, 2]), as_mask([])
    (True, None, Mask(polygons=(), runs=(), size_px=None))
    """
    if isinstance(value, dict) and "size" in value:
        return _run_lengths(value["size"], value.get("counts"))
    polygons = [] if value == [] else _polygons(value, depth=4)
    if polygons is None or sum(map(len, polygons)) > MAX_POINTS:
        return None
    return Mask(tuple(dict.fromkeys(polygons)))


def draw(mask: Mask, size_px: tuple[int, int], frame_px: Sequence[float]) -> Pixels:
    """The pixels of the mask in a picture of `size_px` (width, height), as a (height, width) array.

    `frame_px`: width and height of the picture the polygons' numbers belong to. Run lengths of that size or of `size_px` are
    scaled to the nearest pixel; of another size they are a mask of another picture, and nothing is drawn.
    """
    width, height = size_px
    if mask.size_px is not None:
        if mask.size_px not in (size_px, tuple(frame_px)):
            return np.zeros((height, width), dtype=bool)
        column_by_column = np.repeat(np.arange(len(mask.runs)) % 2 == 1, mask.runs)  # (width * height,)
        pixels = column_by_column.reshape(mask.size_px).T  # (height, width)
        rows = np.arange(height) * mask.size_px[1] // height
        return np.asarray(pixels[rows][:, np.arange(width) * mask.size_px[0] // width])
    scale = np.array([width / frame_px[0], height / frame_px[1]])
    return _filled([np.array(polygon, dtype=float) * scale for polygon in mask.polygons], width, height)


def dice(a: Pixels, b: Pixels) -> float:
    """2 |A and B| / (|A| + |B|); 1.0 for two empty masks."""
    both = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / both if both else 1.0


def mask_iou(a: Pixels, b: Pixels) -> float:
    """|A and B| / |A or B|; 1.0 for two empty masks."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def run_lengths_of(text: str) -> list[int] | None:
    """The run lengths in COCO's compressed text, None where it is none: 5 bits a character, each from the third on as the
    difference to the one two before.

    Source: `rleFrString` in maskApi.c of https://github.com/cocodataset/cocoapi.

    >>> run_lengths_of("52203"), run_lengths_of("5P")
    ([5, 2, 2, 2, 5], None)
    """
    runs: list[int] = []
    run = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 30 or len(runs) > MAX_RUNS:
            return None
        run |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:  # more to come
            continue
        if bits & 0x10:  # negative
            run -= 1 << shift
        runs.append(run + runs[-2] if len(runs) > 2 else run)
        run = shift = 0
    return runs if not shift else None


def _run_lengths(size: Any, counts: Any) -> Mask | None:
    """Run lengths that fill a picture of this size exactly; None for any others."""
    if isinstance(counts, bytes):
        counts = counts.decode("ascii", errors="replace")
    runs: Any = run_lengths_of(counts) if isinstance(counts, str) else counts
    if not _are_whole(size) or not _are_whole(runs) or len(size) != 2 or len(runs) > MAX_RUNS:
        return None
    height, width = size
    fits = height > 0 and width > 0 and height * width <= MAX_PIXELS
    if not fits or min(runs, default=-1) < 0 or sum(runs) != height * width:
        return None
    return Mask(runs=tuple(runs), size_px=(width, height))


def _are_whole(given: Any) -> bool:
    return isinstance(given, list) and all(type(one) is int for one in given)


def _polygons(value: Any, depth: int) -> list[tuple[Point, ...]] | None:
    if isinstance(value, dict):
        named = [_polygons(value[key], depth - 1) for key in KEYS if key in value]
        return named[0] if len(named) == 1 else None
    if not isinstance(value, list) or not value or depth == 0 or len(value) > 2 * MAX_POINTS:
        return None
    if _are_numbers(value):
        pairs = list(zip(value[::2], value[1::2]))
        if len(value) == 4:
            (left, top), (right, bottom) = pairs
            # an inverted box names a place without an area; its corners would draw the box turned round
            return [((left, top), (right, top), (right, bottom), (left, bottom)) if is_box(value) else (pairs[0],) * 3]
        return [tuple(pairs)] if len(value) % 2 == 0 and len(pairs) >= 3 else None
    if all(_are_numbers(item) and len(item) == 2 for item in value):
        return [tuple((item[0], item[1]) for item in value)] if len(value) >= 3 else None
    found: list[tuple[Point, ...]] = []
    for item in value:
        polygons = _polygons(item, depth - 1)
        if polygons is None:
            return None
        found += polygons
    return found


def _are_numbers(given: Any) -> bool:
    return isinstance(given, list) and all(type(one) in (int, float) and abs(one) < math.inf for one in given)


def _filled(polygons: Sequence[np.ndarray[Any, Any]], width: int, height: int) -> Pixels:
    """The union of polygons: pixels around whose centre an edge goes, all polygons turned the same way round."""
    pixels = np.zeros((height, width), dtype=bool)
    if not polygons:
        return pixels
    ways = [_way(corners) for corners in polygons]
    start = np.concatenate(polygons).clip(-FARTHEST_PX, FARTHEST_PX)  # (edges, 2)
    end = np.concatenate([np.roll(corners, -1, axis=0) for corners in polygons]).clip(-FARTHEST_PX, FARTHEST_PX)
    way = np.repeat(ways, [len(corners) for corners in polygons])  # (edges,)
    left, top = np.floor(start.min(axis=0)).clip(0, (width, height)).astype(int)  # only this part need be looked at
    right, bottom = np.ceil(start.max(axis=0)).clip(0, (width, height)).astype(int)
    if left >= right or top >= bottom:
        return pixels
    centres = np.arange(top, bottom)[:, None] + 0.5  # (rows, 1)
    rows, edges = np.nonzero((start[:, 1] <= centres) != (end[:, 1] <= centres))  # of (rows, edges)
    (x, y), (to_x, to_y) = start[edges].T, end[edges].T
    crossing = x + (top + rows + 0.5 - y) * (to_x - x) / (to_y - y)
    # the first pixel whose centre is not left of the edge; one column more takes what ends at the right
    columns = np.ceil(crossing - 0.5).clip(left, right).astype(int) - left
    cells = rows * (right - left + 1) + columns
    turns = np.bincount(cells, np.where(y < to_y, -way[edges], way[edges]), (bottom - top) * (right - left + 1))
    inside = turns.reshape(bottom - top, -1).cumsum(axis=1)[:, :-1]
    pixels[top:bottom, left:right] = inside > 0.5
    return pixels


def _way(corners: np.ndarray[Any, Any]) -> int:
    """1 or -1, so that an edge taken that many times goes round its polygon the same way for all: the sign of its area."""
    with np.errstate(all="ignore"):
        after = np.roll(corners, -1, axis=0)
        return 1 if (corners[:, 0] * after[:, 1] - after[:, 0] * corners[:, 1]).sum() > 0 else -1
