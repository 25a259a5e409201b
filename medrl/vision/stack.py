"""The raw values behind a picture: DICOM (one file, several frames or a folder), NIfTI, deep grey, several pages.

A stack keeps the stored values and what turns them into Hounsfield or other units, so a grey window can be set after
the fact. Spacing is (down, across) in mm, DICOM's order. Nothing else of a header is kept: no name leaves the reader.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from medrl.errors import MedrlError
from medrl.vision.open import (
    UPRIGHT,
    exif_orientation,
    grey_range,
    plain_rgb,
    read_header,
    resolve_inside,
    white_is_zero,
)

MAX_STACK_VALUES = 2**29  # 512 x 512 x 2048
PLANES = {  # which way the rows, the columns and the slices run through a body in RAS+ axes; -: against the axis
    "axial": ("-y", "-x", "+z"),  # the patient's right on the left of the picture, slices from feet to head
    "coronal": ("-z", "-x", "+y"),
    "sagittal": ("-z", "-y", "+x"),
}


@dataclass(frozen=True, eq=False)
class Stack:
    """`stored`: (slices, height, width), or with 3 colours last. The value of a grey pixel is stored * slope + intercept
    of its slice, in `unit` ("HU", or "" where the file does not say). `window`: level and width it is shown with by
    default, None for 8-bit values, shown as they are. `inverted`: the smallest value is white."""

    stored: Any
    slopes: tuple[float, ...]
    intercepts: tuple[float, ...]
    unit: str = ""
    spacing_mm: tuple[float, float] | None = None
    window: tuple[float, float] | None = None
    inverted: bool = False

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.stored.shape[2], self.stored.shape[1]

    @property
    def coloured(self) -> bool:
        return self.stored.ndim == 4

    def values(self, index: int) -> Any:
        """float64 (height, width) of a grey slice, `index` from 0."""
        return self.stored[index] * np.float64(self.slopes[index]) + self.intercepts[index]

    def picture(self, index: int, window: tuple[float, float] | None = None) -> Image.Image:
        """A slice as an RGB picture: through `window` (level, width), else through its own; colours as they are."""
        window = window or self.window
        if self.coloured or window is None:
            return Image.fromarray(np.ascontiguousarray(self.stored[index])).convert("RGB")
        grey = windowed(self.values(index), *window)
        return Image.fromarray(255 - grey if self.inverted else grey).convert("RGB")


def windowed(values: Any, level: float, width: float) -> Any:
    """Grey 0 to 255 (uint8) over level - width/2 to level + width/2, cut outside; NaN is black.

    Source: DICOM PS3.3 C.11.2.1.3.2, LINEAR_EXACT.

    >>> windowed(np.array([-160.0, 40.0, 240.0, 3000.0]), level=40, width=400).tolist()
    [0, 128, 255, 255]
    """
    with np.errstate(over="ignore", invalid="ignore"):  # values near the largest float
        grey = (values - (level - width / 2)) * (255 / width)
    return np.rint(np.clip(np.nan_to_num(grey, nan=0.0), 0, 255)).astype(np.uint8)


def open_stack(source: Mapping[str, Any], root: Path | None = None, plane: str = "axial") -> Stack:
    """All slices of `{"path": …}` below `root` (a file, or a folder of DICOM slices), or of `{"bytes": …}` (no NIfTI).

    `plane` is for NIfTI, whose axes have no natural one. A file is read once per process. Raises MedrlError for anything
    missing, outside `root`, damaged, too large or unsupported, and where the reading library is not installed.
    """
    if plane not in PLANES:
        raise MedrlError(f"raw image: plane={plane!r}, expected one of {', '.join(PLANES)}.")
    if isinstance(source, Mapping) and source.get("bytes") is None and isinstance(source.get("path"), str):
        path = resolve_inside(root, source["path"])
        if not path.exists():
            raise MedrlError(f"raw image {path}: no such file or folder. Correct the path or the root, or fetch it.")
        return _from_path(path, path.stat().st_mtime_ns, plane)
    data = source.get("bytes") if isinstance(source, Mapping) else None
    return _from_bytes(data) if isinstance(data, bytes) else _pages(source, root)  # which says what is wrong


@lru_cache(maxsize=4)
def _from_bytes(data: bytes) -> Stack:
    if data[128:132] == b"DICM":
        return _dicom([data], f"bytes image ({len(data)} bytes)")
    return _pages({"bytes": data}, None)


@lru_cache(maxsize=4)  # the attempts of a group look at one study
def _from_path(path: Path, modified_ns: int, plane: str) -> Stack:
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if one.is_file() and _is_dicom(one))
        if not files:
            raise MedrlError(f"raw image {path}: a folder without one DICOM file. Name a file, or the series' folder.")
        for one in files:
            resolve_inside(path, one.name)  # a link may lead out
        return _dicom([one.read_bytes() for one in files], str(path))
    if path.name.lower().endswith((".nii", ".nii.gz")):
        return _nifti(path, plane)
    if _is_dicom(path):
        return _dicom([path.read_bytes()], str(path))
    return _pages({"path": str(path)}, None)


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _pages(source: Mapping[str, Any], root: Path | None) -> Stack:
    """What PIL reads: deep grey keeps its values, the rest is 8 bits, grey where no page has a colour."""
    with read_header(source, root) as (image, name):
        _check_size(name, getattr(image, "n_frames", 1), image.height, image.width)
        deep, inverted = image.mode.startswith("I") or image.mode == "F", white_is_zero(image)
        turn = UPRIGHT.get(exif_orientation(image))
        pages = []
        for page in ImageSequence.Iterator(image):
            plain = page.copy() if deep else plain_rgb(page)
            pages.append(np.array(plain if turn is None else plain.transpose(turn)))
    if len({page.shape for page in pages}) > 1:
        raise MedrlError(f"{name}: its pages have different sizes, expected one size. Split the file.")
    stored = np.stack(pages)
    if deep:
        low, high = grey_range(float(stored.min()), float(stored.max()), stored.dtype.kind == "f")
        return Stack(*_plain(stored), window=_between(low, high), inverted=inverted)
    grey = (stored[..., 0] == stored[..., 1]).all() and (stored[..., 0] == stored[..., 2]).all()
    return Stack(*_plain(np.ascontiguousarray(stored[..., 0]) if grey else stored))


def _dicom(files: Sequence[bytes], name: str) -> Stack:
    """One file with its frames, or the slices of a series in the order of their places along the body."""
    try:
        import pydicom
        from pydicom.filebase import DicomBytesIO
    except ImportError:
        raise MedrlError(f'{name}: DICOM is read with pydicom. Install it: pip install "medrl[imaging]".') from None
    try:
        headers = [pydicom.dcmread(DicomBytesIO(data)) for data in files]
        first = headers[0]
        if len(headers) > 1:
            headers.sort(key=_place)
        frames = sum(int(one.get("NumberOfFrames") or 1) for one in headers)
        _check_size(name, frames, int(first.Rows), int(first.Columns))
        if len({(one.Rows, one.Columns, one.get("SamplesPerPixel", 1)) for one in headers}) > 1:
            raise MedrlError(f"{name}: its slices have different sizes, expected one series. Put others elsewhere.")
        samples = int(first.get("SamplesPerPixel", 1))
        shape = (-1, int(first.Rows), int(first.Columns), *((3,) if samples == 3 else ()))
        pixels = [pydicom.pixels.pixel_array(one).reshape(shape) for one in headers]
        scales = [_rescale(one) for one, part in zip(headers, pixels) for _ in part]
    except (MedrlError, MemoryError):
        raise
    except Exception as error:  # pydicom raises what its decoders raise
        raise MedrlError(
            f"{name}: the DICOM cannot be read ({type(error).__name__}: {error}). Decompress it (gdcmconv --raw), install "
            "the decoder named, or remove it from the data."
        ) from None
    stored = np.concatenate(pixels)
    if samples == 3 and stored.dtype != np.uint8:
        raise MedrlError(f"{name}: colours of {stored.dtype}, expected 8 bits each. Convert it.")
    hounsfield = first.get("Modality") == "CT" and str(first.get("RescaleType") or "HU").upper() == "HU"
    slopes, intercepts = zip(*scales)
    found = Stack(
        stored, slopes, intercepts, "HU" if hounsfield else "", _pair(_measure(first, "PixelSpacing")),
        inverted=first.get("PhotometricInterpretation") == "MONOCHROME1",
    )  # fmt: skip
    return found if samples == 3 else _with_window(found, _window_of(first))


def _place(header: Any) -> float:
    """Where a slice lies along the normal of its plane, in mm; its number where the header does not say."""
    position, turn = header.get("ImagePositionPatient"), header.get("ImageOrientationPatient")
    if position is None or turn is None:
        return float(header.get("InstanceNumber") or 0)
    return float(np.dot(np.cross([float(one) for one in turn[:3]], [float(one) for one in turn[3:]]), position))


def _shared(header: Any, group: str, name: str) -> Any:
    """A value that enhanced multi-frame files keep below their shared functional groups."""
    for shared in header.get("SharedFunctionalGroupsSequence") or ():
        for one in shared.get(group) or ():
            if one.get(name) is not None:
                return one.get(name)
    return header.get(name)


def _measure(header: Any, name: str) -> Any:
    return _shared(header, "PixelMeasuresSequence", name)


def _rescale(header: Any) -> tuple[float, float]:
    slope = _shared(header, "PixelValueTransformationSequence", "RescaleSlope")
    intercept = _shared(header, "PixelValueTransformationSequence", "RescaleIntercept")
    return float(slope if slope is not None else 1), float(intercept or 0)


def _window_of(header: Any) -> tuple[float, float] | None:
    """The first window of the header, which may list several."""
    given = [_shared(header, "FrameVOILUTSequence", name) for name in ("WindowCenter", "WindowWidth")]
    if any(value is None or value == "" for value in given):
        return None
    level, width = (float(np.atleast_1d(np.array(value, dtype=float))[0]) for value in given)
    return (level, width) if width > 0 else None


def _nifti(path: Path, plane: str) -> Stack:
    """The volume laid along the body's axes, cut into slices of `plane`."""
    try:
        import nibabel
    except ImportError:
        raise MedrlError(f'{path}: NIfTI is read with nibabel. Install it: pip install "medrl[imaging]".') from None
    try:
        image: Any = nibabel.load(path)
        shape = image.shape[:3] if image.shape[3:] in ((), (1,)) else image.shape
        if len(shape) != 3 or image.get_data_dtype().kind not in "iuf":
            raise MedrlError(f"{path}: {image.shape} of {image.get_data_dtype()}, expected one 3-D volume of numbers.")
        _check_size(str(path), *shape)
        orientation = nibabel.io_orientation(image.affine)
        stored = np.asanyarray(image.dataobj.get_unscaled()).reshape(shape)
        slope, intercept = float(image.dataobj.slope), float(image.dataobj.inter)
        zooms = image.header.get_zooms()[:3]
        if np.isnan(orientation).any():
            raise MedrlError(f"{path}: its affine drops an axis, expected an invertible one. Mend the header.")
        stored = nibabel.apply_orientation(stored, orientation)  # axes x, y, z to the right, the front and the head
    except (MedrlError, MemoryError):
        raise
    except Exception as error:  # nibabel raises a dozen types on damaged data
        raise MedrlError(f"{path}: not a readable NIfTI ({type(error).__name__}: {error}). Fetch it again.") from None
    spacing = dict(zip((int(axis) for axis in orientation[:, 0]), (float(zoom) for zoom in zooms)))
    rows, columns, slices = PLANES[plane]
    for axis, way in enumerate("xyz"):
        if f"-{way}" in (rows, columns, slices):
            stored = np.flip(stored, axis)
    order = ["xyz".index(way[1]) for way in (slices, rows, columns)]
    count = shape[[int(axis) for axis in orientation[:, 0]].index(order[0])]
    found = Stack(
        stored.transpose(order), (slope,) * count, (intercept,) * count,
        spacing_mm=_pair((spacing[order[1]], spacing[order[2]])),
    )  # fmt: skip
    return _with_window(found, None)


def _with_window(stack: Stack, window: tuple[float, float] | None) -> Stack:
    """The stack shown by default through this window, else from its least to its greatest value."""
    if window is None:
        slopes, intercepts = np.array(stack.slopes)[:, None], np.array(stack.intercepts)[:, None]
        flat = stack.stored.reshape(len(stack), -1)
        ends = np.stack([np.nanmin(flat, 1), np.nanmax(flat, 1)], 1) * slopes + intercepts  # (slices, 2)
        ends = ends[np.isfinite(ends)]
        window = _between(float(ends.min()), float(ends.max())) if ends.size else (0.0, 1.0)
    return replace(stack, window=window)


def _plain(stored: Any) -> tuple[Any, tuple[float, ...], tuple[float, ...]]:
    return stored, (1.0,) * len(stored), (0.0,) * len(stored)


def _between(low: float, high: float) -> tuple[float, float]:
    return (low + high) / 2, (high - low) or 1.0


def _pair(given: Any) -> tuple[float, float] | None:
    """(down, across) in mm, or None where they are not two positive numbers."""
    if given is None or len(given) != 2:
        return None
    down, across = float(given[0]), float(given[1])
    return (down, across) if 0 < down < math.inf and 0 < across < math.inf else None


def _check_size(name: str, slices: int, height: int, width: int) -> None:
    if slices * height * width > MAX_STACK_VALUES:
        raise MedrlError(
            f"{name}: {slices} x {height} x {width} values, more than the {MAX_STACK_VALUES} allowed (a decompression bomb "
            "or a whole slide). Cut it into parts before training."
        )
