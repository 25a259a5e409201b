"""NIH ChestX-ray14 boxes (984 findings in BBox_List_2017.csv; attribution required): where is the finding?

The header is broken - "Bbox [x,y,w,h]" is one name with commas in it - so columns are read by position. The list has no
split of its own; patients are kept apart by the hash of their number.
"""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from medrl.data.published import check_one_of, find_file
from medrl.data.sample import Refused, Sample, make_sample
from medrl.data.splits import FRACTIONS, check_fractions, split_of
from medrl.errors import MedrlError
from medrl.vision.boxes import box_from_xywh, is_box

LIST = "BBox_List_2017.csv"
HEADER = "Image Index,Finding Label,Bbox [x,y,w,h]"


def read(
    root: Path, split: str, *, images: str = "images", fractions: Mapping[str, float] = FRACTIONS, seed: int = 0
) -> Iterator[Sample | Refused]:
    """Yield one sample a box in file order; `split` is a name in `fractions`, or `all`. `images` is their folder.

    Boxes are [x1, y1, x2, y2] in pixels of the published 1024 x 1024 image, as floats.
    """
    check_fractions(fractions)
    check_one_of("nih_cxr14", "split", split, (*fractions, "all"))
    path = find_file("nih_cxr14", root, (LIST,))
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = ",".join(next(rows, [])).rstrip(",")
        if header != HEADER:
            raise MedrlError(
                f"nih_cxr14: {path} starts with {header!r}, expected {HEADER!r}. Fetch the published list."
            )
        for row in rows:
            place = f"{LIST} line {rows.line_num}"
            patient = row[0].partition("_")[0] if row else ""
            if split in ("all", split_of(f"nih_cxr14/{patient}", fractions, seed)):
                yield _sample(row, place, split, images, patient)


def _sample(row: list[str], place: str, split: str, images: str, patient: str) -> Sample | Refused:
    try:
        name, finding = row[0].strip(), row[1].strip()
        left, top, width, height = (float(cell) for cell in row[2:6])
    except (ValueError, IndexError):
        return Refused(place, f"{row} is not a name, a finding and the four numbers x, y, w, h")
    box = [round(edge, 4) for edge in box_from_xywh(left, top, width, height)]
    if not is_box(box):
        return Refused(place, f"the box {box} has no area")
    return make_sample(
        id=f"nih_cxr14/{name}/{finding}",
        data_source="nih_cxr14",
        question=f"Give the box of the {finding.lower()} as [x1, y1, x2, y2] in pixels.",
        images=[{"path": f"{images}/{name}"}],
        ground_truth=box,
        kind="box",
        split=split,
        image_id=f"nih_cxr14/{name}",
        patient_id=f"nih_cxr14/{patient}",
        finding=finding,
        modality="X-ray",
    )
