"""Zoom into a region of any picture shown so far: the region comes back, enlarged.

verl's and DeepEyes' tool, with verl's rules for boxes: cut at the picture's edge, never longer than 100 times its width,
grown about its centre to 28 pixels a side where it is smaller.
"""

from PIL import Image

from medrl.rollout.env import BOX_SCHEMA, Action, ActionError, Observation, Scene, in_source, recorded
from medrl.vision.boxes import pixel_box

SMALLEST_PX, MOST_ASPECT = 28, 100


class ZoomEnv:
    """`enlarge`: how much larger a region is shown, at most; `side_px`: up to this length of its longer side."""

    def __init__(self, enlarge=4.0, side_px=1024, name="image_zoom_in_tool"):
        self.enlarge, self.side_px = enlarge, side_px
        self.tools = [{"type": "function", "function": {
            "name": name,
            "description": "Zoom into a region of an image.",
            "parameters": {"type": "object", "required": ["bbox_2d"], "properties": {
                "bbox_2d": {**BOX_SCHEMA, "description": "The region as [x1, y1, x2, y2]."},
                "image": {"type": "integer", "description": "Which image, 0 being the first. Default: 0."},
                "label": {"type": "string", "description": "What the region shows."},
            }},
        }}]  # fmt: skip

    def reset(self, sample, scene: Scene) -> None:
        self.scene = scene

    def step(self, action: Action) -> Observation:
        number = action.arguments.get("image", 0)
        picture = self.scene.picture(number)
        box = self.scene.box_px(action.arguments.get("bbox_2d"), picture)
        pixels = grown(pixel_box(box, *picture.image.size), picture.image.size)
        crop = picture.image.crop(pixels)
        scale = min(self.enlarge, self.side_px / max(crop.size))
        if scale > 1:
            crop = crop.resize((round(crop.width * scale), round(crop.height * scale)), Image.Resampling.BICUBIC)
        found = in_source(pixels, picture)
        confirmed = {"tool": action.name, "image": number, "source": picture.source, "box_px_original": list(found)}
        confirmed |= recorded(picture.view)
        return Observation("", (crop,), False, confirmed, picture.source, found, picture.view)


def grown(box, size):
    """Whole pixels (left, top, right, bottom), at least 28 a side and inside the picture; ActionError where that fails."""
    width, height = box[2] - box[0], box[3] - box[1]
    if max(width, height) > MOST_ASPECT * min(width, height):
        raise ActionError(f"the region is {width} x {height} pixels; that is too thin")
    if min(size) < SMALLEST_PX:
        raise ActionError(f"the image is {size[0]} x {size[1]} pixels, too small to zoom into")
    left, right = _grown(box[0], box[2], size[0])
    top, bottom = _grown(box[1], box[3], size[1])
    return (left, top, right, bottom)


def _grown(start, end, limit):
    length = max(end - start, SMALLEST_PX)
    start = min(max(0, (start + end - length) // 2), limit - length)
    return start, start + length
