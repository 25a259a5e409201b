"""Millimetres from pixels: the spacing of a picture's pixels, also after a resize, and lengths measured with it.

A spacing is (down, across) in mm, as DICOM's PixelSpacing has it, and belongs to one size of the picture. Resized to fewer
pixels the same body has wider ones; forgetting that scales every length (MedVision, https://arxiv.org/abs/2511.18676).
"""

import math
from collections.abc import Sequence
from typing import Any

from medrl.vision.frames import Size

Spacing = tuple[float, float]


def as_spacing(given: Any) -> Spacing | None:
    """Two positive finite numbers as (down, across); None for anything else.

    >>> as_spacing([0.5, "0.7"]), as_spacing([0.5, 0]), as_spacing([[0.5, 0.5]]), as_spacing(None)
    ((0.5, 0.7), None, None, None)
    """
    try:
        down, across = (float(one) for one in given)
    except (TypeError, ValueError):
        return None
    return (down, across) if 0 < down < math.inf and 0 < across < math.inf else None


def resized_spacing(spacing_mm: Sequence[float], size: Size, resized: Size) -> Spacing:
    """The spacing (down, across) of a picture of `size` (width, height) pixels after a resize to `resized`.

    >>> resized_spacing((0.5, 0.7), size=(640, 480), resized=(320, 480))
    (0.5, 1.4)
    """
    down, across = spacing_mm
    return (down * size[1] / resized[1], across * size[0] / resized[0])


def length_mm(start: Sequence[float], end: Sequence[float], spacing_mm: Sequence[float]) -> float:
    """The distance of two points (x, y) in pixels of the picture that the spacing belongs to.

    >>> length_mm((10, 20), (13, 24), (0.5, 1.0)) == math.hypot(3, 2)
    True
    """
    down, across = spacing_mm
    return math.hypot((end[0] - start[0]) * across, (end[1] - start[1]) * down)
