"""What an environment is: it is asked with an action and answers with text and pictures. Users write these; see envs/.

The episode, not the environment, reads actions out of replies, converts boxes from the model's frame, counts turns and
masks what an environment says out of the loss. An environment says what it did in `Observation.confirmed`; rewards
see that and nothing else of tool use, so a reply that merely looks like an action earns nothing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from PIL.Image import Image

from medrl.data.sample import Sample
from medrl.vision.boxes import Box, Point, clip_box, is_box
from medrl.vision.frames import Frame, convert_box, convert_point

Size = tuple[int, int]  # (width, height) in pixels
BOX_SCHEMA = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}  # for a tool's parameters


@dataclass(frozen=True)
class Action:
    """What a reply asks for: a tool's name and its arguments as the model wrote them."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class View:
    """How a picture shows its part of the sample's: cut out, then turned by `quarter_turns` clockwise. `slice`: of the raw
    stack, from 1; `window`: level and width of its grey values. None is as in the sample's own picture."""

    quarter_turns: int = 0
    slice: int | None = None
    window: tuple[float, float] | None = None


AS_GIVEN = View()


@dataclass(frozen=True)
class Observation:
    """An environment's answer. `confirmed`: plain data on what was really done, for rewards and the report.

    `done` ends the episode after this answer. Pictures come before the text; they show the part `shows_px_original` of
    the sample's picture `source`, all of it by default, as `view` says, so that a box in them can be traced back. An
    environment that works on a picture shown before passes that one's view on.
    """

    text: str
    images: tuple[Image, ...] = ()
    done: bool = False
    confirmed: dict[str, Any] = field(default_factory=dict)
    source: int = 0
    shows_px_original: Box | None = None
    view: View = AS_GIVEN


class ActionError(Exception):
    """Raised by an environment that cannot do what was asked; its text is shown to the model, which may try again."""


@dataclass(frozen=True)
class Shown:
    """A picture the model has been shown. `box_px_original`: which part of the sample's picture `source` it shows."""

    image: Image
    model_size: Size
    source: int
    box_px_original: Box
    view: View = AS_GIVEN


@dataclass
class Scene:
    """All pictures of an episode in the order the model was shown them, and the frame it names places in. `root`: the
    folder that paths in the data start from (see rollout/raw.py for the files behind a picture)."""

    frame: Frame
    model_size_of: Callable[[Size], Size]
    shown: list[Shown] = field(default_factory=list)
    root: Path | None = None

    def show(self, image: Image, source: int, box_px_original: Box, view: View = AS_GIVEN) -> None:
        self.shown.append(Shown(image, self.model_size_of(image.size), source, box_px_original, view))

    def picture(self, index: Any) -> Shown:
        """A picture by its 0-based number; ActionError for one the model has not been shown."""
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(self.shown):
            raise ActionError(f"there is no image {repr(index)[:40]}; give a number from 0 to {len(self.shown) - 1}")
        return self.shown[index]

    def box_px(self, box: Any, picture: Shown) -> Box:
        """A box the model gave, in its own frame, as pixels of `picture.image`, cut at its edges.

        ActionError when it is not four finite numbers with left < right and top < bottom that meet the picture.
        """
        numbers = _numbers(box)
        if not is_box(numbers):
            raise ActionError(f"bbox_2d={str(box)[:80]} is not a box; give [x1, y1, x2, y2] with x1 < x2 and y1 < y2")
        moved = convert_box(numbers, self.frame, "px_original", picture.image.size, picture.model_size)
        clipped = clip_box(moved, *picture.image.size)
        if not is_box(clipped):
            raise ActionError(f"bbox_2d={str(box)[:80]} lies outside the image")
        return clipped

    def point_px(self, point: Any, picture: Shown, name: str = "point_2d") -> Point:
        """A point the model gave, in its own frame, as pixels of `picture.image`, edges included.

        ActionError, which calls it `name`, when it is not two finite numbers inside the picture.
        """
        numbers = _numbers(point)
        if len(numbers) != 2:
            raise ActionError(f"{name}={str(point)[:80]} is not a point; give [x, y]")
        x, y = convert_point(numbers, self.frame, "px_original", picture.image.size, picture.model_size)
        if not (0 <= x <= picture.image.width and 0 <= y <= picture.image.height):
            raise ActionError(f"{name}={str(point)[:80]} lies outside the image")
        return x, y


def finite_number(value: Any, name: str) -> float:
    """A number the model gave; ActionError, which calls it `name`, for anything else, infinity and NaN included."""
    numbers = _numbers([value])
    if not numbers:
        raise ActionError(f"{name}={str(value)[:80]} is not a number")
    return numbers[0]


def _numbers(given: Any) -> list[float]:
    """A list of finite numbers as floats; empty when it is anything else."""
    if not isinstance(given, (list, tuple)):
        return []
    try:
        numbers = [float(one) for one in given if isinstance(one, (int, float)) and not isinstance(one, bool)]
    except OverflowError:  # an integer beyond any float
        return []
    return numbers if len(numbers) == len(given) and all(map(math.isfinite, numbers)) else []


def in_source(box_px: Sequence[float], picture: Shown) -> Box:
    """A box in pixels of a shown picture as pixels of the sample's own picture, of which it shows a part."""
    one, other = point_in_source(box_px[:2], picture), point_in_source(box_px[2:], picture)
    return (min(one[0], other[0]), min(one[1], other[1]), max(one[0], other[0]), max(one[1], other[1]))


def recorded(view: View) -> dict[str, Any]:
    """A view's slice and window for `Observation.confirmed`, so that rewards can tell another look from the same one; a
    turn shows nothing new. Empty for a picture as it was given."""
    parts = {"slice": view.slice, "window": list(view.window) if view.window else None}
    said = {name: value for name, value in parts.items() if value is not None}
    return {"view": said} if said else {}


def point_in_source(point_px: Sequence[float], picture: Shown) -> Point:
    """A point in pixels of a shown picture as pixels of the sample's own picture, however it is cut, scaled and turned."""
    (x, y), (width, height) = point_px, picture.image.size
    for _ in range(picture.view.quarter_turns % 4):  # back, anticlockwise
        x, y, width, height = y, width - x, height, width
    left, top, right, bottom = picture.box_px_original
    return left + x * ((right - left) / width), top + y * ((bottom - top) / height)


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
