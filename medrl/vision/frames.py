"""Convert points and boxes between the frames of one image; the only module that does.

A coordinate carries its frame in its name (`box_px_original`, `box_norm1000`), because the same four numbers
mean another place in each, and a wrong guess trains silently. All frames have their origin at the upper left.
"""

from collections.abc import Sequence
from typing import Literal, get_args

from medrl.errors import MedrlError
from medrl.vision.boxes import Box, Point

Frame = Literal["px_original", "px_model", "norm1000"]
"""px_original: pixels of the image as `open_image` returns it. px_model: pixels of the image as the model
sees it, after `resize.resized_size`. norm1000: thousandths of the width and of the height, of either."""

Size = tuple[int, int]  # (width, height) in pixels


def convert_point(
    point: Sequence[float], source: Frame, target: Frame, original_size: Size, model_size: Size | None = None
) -> Point:
    """The same place named in another frame, as floats: nothing is rounded, so a round trip loses nothing.

    Sizes are (width, height); `model_size` is needed only when a frame is px_model. Rounding the result to
    whole numbers costs half a unit, in norm1000 more than a pixel once a side is longer than 2000 pixels.
    Raises MedrlError for an unknown frame or an empty size. A model's own box passes `boxes.is_box` first.

    >>> convert_point((500, 250), "norm1000", "px_original", original_size=(640, 480))
    (320.0, 120.0)
    """
    source_width, source_height = _extent(source, original_size, model_size)
    target_width, target_height = _extent(target, original_size, model_size)
    x, y = point
    return (x * target_width / source_width, y * target_height / source_height)


def convert_box(
    box: Sequence[float], source: Frame, target: Frame, original_size: Size, model_size: Size | None = None
) -> Box:
    """Like `convert_point` for both corners; a box outside the image stays outside (see `boxes.clip_box`).

    >>> convert_box((28, 0, 56, 28), "px_model", "px_original", original_size=(100, 50), model_size=(56, 28))
    (50.0, 0.0, 100.0, 50.0)
    """
    left, top, right, bottom = box
    upper_left = convert_point((left, top), source, target, original_size, model_size)
    lower_right = convert_point((right, bottom), source, target, original_size, model_size)
    return (*upper_left, *lower_right)


def _extent(frame: Frame, original_size: Size, model_size: Size | None) -> tuple[int, int]:
    """Width and height of the whole image in a frame's own unit."""
    if frame == "norm1000":
        extent: Size | None = (1000, 1000)
    elif frame == "px_original":
        extent = original_size
    elif frame == "px_model":
        extent = model_size
    else:
        raise MedrlError(f"coordinate frame {frame!r}: unknown, use one of {', '.join(get_args(Frame))}.")
    if extent is None or min(extent) < 1:
        raise MedrlError(
            f"coordinate frame {frame}: the image size is {extent}, expected (width, height) in pixels, each"
            " at least 1. Pass resize.resized_size's result for px_model, open.image_size's for px_original."
        )
    return extent
