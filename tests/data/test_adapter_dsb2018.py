"""Nuclei: counts and boxes agree with the masks, and no picture is in two splits."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medrl.data.adapters.dsb2018 import read
from medrl.data.sample import Refused
from medrl.data.splits import overlap
from medrl.errors import MedrlError

ROOT = Path(__file__).resolve().parents[3] / "shared" / "data" / "dsb2018"


@pytest.fixture(scope="module")
def counted():
    return list(read(ROOT, "all"))


def test_counts_agree_with_counts_csv(counted):
    with (ROOT / "counts.csv").open(newline="") as file:
        published = {f"dsb2018/{row['image_id']}": row["n_masks"] for row in csv.DictReader(file)}
    assert {sample.extra_info["image_id"]: sample.ground_truth for sample in counted} == published
    assert len(published) == 120 and sum(map(int, published.values())) == 2924


def test_box_is_the_extent_of_its_mask_with_the_last_pixel_inside():
    sample = next(iter(read(ROOT, "all", task="boxes")))
    folder = ROOT / sample.images[0]["path"]
    expected = []
    for path in (folder.parent.parent / "masks").iterdir():
        rows, columns = np.nonzero(np.asarray(Image.open(path)))
        expected.append([int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1])
    boxes = json.loads(sample.ground_truth)
    assert sorted(boxes) == sorted(expected) and sample.kind == "boxes"
    width, height = sample.extra_info["image_size"]
    assert all(0 <= left < right <= width and 0 <= top < bottom <= height for left, top, right, bottom in boxes)
    assert boxes == sorted(boxes, key=lambda box: (box[1], box[0]))  # reading order, not the order of file hashes


def test_demonstration_tells_every_nucleus_once(counted):
    for sample in counted:
        if "column" in sample.demonstration[0]:
            told = sample.demonstration[0].count("column")
        else:
            told = sum(
                int(part.split(":")[1].strip(" ,").split("<")[0]) for part in sample.demonstration[0].split("row ")[1:]
            )
        assert told == int(sample.ground_truth), sample.id


def test_splits_share_no_image_and_leave_none_out(counted):
    train, val, test = (list(read(ROOT, split)) for split in ("train", "val", "test"))
    assert [len(train), len(val), len(test)] == [82, 23, 15]
    for one, other in ((train, val), (train, test), (val, test)):
        assert overlap(one, other, image_bytes=True, root=ROOT)["images"] == []
    assert {s.id for s in (*train, *val, *test)} == {s.id for s in counted}


def test_count_and_boxes_split_alike():
    # a box task trained on a count task's test pictures would be a leak
    assert {s.extra_info["image_id"] for s in read(ROOT, "test")} == {
        s.extra_info["image_id"] for s in read(ROOT, "test", task="boxes")
    }


def damaged_copy(tmp_path):
    source = ROOT / next(iter(read(ROOT, "all"))).images[0]["path"]
    folder = tmp_path / "stage1_train" / source.stem
    shutil.copytree(source.parent.parent, folder, copy_function=shutil.copyfile)
    for path in (folder, folder / "masks", folder / "images"):
        path.chmod(0o755)
    return folder


@pytest.mark.parametrize("task", ["count", "boxes"])
def test_empty_mask_is_refused_by_name(tmp_path, task):
    folder = damaged_copy(tmp_path)
    size = Image.open(next((folder / "images").iterdir())).size
    Image.new("L", size).save(folder / "masks" / "blank.png")
    items = list(read(tmp_path, "all", task=task))
    assert items == [Refused(folder.name, "mask blank.png is empty")]


def test_mask_of_another_size_is_refused(tmp_path):
    folder = damaged_copy(tmp_path)
    Image.new("L", (7, 9), 255).save(folder / "masks" / "small.png")
    (item,) = read(tmp_path, "all")
    assert isinstance(item, Refused) and "mask small.png is 7 x 9" in item.reason


def test_picture_without_masks_or_with_a_cut_file_is_refused(tmp_path):
    folder = damaged_copy(tmp_path)
    mask = next((folder / "masks").iterdir())
    mask.write_bytes(mask.read_bytes()[:40])
    (cut,) = read(tmp_path, "all")
    shutil.rmtree(folder / "masks")
    (none,) = read(tmp_path, "all")
    assert isinstance(cut, Refused) and none == Refused(folder.name, "no masks in masks/")


@pytest.mark.parametrize(
    ("root", "split", "options", "told"),
    [
        (ROOT, "dev", {}, ["'dev'", "train, val, test, all"]),
        (ROOT, "train", {"task": "box"}, ["'box'", "count, boxes"]),
        (ROOT, "train", {"fractions": {"train": 0.9, "val": 0.2}}, ["add up to 1.1"]),
        (ROOT.parent / "bccd", "train", {}, ["no <id>/images/", "BCCD"]),
    ],
)
def test_errors_name_what_was_looked_for(root, split, options, told):
    with pytest.raises(MedrlError) as error:
        list(read(root, split, **options))
    assert all(part in str(error.value) for part in told)
