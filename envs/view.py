"""What a reader does at a viewer: set the grey window, raise local contrast, turn the picture, go to another slice.

Window and slice need the raw values behind the picture (rollout/raw.py says where they come from); contrast and turning
work on any picture, crops included. A new window or slice keeps the region, the turn and the other of the two.
"""

import numpy as np
from PIL import Image

from medrl.errors import MedrlError
from medrl.rollout.env import Action, ActionError, Observation, Scene, Shown, View, finite_number, recorded
from medrl.rollout.raw import check_raw, raw_of
from medrl.vision.boxes import pixel_box

WHICH = {"type": "integer", "description": "Which image, 0 being the first. Default: the latest."}
TOOLS = {
    "window": ("Show the image with another grey window (Hounsfield units in CT).", {
        "level": {"type": "number", "description": "The value shown as middle grey."},
        "width": {"type": "number", "exclusiveMinimum": 0, "description": "The range from black to white."},
    }, ["level", "width"]),
    "contrast": ("Show the image with more local contrast (CLAHE).", {
        "limit": {"type": "number", "minimum": 1, "maximum": 40, "description": "How much, at most. Default: 2."},
    }, []),
    "rotate": ("Turn the image clockwise.", {
        "angle": {"type": "integer", "enum": [90, 180, 270], "description": "Degrees."},
    }, ["angle"]),
    "slice": ("Show another slice or frame of the stack.", {
        "number": {"type": "integer", "minimum": 1, "description": "Which one, 1 being the first."},
    }, ["number"]),
}  # fmt: skip
CLOCKWISE = {1: Image.Transpose.ROTATE_270, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_90}


class ViewEnv:
    """`tools`: which of window, contrast, rotate and slice are offered; `tiles`: of CLAHE, along each side."""

    def __init__(self, tools=tuple(TOOLS), tiles=8):
        if unknown := set(tools) - set(TOOLS):
            raise MedrlError(f"ViewEnv: no tool {sorted(unknown)}; expected some of {', '.join(TOOLS)}.")
        self.tiles = tiles
        if "contrast" in tools:
            _opencv()  # told before training, not at the first action
        self.tools = [{"type": "function", "function": {
            "name": name, "description": TOOLS[name][0],
            "parameters": {"type": "object", "properties": {**TOOLS[name][1], "image": WHICH}, "required": TOOLS[name][2]},
        }} for name in tools]  # fmt: skip

    def reset(self, sample, scene: Scene) -> None:
        self.sample, self.scene = sample, scene
        check_raw(sample, scene.root)

    def step(self, action: Action) -> Observation:
        given = action.arguments
        number = given.get("image", len(self.scene.shown) - 1)
        picture, text = self.scene.picture(number), ""
        view, turns, contrast = picture.view, 0, {}
        if action.name == "window":
            level, width = finite_number(given.get("level"), "level"), finite_number(given.get("width"), "width")
            view = View(view.quarter_turns, view.slice, (level, width))
            image, text = self.rendered(picture, view)
        elif action.name == "slice":
            view = View(view.quarter_turns, given.get("number") or 0, view.window)
            image, text = self.rendered(picture, view)
        elif action.name == "rotate":
            turns = quarter_turns(given.get("angle"))
            view = View((view.quarter_turns + turns) % 4, view.slice, view.window)
            image = picture.image.transpose(CLOCKWISE[turns])
        else:
            limit = finite_number(given.get("limit", 2.0), "limit")
            if not 1 <= limit <= 40:
                raise ActionError(f"limit={limit:g} is not from 1 to 40")
            image, contrast = clahe(picture.image, limit, self.tiles), {"contrast": limit}
        box = picture.box_px_original
        confirmed = {"tool": action.name, "image": number, "source": picture.source, "box_px_original": list(box)}
        confirmed |= {"angle": 90 * turns} if turns else {}
        if seen := recorded(view).get("view", {}) | contrast:
            confirmed["view"] = seen
        return Observation(text, (image,), False, confirmed, picture.source, box, view)

    def rendered(self, picture: Shown, view: View) -> tuple[Image.Image, str]:
        """The picture's region out of the raw values, as large and turned as the picture is, and what was done."""
        stack, own = raw_of(self.sample, picture.source, self.scene)
        number = own if view.slice is None else view.slice
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(stack):
            raise ActionError(f"there is no slice {str(number)[:40]}; the stack has slices 1 to {len(stack)}")
        told = f"slice {number} of {len(stack)}" if len(stack) > 1 else "the only slice"
        if view.window is not None:
            if stack.coloured:
                raise ActionError("a picture in colours has no grey window")
            if not 0 < view.window[1] < 1e30 or abs(view.window[0]) > 1e30:
                raise ActionError("the window must have a width above 0 and lie among the values of the picture")
            told += f", level {view.window[0]:g}, width {view.window[1]:g} {stack.unit}".rstrip()
        whole = stack.picture(number - 1, view.window)
        across, down = (raw / own for raw, own in zip(stack.size, self.scene.shown[picture.source].image.size))
        left, top, right, bottom = picture.box_px_original
        region = pixel_box((left * across, top * down, right * across, bottom * down), *whole.size)
        image = whole if region == (0, 0, *whole.size) else whole.crop(region)
        size = picture.image.size[::-1] if view.quarter_turns % 2 else picture.image.size
        if image.size != size:
            image = image.resize(size, Image.Resampling.BICUBIC)
        return (image.transpose(CLOCKWISE[view.quarter_turns]) if view.quarter_turns else image), told


def clahe(image: Image.Image, limit: float, tiles: int) -> Image.Image:
    """Contrast-limited adaptive histogram equalisation of the brightness (Lab's L in a picture in colours)."""
    cv2 = _opencv()
    equalise = cv2.createCLAHE(clipLimit=limit, tileGridSize=(tiles, tiles)).apply
    pixels = np.asarray(image)
    if (pixels == pixels[..., :1]).all():
        return Image.fromarray(equalise(np.ascontiguousarray(pixels[..., 0]))).convert("RGB")
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    lab[..., 0] = equalise(np.ascontiguousarray(lab[..., 0]))
    return Image.fromarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))


def quarter_turns(angle) -> int:
    if isinstance(angle, bool) or angle not in (90, 180, 270):
        raise ActionError(f"angle={str(angle)[:40]}; expected 90, 180 or 270")
    return int(angle) // 90


def _opencv():
    try:
        import cv2
    except ImportError:
        raise MedrlError(
            'the tool contrast needs OpenCV. Install it: pip install "medrl[imaging]", or leave contrast out of `tools`.'
        ) from None
    return cv2
