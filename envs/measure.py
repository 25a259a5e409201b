"""A ruler: the distance between two points of any picture shown, in mm where the spacing of its pixels is known.

The points are traced to the sample's own picture, through crops, turns and the model's resizing, before anything is
measured. Without a spacing the answer is in pixels of that picture and says so: nobody should take it for millimetres.
"""

import math

from medrl.rollout.env import Action, Observation, Scene, point_in_source
from medrl.rollout.raw import check_raw, checked_spacing, spacing_mm

POINT = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}


class MeasureEnv:
    """`spacing_mm`: [down, across] for every sample, where the data does not say it per row (see rollout/raw.py)."""

    def __init__(self, spacing_mm=None, name="measure"):
        self.spacing_mm = None if spacing_mm is None else checked_spacing(spacing_mm, "MeasureEnv")
        self.tools = [{"type": "function", "function": {
            "name": name,
            "description": "Measure the distance between two points of an image.",
            "parameters": {"type": "object", "required": ["start", "end"], "properties": {
                "start": {**POINT, "description": "One end as [x, y]."},
                "end": {**POINT, "description": "The other end as [x, y]."},
                "image": {"type": "integer", "description": "Which image, 0 being the first. Default: 0."},
            }},
        }}]  # fmt: skip

    def reset(self, sample, scene: Scene) -> None:
        self.sample, self.scene = sample, scene
        check_raw(sample, scene.root)

    def step(self, action: Action) -> Observation:
        number = action.arguments.get("image", 0)
        picture = self.scene.picture(number)
        ends = [self.scene.point_px(action.arguments.get(name), picture, name) for name in ("start", "end")]
        start, end = (point_in_source(point, picture) for point in ends)
        confirmed = {"tool": action.name, "image": number, "source": picture.source,
                     "points_px_original": [list(start), list(end)]}  # fmt: skip
        spacing = self.spacing_mm or spacing_mm(self.sample, picture.source, self.scene)
        if spacing is None:
            length_px = math.dist(start, end)
            text = f"{length_px:.1f} pixels; the size of a pixel is not known"
            return Observation(text, confirmed={**confirmed, "length_px": length_px})
        down, across = spacing
        length_mm = math.hypot((end[0] - start[0]) * across, (end[1] - start[1]) * down)
        return Observation(f"{length_mm:.2f} mm", confirmed={**confirmed, "length_mm": length_mm})
