"""ViTAR's action: the box is drawn on the picture, and the model looks at the marked picture."""

from PIL import ImageDraw

from medrl.rollout.env import BOX_SCHEMA, Action, Observation, Scene, in_source, recorded


class MarkEnv:
    """`colour` and `width_px` of the outline; nothing inside or outside of it changes."""

    def __init__(self, colour="red", width_px=3, name="mark"):
        self.colour, self.width_px = colour, width_px
        self.tools = [{"type": "function", "function": {
            "name": name,
            "description": "Draw a box on the image and look at it again.",
            "parameters": {"type": "object", "required": ["bbox_2d"], "properties": {
                "bbox_2d": {**BOX_SCHEMA, "description": "The box as [x1, y1, x2, y2]."},
            }},
        }}]  # fmt: skip

    def reset(self, sample, scene: Scene) -> None:
        self.scene = scene

    def step(self, action: Action) -> Observation:
        picture = self.scene.shown[-1]  # marks add up
        box = self.scene.box_px(action.arguments.get("bbox_2d"), picture)
        marked = picture.image.copy()
        left, top, right, bottom = (round(edge) for edge in box)
        corners = (left, top, max(left, right - 1), max(top, bottom - 1))
        ImageDraw.Draw(marked).rectangle(corners, outline=self.colour, width=self.width_px)
        drawn = list(in_source(box, picture))
        confirmed = {"tool": action.name, "source": picture.source, "box_px_original": drawn}
        confirmed |= recorded(picture.view)
        return Observation("", (marked,), False, confirmed, picture.source, picture.box_px_original, picture.view)
