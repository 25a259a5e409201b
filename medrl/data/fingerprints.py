"""What tells pictures apart and copies together: digests of the file and of its pixels, two perceptual hashes, details.

Every picture is read once, several at a time. The hashes (pHash and dHash of the imagehash library) find candidates fast;
the details decide - a small grey picture without its slow changes of brightness, and the same with faint texture raised
to the strength of bold edges - since medical pictures of one kind share their outlines. Resizing, re-encoding and the
loss of colour leave all of these nearly as they were.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from medrl.data.sample import Sample
from medrl.data.splits import image_bytes_of
from medrl.errors import MedrlError
from medrl.vision.open import open_image

GREY_SIDE_PX = 128  # both hashes and the details are taken from one small grey picture
DETAIL_SIDE_PX = 64
SLOW_SIGMA_PX = 4.0  # what changes slower than this, of 64 pixels a side, is left out of the details
TEXTURE_SIGMA_PX = 3.0  # the neighbourhood over which the strength of details is levelled
TEXTURE_FLOOR = 4.0  # grey levels: what is much fainter may be the noise of JPEG, and stays faint
FLAT_BELOW = 1.0  # standard deviation of the details in grey levels: less is a blank picture, which resembles any other
THREADS = 8

Progress = Callable[[str, int, int], None]
Key = tuple[str, str]  # ("path", as the data have it) or ("bytes", digest)


@dataclass(frozen=True)
class Fingerprint:
    """One picture. `details`, `texture`: unit vectors of DETAIL_SIDE_PX**2 float16 numbers; a blank picture has none."""

    source: Mapping[str, Any]
    file_sha256: str
    pixels_sha256: str  # of the RGB pixels and the size: equal for a PNG and its lossless copy
    size_px: tuple[int, int]
    phash: int
    dhash: int
    details: np.ndarray | None
    texture: np.ndarray | None


def keys_of(sample: Sample) -> tuple[Key, ...]:
    """Names for a sample's pictures, the same for the same source."""
    return tuple(_key(image) for image in sample.images)


def take_fingerprints(
    samples: Sequence[Sample], root: Path, progress: Progress | None = None
) -> tuple[dict[Key, Fingerprint], list[str]]:
    """(fingerprint of every picture by its key, what was wrong with those that cannot be read)."""
    sources: dict[Key, Mapping[str, Any]] = {}
    for sample in samples:
        for image in sample.images:
            sources.setdefault(_key(image), image)
    found: dict[Key, Fingerprint] = {}
    faults: list[str] = []
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        for done, (key, one) in enumerate(zip(sources, pool.map(lambda image: _try(image, root), sources.values())), 1):
            if isinstance(one, Fingerprint):
                found[key] = one
            else:
                faults.append(one)
            if progress:
                progress("reading pictures", done, len(sources))
    return found, faults


def fingerprint(source: Mapping[str, Any], root: Path | None = None) -> Fingerprint:
    """Read one picture. Raises MedrlError like `open_image`."""
    data = image_bytes_of(source, root)
    picture = open_image({"bytes": data})
    pixels = hashlib.sha256(f"{picture.width} x {picture.height}".encode())
    pixels.update(picture.tobytes())
    grey = picture.convert("L").resize((GREY_SIDE_PX, GREY_SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return Fingerprint(
        source,
        hashlib.sha256(data).hexdigest(),
        pixels.hexdigest(),
        picture.size,
        _as_integer(imagehash.phash(grey)),
        _as_integer(imagehash.dhash(grey)),
        *_details(grey),
    )


def _try(source: Mapping[str, Any], root: Path) -> Fingerprint | str:
    try:
        return fingerprint(source, root)
    except MedrlError as error:
        return f"{source['path']}: {error}" if source.get("bytes") is None else str(error)


def _key(image: Mapping[str, Any]) -> Key:
    if image.get("bytes") is not None:
        return "bytes", hashlib.sha256(image["bytes"]).hexdigest()
    return "path", str(image["path"])


def _as_integer(found: imagehash.ImageHash) -> int:
    return int.from_bytes(np.packbits(found.hash.ravel()).tobytes(), "big")  # (8, 8) bits


def _details(grey: Image.Image) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    small = np.asarray(grey.resize((DETAIL_SIDE_PX, DETAIL_SIDE_PX), Image.Resampling.BOX), dtype=np.float32)
    details = small - gaussian_filter(small, SLOW_SIGMA_PX)  # (side, side)
    if float(details.std()) < FLAT_BELOW:
        return None, None
    strength = np.sqrt(gaussian_filter(details * details, TEXTURE_SIGMA_PX))
    return _unit(details), _unit(details / (strength + TEXTURE_FLOOR))


def _unit(values: np.ndarray) -> np.ndarray:
    """(side * side,) of mean 0 and length 1: the product of two is their correlation."""
    centred = (values - values.mean()).ravel()
    unit: np.ndarray = (centred / np.linalg.norm(centred)).astype(np.float16)
    return unit
