"""Open the images of a data row: always RGB, always whole, never from outside the data's folder.

A row's image is verl's `{"bytes": b"…"}` or `{"path": "…"}`. Whatever is wrong with it becomes one
MedrlError that names it; a half-read image is an error, never a grey band. `image_size` reads the header and
agrees with the opened image. Unlike plain PIL: deep grey is scaled, transparency is black, photos upright.
"""

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from medrl.errors import MedrlError

# PIL also opens EPS (it runs Ghostscript on the file) and forty more; a data file chooses among these only.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "JPEG2000")
MAX_IMAGE_PIXELS = 89_478_485  # where PIL starts to warn of a decompression bomb: 256 MiB of RGB, 9459 x 9459

GREY_DEPTHS_BITS = (8, 10, 12, 14, 16)  # the stored depths scanners use
TIFF_PHOTOMETRIC, TIFF_WHITE_IS_ZERO = 262, 0

UPRIGHT = {  # EXIF orientation -> what turns the stored pixels upright; 1 is upright already
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)  # width and height change places


def open_image(source: Mapping[str, Any], root: Path | None = None) -> Image.Image:
    """Decode the whole image, as 8-bit RGB without metadata; of several frames or pages, the first.

    `source`: `{"bytes": …}` or `{"path": …}`, the path below `root` (see `resolve_inside`). With both, the
    bytes are the image, as in Hugging Face datasets. EXIF orientation is applied, as every viewer does.
    Raises MedrlError for anything missing, outside `root`, unreadable, truncated, too large or unsupported.
    """
    with read_header(source, root) as (image, name):
        orientation = exif_orientation(image)  # before load(): a PNG may bring EXIF after its pixels too
        image.load()
        if image.mode.startswith("I") or image.mode == "F":
            rgb = _eight_bit_grey(image, name).convert("RGB")
        else:
            rgb = plain_rgb(image)
        if orientation in UPRIGHT:
            rgb = rgb.transpose(UPRIGHT[orientation])
        rgb.info = {}  # names of patients stay behind, and nobody can apply the orientation a second time
        return rgb


def plain_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of a decoded image of at most 8 bits; what is transparent is black, the background of a scan."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    rgb = Image.new("RGB", layer.size)
    rgb.paste(layer, mask=layer.getchannel("A"))
    return rgb


def image_size(source: Mapping[str, Any], root: Path | None = None) -> tuple[int, int]:
    """(width, height) in pixels of what `open_image` would return, from the header: no pixel is decoded.

    Raises MedrlError like `open_image`, except for faults that only the pixels show (truncation).
    """
    with read_header(source, root) as (image, _name):
        width, height = image.size
        return (height, width) if exif_orientation(image) in SIDEWAYS else (width, height)


def resolve_inside(root: Path | None, path: str | os.PathLike[str]) -> Path:
    """The absolute path of `path`, links followed, which must lie below `root`.

    Without a root, relative paths start at the working directory and absolute ones are allowed: for paths
    that a user typed. Paths read from a data file need a root: `..`, an absolute path elsewhere or a link
    that leads out raise MedrlError. The file need not exist.
    """
    try:
        base = Path.cwd() if root is None else Path(root).resolve()
        resolved = (base / path).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # too long, a loop of links, a NUL byte
        written = os.fspath(path)
        raise MedrlError(f"image path {written!r} under {root}: {error}. Correct the data.") from error
    if root is not None and not resolved.is_relative_to(base):
        raise MedrlError(
            f"image path {os.fspath(path)!r} leads to {resolved}, outside its root {base}. A data file may"
            " only name images below its root. Move the images there, or give a root that holds both."
        )
    return resolved


@contextmanager
def read_header(source: Mapping[str, Any], root: Path | None) -> Iterator[tuple[Image.Image, str]]:
    """Yield the lazily opened image and its name for messages; the file is closed after.

    The one boundary to PIL: whatever it raises here or in the body becomes a MedrlError.
    """
    stream, name = _stream(source, root)
    with stream:
        start = stream.read(132)
        stream.seek(0)
        if start[128:] == b"DICM":
            raise MedrlError(_not_yet(name, "DICOM (DICM at byte 128)"))
        try:
            with Image.open(stream, formats=FORMATS) as image:
                if image.width * image.height > MAX_IMAGE_PIXELS:
                    raise MedrlError(_too_large(name, f"{image.width} x {image.height} pixels"))
                yield image, name
        except (MedrlError, MemoryError):
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise MedrlError(_too_large(name, str(error))) from error
        except UnidentifiedImageError as error:
            raise MedrlError(
                f"{name}: not an image medrl can read; it starts with {start[:24]!r}, expected one of"
                f" {', '.join(FORMATS)}. Convert it to PNG, or remove the row."
            ) from error
        except Exception as error:  # PIL raises a dozen types on damaged data, SyntaxError among them
            raise MedrlError(
                f"{name}: the image is damaged or cut short ({type(error).__name__}: {error}), expected a"
                " complete file. Fetch or export it again, or remove the row."
            ) from error


def _stream(source: Mapping[str, Any], root: Path | None) -> tuple[BinaryIO, str]:
    """The bytes of a row's image, opened for reading, and its name for messages."""
    if not isinstance(source, Mapping):
        raise MedrlError(
            f"image: found {type(source).__name__}, expected a dict with 'bytes' or 'path', as in verl's"
            " rows. Encode the image as PNG bytes, or give its path."
        )
    data, path = source.get("bytes"), source.get("path")
    if data is not None:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise MedrlError(
                f"bytes image: found {type(data).__name__} under 'bytes', expected the encoded file (PNG, …)"
                " as bytes. Decode base64, or encode the array, when writing the row."
            )
        return BytesIO(data), f"bytes image ({len(data)} bytes)"
    if not path or not isinstance(path, str | os.PathLike):
        raise MedrlError(
            f"image: found {source!s:.200}, expected a dict with 'bytes' or 'path' filled, as in verl's"
            " rows. Write one of the two."
        )
    return _open_file(resolve_inside(root, path), os.fspath(path))


def _open_file(resolved: Path, written: str) -> tuple[BinaryIO, str]:
    """Open a regular file; `written` is the path as the data has it."""
    if "://" in written:
        raise MedrlError(f"image {written}: is a URL, expected a file. Download it and give its path.")
    if resolved.name.lower().endswith((".dcm", ".dicom")):
        raise MedrlError(_not_yet(str(resolved), "DICOM by its name"))
    if resolved.name.lower().endswith((".nii", ".nii.gz")):
        raise MedrlError(_not_yet(str(resolved), "NIfTI by its name"))
    try:
        if not resolved.is_file():  # also true of a named pipe, which would block for ever
            found = "not a file" if resolved.exists() else "no such file"
            raise MedrlError(
                f"image {resolved}: {found} (the data says {written!r}). Check the images' root, or fetch it."
            )
        return resolved.open("rb"), str(resolved)
    except OSError as error:
        raise MedrlError(f"image {resolved}: {error.strerror}. Correct the path or the rights.") from error


def exif_orientation(image: Image.Image) -> int:
    """EXIF orientation, from the header; 1 (upright) when there is none or its block is broken."""
    exif_bytes = image.info.get("exif")
    if not exif_bytes:  # as in every TIFF, which PIL turns by itself
        return 1
    exif = Image.Exif()
    try:
        exif.load(exif_bytes)
        return int(exif.get(ExifTags.Base.Orientation, 1))
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error):  # the pixels are sound
        return 1


def _eight_bit_grey(image: Image.Image, name: str) -> Image.Image:
    """Mode L from PIL's deep grey modes (I;16 and kin, I, F), scaled to 0..255; PIL's own convert may clip.

    Unsigned values use the smallest scanner depth that holds the maximum: a 12-bit radiograph in a 16-bit
    file would be black at 1/16 of the range. Signed or floating values have no depth: their minimum becomes
    0, their maximum 255.
    """
    values = np.array(image, dtype=np.float64)  # (height, width), our own copy
    if not np.isfinite(values).all():
        raise MedrlError(f"{name}: holds NaN or infinite pixels, expected numbers. Replace them.")
    low, high = grey_range(float(values.min()), float(values.max()), image.mode == "F")
    values -= low  # in place: a mammogram is 160 MB of float64
    values *= 255 / (high - low or 1)
    if white_is_zero(image):
        np.subtract(255, values, out=values)  # PIL inverts 8-bit ones only: a radiograph turned negative
    return Image.fromarray(np.rint(values, out=values).astype(np.uint8))


def grey_range(low: float, high: float, floating: bool) -> tuple[float, float]:
    """The values shown black and white, of deep grey whose least and greatest values are `low` and `high`."""
    if not floating and low >= 0 and high < 2 ** GREY_DEPTHS_BITS[-1]:
        return 0.0, next(2.0**bits - 1 for bits in GREY_DEPTHS_BITS if high < 2**bits)
    return low, high


def white_is_zero(image: Image.Image) -> bool:
    """A TIFF whose smallest value is white; PIL turns 8-bit ones round by itself, deep ones not."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(TIFF_PHOTOMETRIC) == TIFF_WHITE_IS_ZERO


def _not_yet(name: str, kind: str) -> str:
    return (
        f"{name}: is {kind}, which medrl does not read yet as a picture of a prompt. Convert it to PNG (16-bit grey is welcome); "
        "environments find the raw values of a file named in extra_info.raw (rollout/raw.py)."
    )


def _too_large(name: str, found: str) -> str:
    return (
        f"{name}: {found}, more than the {MAX_IMAGE_PIXELS} pixels allowed (a decompression bomb or a whole"
        " slide). Shrink it or cut it into tiles before training."
    )
