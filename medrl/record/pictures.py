"""A row's pictures for the page: small data URIs, and the boxes of the truth and of the replies in per cent of them.

Nothing here trusts a row: a path that leaves the run directory, a broken file or a box that is no box gives no picture
and no outline, never an error, since one bad row may not cost the whole page.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from PIL import Image

from medrl.dialogue.answers import read_boxes
from medrl.errors import MedrlError
from medrl.vision.boxes import clip_box, is_box
from medrl.vision.frames import Frame, Size, convert_box
from medrl.vision.open import open_image, resolve_inside

LONG_SIDE_PX = 320
SHOWN_PX = 240  # the long side on the page; a smaller picture is enlarged, its pixels shown as they are
PNG_BYTES = 24_000  # a lossless picture larger than this is sent as JPEG
JPEG_BYTES = 48_000
BOX_KINDS = ("box", "boxes")
MAX_PICTURES = 4
MAX_OUTLINES = 12


@dataclass(frozen=True)
class Outline:
    """A box in per cent of the picture; `role` is truth, before, after, reply or action."""

    role: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Picture:
    """One embedded picture with the size at which it is shown, in CSS pixels."""

    uri: str
    width: int
    height: int
    enlarged: bool
    outlines: tuple[Outline, ...] = ()

    @property
    def roles(self) -> list[str]:
        """The roles among the outlines, each once."""
        return list(dict.fromkeys(outline.role for outline in self.outlines))


def pictures(run_dir: Path, row: Mapping[str, Any], texts: Sequence[tuple[str, str]]) -> tuple[Picture, ...]:
    """The row's pictures that were kept. `texts`: a role and the text its boxes are read from."""
    found = []
    for position, name in enumerate(_names(row)[:MAX_PICTURES]):
        embedded = _embed(run_dir, name)
        if embedded is None:
            continue
        # boxes speak of the first picture; rows of several pictures have no boxes on the others
        drawn = outlines(row, texts) if position == 0 and row.get("kind") in BOX_KINDS else ()
        found.append(Picture(*embedded, outlines=drawn))
    return tuple(found)


def has_picture(run_dir: Path, row: Mapping[str, Any]) -> bool:
    """True when the row needs no picture, or its first one was kept."""
    names = _names(row)
    try:
        return not names or resolve_inside(run_dir, names[0]).is_file()
    except (MedrlError, OSError):  # leads outside, or no name a file can have
        return False


def _names(row: Mapping[str, Any]) -> list[str]:
    names = row.get("images")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _embed(run_dir: Path, name: str) -> tuple[str, int, int, bool] | None:
    """Data URI, width and height to show, whether that enlarges it; None when it cannot be opened."""
    try:
        image = open_image({"path": name}, root=run_dir)
    except MedrlError:
        return None
    image.thumbnail((LONG_SIDE_PX, LONG_SIDE_PX), Image.Resampling.LANCZOS)
    mime, data = _encoded(image)
    uri = f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
    scale = SHOWN_PX / max(image.size)
    return uri, max(round(image.width * scale), 1), max(round(image.height * scale), 1), scale > 1


def _encoded(image: Image.Image) -> tuple[str, bytes]:
    """A small PNG, else the best JPEG within `JPEG_BYTES`, so that no picture can swell the page."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    if buffer.tell() <= PNG_BYTES:
        return "image/png", buffer.getvalue()
    for quality in (85, 65, 45, 25):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= JPEG_BYTES:
            break
    return "image/jpeg", buffer.getvalue()


def outlines(row: Mapping[str, Any], texts: Sequence[tuple[str, str]]) -> tuple[Outline, ...]:
    """The boxes read from texts that speak of the row's first picture. `texts`: a role and the text, in the row's frame."""
    original, model = size_at(row.get("image_sizes_px")), size_at(row.get("model_sizes_px"))
    if original is None:
        return ()
    found = []
    for role, text in texts:
        for box in (read_boxes(text) or ())[:MAX_OUTLINES]:
            outline = _outline(role, box, row.get("frame"), original, model)
            if outline is not None:
                found.append(outline)
    return tuple(found)


def _outline(role: str, box: Sequence[float], frame: Any, original: Size, model: Size | None) -> Outline | None:
    """One box carried from its frame into the picture and cut at the edges; None when nothing of it is inside."""
    if not is_box(box):
        return None
    try:
        moved = convert_box(box, cast(Frame, frame), "px_original", original, model)
    except MedrlError:  # a frame nobody knows: better no outline than one in the wrong place
        return None
    return outline_px(role, moved, original)


def outline_px(role: str, box_px_original: Sequence[float], original: Size) -> Outline | None:
    """The outline of a box in pixels of the picture, cut at the edges; None when nothing of it is inside."""
    if not is_box(box_px_original):
        return None
    width, height = original
    left, top, right, bottom = clip_box(box_px_original, width, height)
    if left >= right or top >= bottom:
        return None
    return Outline(
        role,
        round(100 * left / width, 2),
        round(100 * top / height, 2),
        round(100 * (right - left) / width, 2),
        round(100 * (bottom - top) / height, 2),
    )


def size_at(sizes: Any, index: int = 0) -> Size | None:
    """Width and height of one picture of a row's list; None where there is no such thing."""
    try:
        width, height = (int(side) for side in sizes[index])
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None
