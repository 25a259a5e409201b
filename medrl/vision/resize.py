"""How a model family resizes an image and how many tokens it becomes, from sizes alone: no pixel is touched.

The rules are those of the Qwen2-VL, Qwen2.5-VL, Qwen3-VL and InternVL image processors, to the pixel. Sizes are
(width, height) as everywhere in medrl; transformers' own `smart_resize` takes and returns (height, width).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

from medrl.errors import MedrlError
from medrl.vision.frames import Frame

MAX_ASPECT_RATIO = 200


@dataclass(frozen=True)
class ImageFamily:
    """What medrl must know of a model family to count its image tokens and read its boxes.

    `patch_size`: pixels along a vision patch. `merge_size`: patches along one token. `box_frame`: the frame
    in which the family was trained to give points and boxes. `tile_px`: side of the square tiles an image is cut into,
    a small view of the whole behind them if there are several; None where an image is taken as one.
    """

    model_type: str
    patch_size: int
    merge_size: int
    box_frame: Frame
    tile_px: int | None = None

    @property
    def factor(self) -> int:
        """Pixels along one image token; resized widths and heights are multiples of it."""
        return self.patch_size * self.merge_size


# Patch and merge sizes: each family's vision config. Box frames: the Qwen2-VL and Qwen3-VL cookbooks (0-1000)
# and the Qwen2.5-VL report (absolute, in the resized image); mixed up in Qwen3-VL#676 and VLM-R1#198. InternVL, those
# converted for transformers ("-hf"): 448-pixel tiles of 256 tokens, boxes 0-1000 (InternVL 1.5 report and model cards).
FAMILIES = (
    ImageFamily("qwen2_vl", patch_size=14, merge_size=2, box_frame="norm1000"),
    ImageFamily("qwen2_5_vl", patch_size=14, merge_size=2, box_frame="px_model"),
    ImageFamily("qwen3_vl", patch_size=16, merge_size=2, box_frame="norm1000"),
    ImageFamily("qwen3_vl_moe", patch_size=16, merge_size=2, box_frame="norm1000"),
    ImageFamily("internvl", patch_size=14, merge_size=2, box_frame="norm1000", tile_px=448),
)


def family_of(model_type: str) -> ImageFamily:
    """The family of a model, by `model_type` in its config.json; MedrlError when medrl does not know it.

    >>> family_of("qwen2_5_vl").box_frame
    'px_model'
    """
    for family in FAMILIES:
        if family.model_type == model_type:
            return family
    known = ", ".join(family.model_type for family in FAMILIES)
    raise MedrlError(
        f"model_type {model_type!r}: medrl does not know how it resizes images, nor in which frame it gives"
        f" boxes. Use a model of a known family ({known}), or add a line to FAMILIES in vision/resize.py."
    )


def resized_size(
    width: int,
    height: int,
    family_or_factor: ImageFamily | int,
    min_pixels: int,
    max_pixels: int,
) -> tuple[int, int]:
    """(width, height) in pixels after the processor's resize: multiples of the factor, area in the limits.

    Source: `smart_resize`, transformers/models/qwen2_vl/image_processing_qwen2_vl.py. As there, a very narrow
    image may end above `max_pixels`, since no side goes below one factor. For a family that cuts tiles (`tile_grid`),
    the size of all tiles together. Raises MedrlError for an empty
    image, an aspect ratio above 200 (the processor would refuse it too, hours later) or impossible limits.

    >>> resized_size(640, 480, 28, min_pixels=3136, max_pixels=802816)
    (644, 476)
    """
    if isinstance(family_or_factor, ImageFamily) and (side := family_or_factor.tile_px):
        columns, rows = tile_grid(width, height, side, *tile_limits(side, min_pixels, max_pixels))
        return columns * side, rows * side
    factor = _factor(family_or_factor)
    _check(width, height, factor, min_pixels, max_pixels)
    # half to even, as in the original; 0 for a side under half a factor, which the last branch repairs
    resized_width = round(width / factor) * factor
    resized_height = round(height / factor) * factor
    if resized_width * resized_height > max_pixels:
        shrink = math.sqrt((width * height) / max_pixels)
        resized_width = max(factor, math.floor(width / shrink / factor) * factor)
        resized_height = max(factor, math.floor(height / shrink / factor) * factor)
    elif resized_width * resized_height < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        resized_width = math.ceil(width * grow / factor) * factor
        resized_height = math.ceil(height * grow / factor) * factor
    return resized_width, resized_height


def image_tokens(
    width: int,
    height: int,
    family_or_factor: ImageFamily | int,
    min_pixels: int,
    max_pixels: int,
) -> int:
    """How many image tokens the prompt holds for an image of this original size; errors as in `resized_size`.

    >>> image_tokens(640, 480, family_of("qwen2_5_vl"), min_pixels=3136, max_pixels=802816)
    391
    """
    factor = _factor(family_or_factor)
    resized_width, resized_height = resized_size(width, height, family_or_factor, min_pixels, max_pixels)
    tokens = (resized_width // factor) * (resized_height // factor)
    if isinstance(family_or_factor, ImageFamily) and (side := family_or_factor.tile_px):
        return tokens if (resized_width, resized_height) == (side, side) else tokens + (side // factor) ** 2
    return tokens


def tile_limits(side_px: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """(fewest, most) tiles of this side that a picture budget allows; the small view of the whole comes on top.

    >>> tile_limits(448, min_pixels=3136, max_pixels=802816)
    (1, 4)
    """
    if max_pixels < side_px**2 or min_pixels > max_pixels:
        raise MedrlError(
            f"image tiles: found min_pixels={min_pixels}, max_pixels={max_pixels}, but one tile of this model family has "
            f"{side_px} x {side_px} = {side_px**2} pixels. Raise model.max_pixels to a multiple of that."
        )
    return max(1, min_pixels // side_px**2), max_pixels // side_px**2


@lru_cache(maxsize=1024)
def tile_grid(width: int, height: int, side_px: int, fewest: int, most: int) -> tuple[int, int]:
    """(columns, rows) of tiles an image is stretched to: of all grids with a permitted number of tiles the one whose shape
    is nearest the image's; of two as near, the larger, if the image has more than half its pixels.

    Source: `get_optimal_tiled_canvas`, transformers/models/got_ocr2/image_processing_got_ocr2.py.

    >>> tile_grid(800, 600, 448, 1, 12)
    (4, 3)
    """
    if width < 1 or height < 1:
        raise MedrlError(f"image of {width} x {height} pixels: expected at least 1 x 1. Remove the image.")
    grids = [(columns, rows) for columns in range(1, most + 1) for rows in range(1, most // columns + 1)]
    best, nearest = (1, 1), math.inf
    for columns, rows in sorted(grids, key=lambda grid: grid[0] * grid[1]):  # few tiles first
        if columns * rows < fewest:
            continue
        distance = abs(width / height - columns / rows)
        if distance < nearest or (distance == nearest and width * height > 0.5 * side_px**2 * columns * rows):
            best, nearest = (columns, rows), distance
    return best


def _factor(family_or_factor: ImageFamily | int) -> int:
    return family_or_factor.factor if isinstance(family_or_factor, ImageFamily) else family_or_factor


def _check(width: int, height: int, factor: int, min_pixels: int, max_pixels: int) -> None:
    """Raise MedrlError where the rule has no answer."""
    if width < 1 or height < 1:
        raise MedrlError(f"image of {width} x {height} pixels: expected at least 1 x 1. Remove the image.")
    if max(width, height) / min(width, height) > MAX_ASPECT_RATIO:
        raise MedrlError(
            f"image of {width} x {height} pixels: its aspect ratio is above {MAX_ASPECT_RATIO}, which the"
            " model's image processor refuses. Crop or pad the image, or remove the row."
        )
    if factor < 1 or not 1 <= min_pixels <= max_pixels:
        raise MedrlError(
            f"image resize: found factor={factor}, min_pixels={min_pixels}, max_pixels={max_pixels}, expected"
            " factor >= 1 and 1 <= min_pixels <= max_pixels. Correct model.min_pixels or model.max_pixels."
        )
