"""What lies behind a sample's picture: its raw values as a stack of slices, and the distance between its pixels in mm.

A row says it in `extra_info`: `raw`, one dict per picture (or one dict where there is one picture) with the `path` of a
DICOM, NIfTI or other file below the data's root and, where they matter, the `slice` the picture shows (from 1) and the
`plane`; and `pixel_spacing_mm`, (down, across) as DICOM has it, for the picture as it is. Without `raw` the picture's own
file is used: deep grey keeps its values, a file of several pages its pages.
"""

from pathlib import Path
from typing import Any

from medrl.data.sample import Sample
from medrl.errors import MedrlError
from medrl.rollout.env import ActionError, Scene
from medrl.vision.open import resolve_inside
from medrl.vision.stack import Stack, open_stack


def check_raw(sample: Sample, root: Path | None) -> None:
    """MedrlError when a file that the row names is not there: said when an episode begins, not in its middle."""
    for number in range(len(sample.images)):
        named = _named(sample, number)
        if named and not resolve_inside(root, named["path"]).exists():
            raise MedrlError(
                f"{sample.id}: extra_info.raw names {named['path']!r}, which is not there. Correct the path or the root."
            )


def raw_of(sample: Sample, source: int, scene: Scene) -> tuple[Stack, int]:
    """The stack behind the sample's picture `source`, and which slice (from 1) that picture shows.

    ActionError where there is none to be had; MedrlError where the row names a file that cannot be read.
    """
    if not 0 <= source < len(sample.images):
        raise ActionError("this image is not one of the question's; nothing more is known of it")
    named = _named(sample, source)
    if named is None:
        try:
            return open_stack(sample.images[source], scene.root), 1
        except MedrlError:  # pages of different sizes, and the like; the first page was good enough to be shown
            raise ActionError("this image has no raw values") from None
    stack = open_stack(named, scene.root, named.get("plane", "axial"))
    number = named.get("slice", 1)
    if not isinstance(number, int) or not 1 <= number <= len(stack):
        raise MedrlError(
            f"{sample.id}: extra_info.raw says slice={number!r}, but {named['path']} has slices 1 to {len(stack)}."
        )
    return stack, number


def spacing_mm(sample: Sample, source: int, scene: Scene) -> tuple[float, float] | None:
    """(down, across): mm between the pixels of the sample's picture `source`, from the row, else from the raw file's header;
    None where neither says. A picture smaller than its raw slice has wider pixels."""
    if not 0 <= source < len(sample.images):
        return None
    stated = sample.extra_info.get("pixel_spacing_mm")
    if stated is not None:
        several = isinstance(stated, (list, tuple)) and stated and isinstance(stated[0], (list, tuple))
        return checked_spacing(stated[source] if several and source < len(stated) else stated, sample.id)
    if _named(sample, source) is None:
        return None
    stack, _ = raw_of(sample, source, scene)
    if stack.spacing_mm is None:
        return None
    width, height = scene.shown[source].image.size
    return stack.spacing_mm[0] * stack.size[1] / height, stack.spacing_mm[1] * stack.size[0] / width


def checked_spacing(stated: Any, where: str) -> tuple[float, float]:
    """Two positive finite numbers, or MedrlError."""
    good = isinstance(stated, (list, tuple)) and len(stated) == 2
    if not good or not all(isinstance(one, (int, float)) and 0 < one < float("inf") for one in stated):
        raise MedrlError(f"{where}: pixel_spacing_mm={stated!r}, expected [down, across], two positive numbers in mm.")
    return float(stated[0]), float(stated[1])


def _named(sample: Sample, source: int) -> dict[str, Any] | None:
    """What the row says of the raw file behind its picture `source`; None where it says nothing."""
    given = sample.extra_info.get("raw")
    if isinstance(given, dict) and len(sample.images) == 1:
        given = [given]
    if given is None:
        return None
    if not isinstance(given, (list, tuple)) or len(given) != len(sample.images):
        raise MedrlError(
            f"{sample.id}: extra_info.raw is {str(given)[:80]}, expected one dict with `path` for each of the "
            f"{len(sample.images)} images."
        )
    named = given[source]
    if not named:
        return None
    if not isinstance(named, dict) or not isinstance(named.get("path"), str):
        raise MedrlError(f"{sample.id}: extra_info.raw has {str(named)[:80]}, expected a dict with `path`.")
    return named
