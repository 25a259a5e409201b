"""ChestX-ray14 boxes: the header with commas in a name, x, y, w, h turned into corners, patients kept apart."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from medrl.data.adapters.nih_cxr14 import HEADER, read
from medrl.data.sample import Refused, Sample, check
from medrl.data.splits import overlap
from medrl.errors import MedrlError

ROOT = Path(__file__).resolve().parents[3] / "shared" / "data" / "nih_cxr14"


def test_header_with_commas_inside_a_column_name_is_understood():
    with (ROOT / "BBox_List_2017.csv").open(newline="") as file:
        assert next(csv.reader(file))[2] == "Bbox [x"  # the trap: a reader by column name sees six names
    items = list(read(ROOT, "all"))
    assert len(items) == 984 and all(isinstance(item, Sample) and check(item) is None for item in items)
    assert len({item.extra_info["image_id"] for item in items}) == 880
    assert Counter(item.extra_info["finding"] for item in items).most_common(1) == [("Atelectasis", 180)]


def test_x_y_width_height_become_corners():
    first = next(iter(read(ROOT, "all")))
    # 225.0847458, 547.0192168, 86.77966102, 79.18644068
    assert json.loads(first.ground_truth) == [225.0847, 547.0192, 311.8644, 626.2057]
    assert first.question == "Give the box of the atelectasis as [x1, y1, x2, y2] in pixels."
    assert first.kind == "box" and first.images == ({"path": "images/00013118_008.png"},)
    for item in read(ROOT, "all"):
        left, top, right, bottom = json.loads(item.ground_truth)
        assert 0 <= left < right <= 1024 and 0 <= top < bottom <= 1024


def test_no_patient_is_in_two_splits():
    splits = [list(read(ROOT, split)) for split in ("train", "val", "test")]
    assert [len(split) for split in splits] == [671, 151, 162]
    for one in splits:
        for other in splits:
            assert one is other or overlap(one, other) == {"images": [], "patients": [], "studies": []}


def test_trailing_commas_of_the_kaggle_copy_do_no_harm(tmp_path):
    (tmp_path / "BBox_List_2017.csv").write_text(f"{HEADER},,,\n00000001_000.png,Mass,1,2,3,4,,,\n")
    (item,) = read(tmp_path, "all")
    assert json.loads(item.ground_truth) == [1, 2, 4, 6]


@pytest.mark.parametrize(
    "row", ["1.png,Mass,1,2,3", "1.png,Mass,1,2,three,4", "1.png,Mass,1,2,0,4", "1.png,Mass,1,2,nan,4", "x"]
)
def test_bad_row_is_refused_with_its_line(tmp_path, row):
    (tmp_path / "BBox_List_2017.csv").write_text(f"{HEADER}\n00000001_000.png,Mass,1,2,3,4\n{row}\n")
    good, bad = read(tmp_path, "all")
    assert isinstance(good, Sample) and isinstance(bad, Refused) and bad.place == "BBox_List_2017.csv line 3"


def test_another_header_is_an_error_that_shows_both(tmp_path):
    (tmp_path / "BBox_List_2017.csv").write_text("image,label,x1,y1,x2,y2\n")
    with pytest.raises(MedrlError, match=r"starts with 'image,label,x1,y1,x2,y2', expected 'Image Index"):
        list(read(tmp_path, "all"))
    with pytest.raises(MedrlError, match=r"no BBox_List_2017.csv in .*slake"):
        list(read(ROOT.parent / "slake", "all"))
