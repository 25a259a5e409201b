"""BCCD: every slip of the published annotation is refused by name, and what is yielded agrees with the pictures."""

import csv
import io
import json
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medrl.data.adapters.bccd import KINDS, read
from medrl.data.sample import Refused, Sample, check
from medrl.errors import MedrlError
from medrl.vision.open import open_image

ROOT = Path(__file__).resolve().parents[3] / "shared" / "data" / "bccd"


def samples_of(split, **options):
    return [item for item in read(ROOT, split, **options) if isinstance(item, Sample)]


def refused_of(split, **options):
    return [item for item in read(ROOT, split, **options) if isinstance(item, Refused)]


def decode(sample):
    return Image.open(io.BytesIO(sample.images[0]["bytes"]))


@pytest.mark.parametrize(
    ("split", "task", "cell", "samples", "refused"),
    [
        ("train", "count", "WBC", 203, 2),
        ("train", "count", "RBC", 196, 9),
        ("train", "count", "Platelets", 204, 1),
        ("val", "count", "RBC", 82, 5),
        ("test", "count", "Platelets", 71, 1),
        ("trainval", "count", "Platelets", 291, 1),
        ("train", "box", "WBC", 194, 11),
        ("val", "box", "WBC", 85, 2),
        ("test", "box", "WBC", 65, 7),
    ],
)
def test_official_splits_give_known_numbers(split, task, cell, samples, refused):
    items = list(read(ROOT, split, task=task, cell=cell))
    assert Counter(type(item) for item in items) == {Sample: samples, Refused: refused}
    assert all(check(item) is None for item in items if isinstance(item, Sample))


def test_every_sound_box_of_the_test_split_becomes_a_crop():
    items = list(read(ROOT, "test", size_px=16))
    kinds = Counter(item.options[item.ground_truth] for item in items if isinstance(item, Sample))
    assert kinds == {"red blood cell": 805, "white blood cell": 71, "platelet": 68}
    assert sum(isinstance(item, Refused) for item in items) == 1


def test_official_splits_share_no_picture():
    seen = [{s.extra_info["image_id"] for s in samples_of(split, task="count")} for split in ("train", "val", "test")]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]


def test_zero_area_box_is_refused_with_its_file_name():
    found = {
        item.place.split()[0]: item.reason for item in refused_of("trainval", per_kind=1) if "no area" in item.reason
    }
    assert found == {
        "BloodImage_00338.xml": "the RBC box [504, 337, 504, 337] has no area",
        "BloodImage_00343.xml": "the RBC box [181, 329, 181, 329] has no area",
    }


def test_picture_with_a_zero_area_box_is_not_counted():
    refused = {item.place: item.reason for item in refused_of("trainval", task="count", cell="RBC")}
    assert (
        "cannot be counted" in refused["BloodImage_00338.xml"]
        and "cannot be counted" in refused["BloodImage_00343.xml"]
    )
    # the other kinds in it can
    counted = {s.extra_info["image_id"] for s in samples_of("trainval", task="count", cell="Platelets")}
    assert {"bccd/BloodImage_00338", "bccd/BloodImage_00343"} <= counted


def test_boxes_agree_with_test_csv_once_its_x_x_y_y_columns_are_known():
    published = defaultdict(Counter)
    inverted = 0
    with (ROOT / "test.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            x_min, x_max, y_min, y_max = (int(row[name]) for name in ("xmin", "xmax", "ymin", "ymax"))
            published[row["filename"].removesuffix(".jpg"), row["cell_type"]][x_min, y_min, x_max, y_max] += 1
            by_position = [int(value) for value in list(row.values())[2:]]
            inverted += by_position[0] >= by_position[2] or by_position[1] >= by_position[3]
    assert inverted > 1000  # read in the usual order x, y, x, y the file is nonsense: the trap is there
    compared = 0
    for split in ("trainval", "test"):
        for cell in KINDS:
            for sample in samples_of(split, task="count", cell=cell):
                boxes = Counter(tuple(box) for box in sample.extra_info.get("boxes", []))
                assert boxes == published[sample.extra_info["image_id"].removeprefix("bccd/"), cell], sample.id
                compared += boxes.total()
    assert compared > 4800  # of 4888


def test_swapped_labels_are_refused_not_taught():
    refused = [item for split in ("trainval", "test") for item in refused_of(split, per_kind=1)]
    wrong = {item.place.split(".")[0] for item in refused if "labelled wrongly" in item.reason}
    assert wrong == {"BloodImage_00113", "BloodImage_00133", "BloodImage_00135"}


@pytest.mark.parametrize(("cell", "pictures"), [("RBC", 15), ("WBC", 6)])
def test_picture_without_annotation_is_not_counted_as_zero(cell, pictures):
    refused = [item for split in ("trainval", "test") for item in refused_of(split, task="count", cell=cell)]
    assert sum("not annotated" in item.reason for item in refused) == pictures
    assert all(sample.ground_truth != "0" for sample in samples_of("trainval", task="count", cell=cell))


def test_platelets_may_be_none():
    none = next(s for s in samples_of("test", task="count", cell="Platelets") if s.ground_truth == "0")
    assert none.demonstration == ("<think>no platelet</think><answer>{ground_truth}</answer>",)


def test_cell_stands_in_the_centre_of_its_crop_even_at_the_picture_edge():
    for sample in samples_of("test", per_kind=25, size_px=160, view_px=160):
        left, top, right, bottom = sample.extra_info["box_px_original"]
        if max(right - left, bottom - top) > 160:
            continue  # shown smaller
        name = sample.extra_info["image_id"].removeprefix("bccd/")
        whole = np.asarray(open_image({"path": f"BCCD/JPEGImages/{name}.jpg"}, ROOT))
        x, y = (left + right - 160) // 2 + 80, (top + bottom - 160) // 2 + 80
        assert (np.asarray(decode(sample))[80, 80] == whole[y, x]).all(), sample.id


def test_crops_have_the_asked_size_and_say_so():
    for sample in samples_of("test", per_kind=3, size_px=64):
        assert decode(sample).size == (64, 64) and sample.extra_info["image_size"] == [64, 64]


def test_per_kind_balances_and_takes_no_second_cell_before_every_picture_gave_one():
    chosen = samples_of("test", per_kind=40, size_px=16)
    kinds = Counter(sample.options[sample.ground_truth] for sample in chosen)
    assert kinds == {"red blood cell": 40, "white blood cell": 40, "platelet": 40}
    red = Counter(s.extra_info["image_id"] for s in chosen if s.ground_truth == "A")
    assert set(red.values()) == {1}


def test_per_kind_follows_the_seed_and_nothing_else():
    def ids(**options):
        return [sample.id for sample in samples_of("val", per_kind=10, size_px=16, **options)]

    assert ids() == ids() != ids(seed=1)


def test_shuffled_options_move_the_letter_but_not_the_answer():
    plain = samples_of("test", per_kind=20, size_px=16)
    mixed = samples_of("test", per_kind=20, size_px=16, shuffle_options=True)
    assert [s.options[s.ground_truth] for s in plain] == [s.options[s.ground_truth] for s in mixed]
    for kind in KINDS.values():
        assert len({s.ground_truth for s in mixed if s.options[s.ground_truth] == kind}) == 3
    for sample in mixed:
        assert sample.question.endswith(", ".join(f"{letter}) {text}" for letter, text in sample.options.items()))


@pytest.mark.parametrize("size_px", [None, 112])
def test_box_is_in_pixels_of_the_picture_as_shown(size_px):
    published = {s.id: json.loads(s.ground_truth) for s in samples_of("test", task="box")}
    for sample in samples_of("test", task="box", size_px=size_px)[:8]:
        width, height = sample.extra_info["image_size"]
        assert open_image(sample.images[0], ROOT).size == (width, height) == ((112, 112) if size_px else (640, 480))
        box, original = json.loads(sample.ground_truth), published[sample.id]
        assert all(isinstance(edge, int) for edge in box)
        assert box == [
            round(edge * side / full) for edge, side, full in zip(original, (width, height) * 2, (640, 480) * 2)
        ]


def test_demonstrations_are_true_of_the_annotation():
    for sample in samples_of("test", task="count", cell="RBC"):
        rows = sample.demonstration[0].split("row ")[1:]
        told = (
            len(rows)
            if "column" in sample.demonstration[0]
            else sum(int(row.split(":")[1].strip(" ,").split("<")[0]) for row in rows)
        )
        assert told == int(sample.ground_truth)
    for sample in samples_of("test", per_kind=15, size_px=16):
        left, top, right, bottom = sample.extra_info["box_px_original"]
        longer = max(right - left, bottom - top)
        size = "small" if longer < 75 else "large" if longer >= 150 else "medium"
        words = sample.options[sample.ground_truth]
        assert sample.demonstration == (f"<think>a {size} cell, {words}</think><answer>{{ground_truth}}</answer>",)


def small_copy(tmp_path, annotation, name="BloodImage_00007"):
    """A data set of one picture whose annotation is the given text (None: missing)."""
    folder = tmp_path / "BCCD"
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    (folder / "ImageSets/Main/test.txt").write_text(f"{name}\n")
    shutil.copy(ROOT / f"BCCD/JPEGImages/{name}.jpg", folder / "JPEGImages")
    if annotation is not None:
        (folder / f"Annotations/{name}.xml").write_text(annotation)
    return tmp_path


def voc(kind="WBC", box=(100, 100, 260, 250), filename="BloodImage_00007.jpg"):
    edges = "".join(f"<{edge}>{value}</{edge}>" for edge, value in zip(("xmin", "ymin", "xmax", "ymax"), box))
    return f"<annotation><filename>{filename}</filename><object><name>{kind}</name><bndbox>{edges}</bndbox></object></annotation>"


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (None, "not readable Pascal-VOC"),
        ("<annotation><object>", "not readable Pascal-VOC"),
        (voc(box=("", 1, 2, 3)), "not readable Pascal-VOC"),
        (voc(kind="Monocyte"), "unknown kind of cell 'Monocyte'"),
        (voc(box=(300, 100, 200, 250)), "has no area"),
    ],
)
def test_bad_annotation_is_refused_not_a_crash(tmp_path, annotation, reason):
    items = list(read(small_copy(tmp_path, annotation), "test"))
    assert [type(item) for item in items] == [Refused]
    assert reason in items[0].reason and "BloodImage_00007" in items[0].place


def test_renamed_filename_inside_the_annotation_does_not_matter(tmp_path):
    root = small_copy(tmp_path, voc(filename="somebody else's.png"))
    assert [type(item) for item in read(root, "test")] == [Sample]


@pytest.mark.parametrize("options", [{}, {"task": "box"}, {"task": "count", "cell": "WBC"}])
def test_missing_or_cut_picture_is_refused(tmp_path, options):
    root = small_copy(tmp_path, voc())
    picture = root / "BCCD/JPEGImages/BloodImage_00007.jpg"
    picture.write_bytes(picture.read_bytes()[:100])
    assert [type(item) for item in read(root, "test", **options)] == [Refused]
    picture.unlink()
    assert [type(item) for item in read(root, "test", **options)] == [Refused]


def test_root_may_be_the_inner_folder():
    inner = next(iter(read(ROOT / "BCCD", "test", task="box")))
    assert inner.images[0]["path"].startswith("JPEGImages/")


@pytest.mark.parametrize(
    ("root", "split", "options", "told"),
    [
        (ROOT, "validation", {}, ["'validation'", "train, val, test, trainval"]),
        (ROOT, "test", {"task": "segment"}, ["'segment'", "cell_kind"]),
        (ROOT, "test", {"task": "count", "cell": "wbc"}, ["'wbc'", "RBC, WBC, Platelets"]),
        (ROOT.parent / "dsb2018", "test", {}, ["lacks Annotations", "stage1_train"]),
        (ROOT / "nowhere", "test", {}, ["not a folder", "nowhere"]),
    ],
)
def test_errors_name_what_was_looked_for_and_what_is_there(root, split, options, told):
    with pytest.raises(MedrlError) as error:
        list(read(root, split, **options))
    assert all(part in str(error.value) for part in told)
