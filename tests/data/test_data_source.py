"""Loading by name: adapters are found without a registry, what cannot be used is told, and the hash follows the data."""

import io
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from medrl.data.sample import make_sample, write_parquet
from medrl.data.source import adapter_names, describe, find_adapter, load
from medrl.errors import MedrlError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

ADAPTER = """
from medrl.data.sample import Refused, make_sample

def read(root, split, *, n=3, fail_at=None, thing=None):
    for number in range(n):
        if number == fail_at:
            raise KeyError("colour")
        if thing is not None:
            yield thing
        yield make_sample(id=str(number), data_source="mine", question="Is it?", images=[], ground_truth="no",
                          kind="yes_no", split=split)

def only_refused(root, split):
    for number in range(9):
        yield Refused(f"row {number}", ("cut", "cut", "blank", "blank", "blank", "odd", "odd", "odd", "rare")[number])
"""


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(ADAPTER)
    return str(path)


def rows(tmp_path, *records):
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(record) for record in records))
    return tmp_path


def png(path, size=(3, 2), colour=(200, 10, 10)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())


def test_every_file_in_adapters_is_an_adapter_by_its_name():
    names = adapter_names()
    assert {"bccd", "dsb2018", "jsonl", "nih_cxr14", "omnimed", "parquet", "phantom", "slake", "vqa_rad"} <= set(names)
    assert all(callable(find_adapter(name).target) for name in names)


def test_unknown_adapter_is_told_the_nearest_and_all():
    with pytest.raises(
        MedrlError, match=r"no data adapter 'vqarad'. Did you mean vqa_rad\? Expected one of bccd, .*path/to/file.py"
    ):
        load("vqarad", None, "train", {})


@pytest.mark.parametrize("adapter", ["bccd", "vqa_rad", "phantom"])
def test_misspelt_option_is_refused_before_anything_is_read(adapter):
    with pytest.raises(MedrlError, match=r"got an unexpected keyword argument 'tsak'"):
        load(adapter, Path("/nowhere"), "train", {"tsak": "count"})


def test_own_adapter_is_loaded_from_its_file(mine, tmp_path):
    data = load(mine, tmp_path, "train", {"n": 4})
    assert [sample.id for sample in data.samples] == ["0", "1", "2", "3"] and data.root == tmp_path
    assert [s.id for s in load("mine.py:read", None, "train", {}, beside=tmp_path).samples] == ["0", "1", "2"]


def test_adapter_that_raises_is_named_with_its_traceback(mine):
    with pytest.raises(MedrlError, match=r"(?s)mine.py: failed after 2 records.*KeyError: 'colour'"):
        load(mine, None, "train", {"fail_at": 2})


def test_adapter_that_yields_something_else_is_named(mine):
    with pytest.raises(MedrlError, match=r"mine.py: item 0 is a dict; expected medrl's Sample or Refused"):
        load(mine, None, "train", {"thing": {"question": "?"}})


def test_empty_data_set_says_how_many_were_refused_and_the_three_commonest_reasons(mine):
    with pytest.raises(MedrlError) as error:
        load(f"{mine}:only_refused", None, "train", {})
    told = str(error.value)
    assert "9 records were refused" in told and "rare" not in told
    assert "blank (3, such as row 2)" in told and "odd (3, such as row 5)" in told and "cut (2, such as row 0)" in told


def test_data_set_of_nothing_at_all_is_an_error(mine):
    with pytest.raises(MedrlError, match=r"not one usable sample; 0 records were refused\. Check"):
        load(mine, None, "train", {"n": 0})


def test_limit_stops_reading(mine):
    assert len(load(mine, None, "train", {"n": 10, "fail_at": 5}, limit=5).samples) == 5  # never reached the fault
    with pytest.raises(MedrlError, match="limit=0, expected at least 1"):
        load(mine, None, "train", {}, limit=0)


def test_missing_image_is_refused_not_met_at_step_900(tmp_path):
    png(tmp_path / "a.png")
    good, bad = ({"problem": "Is it?", "answer": "no", "image": name} for name in ("a.png", "b.png"))
    data = load("jsonl", rows(tmp_path, good, bad), "rows", {})
    assert len(data.samples) == 1
    assert "b.png" in data.refused[0].place and "not there" in data.refused[0].reason


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "link.png"])
def test_image_path_never_escapes_the_root(tmp_path, path):
    inner = tmp_path / "data"
    inner.mkdir()
    png(tmp_path / "secret.png")
    (inner / "link.png").symlink_to(tmp_path / "secret.png")
    fine = {"problem": "Is it?", "answer": "no"}
    data = load("jsonl", rows(inner, fine, {**fine, "image": path}), "rows", {})
    assert len(data.samples) == 1 and "outside the root" in data.refused[0].reason


def test_published_set_without_its_images_says_so():
    with pytest.raises(
        MedrlError, match=r"slake: .*4919 records were refused, mostly for: .*not there \(4918, such as"
    ):
        load("slake", SHARED / "slake", "train", {})


def test_hash_is_the_same_for_the_same_data_and_follows_every_part_of_it(tmp_path):
    png(tmp_path / "a.png")
    row = {"problem": "Is it?", "answer": "no", "image": "a.png"}

    def sha(*records):
        return load("jsonl", rows(tmp_path, *records), "rows", {}).sha256

    row["age"], row["sex"] = 60, "f"
    first = sha(row, row)
    os.utime(tmp_path / "a.png", (0, 0))  # a copy of the data is the same data
    assert first == sha(row, dict(reversed(row.items())))
    others = {
        sha(row),
        sha(row, {**row, "answer": "yes"}),
        sha(row, {**row, "problem": "Was it?"}),
        sha(row, {**row, "age": 3}),
    }
    png(tmp_path / "a.png", size=(40, 30))
    others.add(sha(row, row))  # the file changed, its path did not
    assert len(others) == 5 and first not in others


def test_hash_does_not_depend_on_where_the_data_lies(tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(SHARED / "vqa_rad", copy)
    assert load("vqa_rad", copy, "test", {}).sha256 == load("vqa_rad", SHARED / "vqa_rad", "test", {}).sha256


def test_hash_covers_image_bytes():
    def sha(seed):
        return load("phantom", None, "train", {"n": 2, "seed": seed}).sha256

    assert sha(0) == sha(0) != sha(1)


def test_parquet_built_from_an_adapter_loads_as_the_same_samples(tmp_path):
    original = load("bccd", SHARED / "bccd", "test", {"per_kind": 4, "size_px": 32})
    write_parquet(original.samples, tmp_path / "test.parquet")
    again = load("parquet", tmp_path, "test.parquet", {})
    for one, other in zip(original.samples, again.samples, strict=True):
        assert (one.id, one.messages, one.images, one.ground_truth) == (
            other.id,
            other.messages,
            other.images,
            other.ground_truth,
        )
        assert {**one.extra_info, "index": other.extra_info["index"]} == other.extra_info


def test_describe_counts_what_a_reader_wants_to_know():
    facts = describe(load("bccd", SHARED / "bccd", "test", {"per_kind": 5, "size_px": 32}))
    assert facts["samples"] == 15 and facts["refused"] == 1 and facts["kinds"] == {"choice": 15}
    assert facts["answers"]["choice"] == [
        {"answer": kind, "count": 5, "share": 0.3333} for kind in (a["answer"] for a in facts["answers"]["choice"])
    ]
    assert {a["answer"] for a in facts["answers"]["choice"]} == {"red blood cell", "white blood cell", "platelet"}
    assert {a["answer"] for a in facts["letters"]} == {"A", "B", "C"}
    assert facts["image_sizes"] == {"common": {"32 x 32": 15}, "distinct": 1, "smallest": [32, 32], "largest": [32, 32]}
    assert facts["images"] == len({s.extra_info["image_id"] for s in load_small()}) and facts["patients"] == 0
    assert facts["modalities"] == {"microscopy": 15} and facts["demonstrations"] == 15
    json.dumps(facts)


def load_small():
    return load("bccd", SHARED / "bccd", "test", {"per_kind": 5, "size_px": 32}).samples


def test_describe_shows_what_always_answering_the_same_would_score():
    facts = describe(load("bccd", SHARED / "bccd", "train", {"task": "count", "cell": "WBC"}))
    assert facts["answers"]["count"][0] == {"answer": "1", "count": 194, "share": 0.9557}


def test_describe_reads_sizes_from_headers_and_counts_patients(tmp_path):
    png(tmp_path / "a.png", (40, 30))
    (tmp_path / "b.png").write_bytes(b"no image")
    samples = [
        make_sample(
            id=name, data_source="t", question="?", images=[{"path": name}], ground_truth="no", kind="yes_no", split="s",
            patient_id=patient,
        )
        for name, patient in (("a.png", "p1"), ("b.png", "p1"), ("a.png", "p2"))
    ]  # fmt: skip
    write_parquet(samples, tmp_path / "t.parquet")
    facts = describe(load("parquet", tmp_path, "t.parquet", {}))
    assert facts["image_sizes"]["common"] == {"40 x 30": 2, "0 x 0": 1}  # 0 x 0: cannot be read
    assert (facts["images"], facts["patients"]) == (2, 2)
