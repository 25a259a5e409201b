"""What an environment is: it is asked with an action and answers with text and pictures. Users write these; see envs/.

The episode, not the environment, reads actions out of replies, converts boxes from the model's frame, counts turns and
masks what an environment says out of the loss. An environment says what it did in `Observation.confirmed`; rewards
see that and nothing else of tool use, so a reply that merely looks like an action earns nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from PIL.Image import Image

from medrl.data.sample import Sample
from medrl.vision.boxes import Box, clip_box, is_box
from medrl.vision.frames import Frame, convert_box

Size = tuple[int, int]  # (width, height) in pixels
BOX_SCHEMA = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}  # for a tool's parameters


@dataclass(frozen=True)
class Action:
    """What a reply asks for: a tool's name and its arguments as the model wrote them."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Observation:
    """An environment's answer. `confirmed`: plain data on what was really done, for rewards and the report.

    `done` ends the episode after this answer. Pictures come before the text; they show the part `shows_px_original` of
    the sample's picture `source`, all of it by default, so that a box in them can be traced back.
    """

    text: str
    images: tuple[Image, ...] = ()
    done: bool = False
    confirmed: dict[str, Any] = field(default_factory=dict)
    source: int = 0
    shows_px_original: Box | None = None


class ActionError(Exception):
    """Raised by an environment that cannot do what was asked; its text is shown to the model, which may try again."""


@dataclass(frozen=True)
class Shown:
    """A picture the model has been shown. `box_px_original`: which part of the sample's picture `source` it shows."""

    image: Image
    model_size: Size
    source: int
    box_px_original: Box


@dataclass
class Scene:
    """All pictures of an episode in the order the model was shown them, and the frame it names places in."""

    frame: Frame
    model_size_of: Callable[[Size], Size]
    shown: list[Shown] = field(default_factory=list)

    def show(self, image: Image, source: int, box_px_original: Box) -> None:
        self.shown.append(Shown(image, self.model_size_of(image.size), source, box_px_original))

    def picture(self, index: Any) -> Shown:
        """A picture by its 0-based number; ActionError for one the model has not been shown."""
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(self.shown):
            raise ActionError(f"there is no image {index!r}; give a number from 0 to {len(self.shown) - 1}")
        return self.shown[index]

    def box_px(self, box: Any, picture: Shown) -> Box:
        """A box the model gave, in its own frame, as pixels of `picture.image`, cut at its edges.

        ActionError when it is not four finite numbers with left < right and top < bottom that meet the picture.
        """
        numbers = list(box) if isinstance(box, (list, tuple)) else []
        if any(isinstance(number, bool) or not isinstance(number, (int, float)) for number in numbers) or not is_box(
            numbers
        ):
            raise ActionError(f"bbox_2d={str(box)[:80]} is not a box; give [x1, y1, x2, y2] with x1 < x2 and y1 < y2")
        moved = convert_box(numbers, self.frame, "px_original", picture.image.size, picture.model_size)
        clipped = clip_box(moved, *picture.image.size)
        if not is_box(clipped):
            raise ActionError(f"bbox_2d={str(box)[:80]} lies outside the image")
        return clipped


def in_source(box_px: Box, picture: Shown) -> Box:
    """A box in pixels of a shown picture as pixels of the sample's own picture, of which it shows a part."""
    left, top, right, bottom = picture.box_px_original
    across, down = (right - left) / picture.image.width, (bottom - top) / picture.image.height
    return (left + box_px[0] * across, top + box_px[1] * down, left + box_px[2] * across, top + box_px[3] * down)


class Env(Protocol):
    """One per episode. `tools`: JSON schemas of the functions it offers, as the prompt shows them to the model."""

    tools: list[dict[str, Any]]

    def reset(self, sample: Sample, scene: Scene) -> None:
        """Begin with a sample; `scene.shown` holds its pictures, and will hold those the environment adds."""
        ...

    def step(self, action: Action) -> Observation:
        """Do one thing. Raises ActionError with a text for the model when it cannot."""
        ...


MakeEnv = Callable[[], Env]


def tool_names(tools: Sequence[dict[str, Any]]) -> list[str]:
    return [tool["function"]["name"] for tool in tools]
