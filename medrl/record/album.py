"""Pictures kept beside a step's rollouts: small JPEGs in one zip a step, so that a page can show them when the data is gone.

`rollouts/step_000010.zip` holds the pictures of the step's first prompts: the samples' own and what environments showed.
One file a step spares cluster file systems, and is written whole or not at all. Of the steps in between two evaluations
only the newest keeps its zip, so a long run stays small.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from medrl.errors import MedrlError
from medrl.vision.open import open_image

if TYPE_CHECKING:  # they bring torch along, which a page does without
    from medrl.rollout.types import Rollout, Thumbnail

KEPT_PROMPTS = 8  # of a step; their groups are kept whole
OWN_SIDE_PX, SHOWN_SIDE_PX = 640, 320  # long side of a sample's own picture, and of one an environment showed
OWN_BYTES, SHOWN_BYTES = 60_000, 20_000
QUALITIES = (82, 65, 45, 25, 10)
MAX_MEMBER_BYTES = 4_000_000  # of a picture read back: nobody trusts a file in a folder

_NAME = re.compile(r"[0-9a-f]{16}\.jpg")


def small_jpeg(picture: Image.Image, side_px: int, most_bytes: int) -> bytes:
    """The picture with a long side of at most `side_px`, at the best of a few qualities, then sizes, within `most_bytes`.

    Down to 32 px a side: what is still larger then is returned all the same.
    """
    picture = picture.convert("RGB") if picture.mode not in ("RGB", "L") else picture.copy()
    while True:
        picture.thumbnail((side_px, side_px), Image.Resampling.BICUBIC)
        for quality in QUALITIES:
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=quality, subsampling=0)  # a red outline keeps its edge
            if buffer.tell() <= most_bytes:
                return buffer.getvalue()
        side_px = max(picture.size) * 2 // 3
        if side_px < 32:
            return buffer.getvalue()


def thumbnails(rollout: "Rollout") -> "tuple[Thumbnail, ...]":
    """What the environment showed, small, in the order it was shown: made already, or made now."""
    from medrl.rollout.types import Thumbnail

    if rollout.thumbnails or rollout.added is None:
        return rollout.thumbnails
    return tuple(
        Thumbnail(small_jpeg(picture, SHOWN_SIDE_PX, SHOWN_BYTES), picture.size) for picture in rollout.added.pictures
    )


def name_of(jpeg: bytes) -> str:
    """A picture's name in the zip: equal pictures are kept once."""
    return f"{hashlib.sha256(jpeg).hexdigest()[:16]}.jpg"


def own_name(image_name: str) -> str:
    """Where the zip keeps the sample's picture that a row calls `images/<hash>.png`."""
    return f"{Path(image_name).stem}.jpg"


def own_picture(source: Mapping[str, object], root: Path | None) -> bytes | None:
    """A sample's picture, small; None when it cannot be opened any more. Decoded, so no header comes along."""
    try:
        return small_jpeg(open_image(source, root), OWN_SIDE_PX, OWN_BYTES)
    except MedrlError:
        return None


def write_album(path: Path, pictures: Mapping[str, bytes]) -> None:
    """Replace `path` by a zip of these pictures, in one step; without pictures there is no file."""
    if not pictures:
        path.unlink(missing_ok=True)
        return
    aside = path.with_name(f".{path.name}.part")
    with zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as album:
        for name, data in sorted(pictures.items()):
            album.writestr(zipfile.ZipInfo(name), data)  # without a time: equal runs leave equal files
    aside.replace(path)


def thin(folder: Path, newest: int, evaluated: Path) -> None:
    """Remove the zips of steps before `newest` that are neither the first nor evaluated (`evaluated/step_*.json`)."""
    for path in folder.glob("step_*.zip"):
        step = int(path.stem.removeprefix("step_"))
        if 1 < step < newest and not (evaluated / f"{path.stem}.json").exists():
            path.unlink()


def read_album(path: Path) -> dict[str, bytes]:
    """The pictures of a zip that are named and sized as ours are; empty when it is absent or damaged."""
    try:
        with zipfile.ZipFile(path) as album:
            return {
                info.filename: album.read(info)
                for info in album.infolist()
                if _NAME.fullmatch(info.filename) and info.file_size <= MAX_MEMBER_BYTES
            }
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile):
        return {}
