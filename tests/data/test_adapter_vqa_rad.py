"""VQA-RAD as published: overlapping splits, repeats, int answers and stray blanks are survived and told."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from medrl.data.adapters.vqa_rad import read
from medrl.data.sample import Refused, Sample, check
from medrl.data.splits import overlap
from medrl.errors import MedrlError

ROOT = Path(__file__).resolve().parents[3] / "shared" / "data" / "vqa_rad"


def samples_of(split, **options):
    return [item for item in read(ROOT, split, **options) if isinstance(item, Sample)]


def published(name):
    return json.loads((ROOT / "data_RAD" / name).read_text())


def triples(samples):
    return {(s.extra_info["image_id"], s.question.lower(), s.ground_truth.lower()) for s in samples}


@pytest.mark.parametrize(
    ("split", "options", "samples", "refused", "yes_no"),
    [
        ("train", {}, 2058, 356, 1140),
        ("train", {"closed_only": True}, 1231, 356, 1140),
        ("test", {}, 367, 0, 206),
        ("test", {"closed_only": True}, 223, 0, 206),
        ("train_disjoint", {}, 752, 118, 419),
        ("train_disjoint", {"closed_only": True}, 450, 118, 419),
    ],
)
def test_splits_give_known_numbers(split, options, samples, refused, yes_no):
    items = list(read(ROOT, split, **options))
    assert Counter(type(item) for item in items) == Counter({Sample: samples, Refused: refused})
    assert Counter(item.kind for item in items if isinstance(item, Sample))["yes_no"] == yes_no
    assert all(check(item) is None for item in items if isinstance(item, Sample))


def test_repeated_triples_are_used_once_and_told():
    items = list(read(ROOT, "train"))
    reasons = Counter(item.reason for item in items if isinstance(item, Refused))
    assert reasons == {"repeated image, question and answer": 356}
    kept = [item for item in items if isinstance(item, Sample)]
    assert len(triples(kept)) == len(kept)
    assert len(items) == len(published("trainset.json"))  # nothing is dropped silently


def test_official_train_shows_every_test_image():
    shared = overlap(samples_of("train"), samples_of("test"))
    assert len(shared["images"]) == 166 == len({s.extra_info["image_id"] for s in samples_of("test")})


def test_train_disjoint_shows_no_test_image():
    assert overlap(samples_of("train_disjoint"), samples_of("test"), image_bytes=True, root=ROOT)["images"] == []


def test_train_disjoint_holds_none_of_the_nine_triples_that_are_in_both_files():
    test = triples(samples_of("test"))
    assert len(triples(samples_of("train")) & test) == 9
    assert not triples(samples_of("train_disjoint")) & test


def test_answers_that_are_ints_become_text():
    assert sum(isinstance(record["answer"], int) for record in published("trainset.json")) == 6
    counting = [s for s in samples_of("train") if s.ground_truth in ("2", "4")]
    assert counting and all(s.kind == "open_short" for s in counting)


def test_closed_with_a_trailing_blank_is_closed():
    odd = {record["qid"] for record in published("trainset.json") if record["answer_type"] == "CLOSED "}
    found = [s for s in samples_of("train") if int(s.id.removeprefix("vqa_rad/")) in odd]
    assert len(odd) == len(found) == 2
    assert all(s.extra_info["answer_type"] == "CLOSED" for s in found)


def test_unreferenced_image_is_no_problem():
    on_disk = {path.stem for path in (ROOT / "data_RAD/images").iterdir()}
    used = {s.extra_info["image_id"].removeprefix("medpix/") for split in ("train", "test") for s in samples_of(split)}
    assert on_disk - used == {"synpic35356"}


def test_misspelt_question_types_join_the_right_ones():
    types = {s.extra_info["question_type"] for s in samples_of("train")}
    assert not types & {"PRSE", "ATRIB", "Other", "PRES, ATTRIB"}
    assert {"PRES", "ATTRIB", "OTHER", "ATTRIB, PRES"} <= types


def test_yes_no_only_where_the_answer_is_yes_or_no():
    for sample in samples_of("train"):
        assert (sample.kind == "yes_no") == (sample.ground_truth in ("yes", "no"))


def test_sample_carries_what_slices_need():
    (first, *_) = samples_of("train")
    assert first.extra_info == {
        "id": "vqa_rad/1",
        "split": "train",
        "kind": "yes_no",
        "image_id": "medpix/synpic54610",
        "organ": "HEAD",
        "question_type": "PRES",
        "answer_type": "CLOSED",
    }
    assert first.images == ({"path": "data_RAD/images/synpic54610.jpg"},)
    assert (ROOT / first.images[0]["path"]).is_file()


def test_records_without_a_field_are_refused(tmp_path):
    shutil.copytree(ROOT / "data_RAD", tmp_path / "data_RAD", ignore=shutil.ignore_patterns("images"))
    path = tmp_path / "data_RAD" / "testset.json"
    records = [
        {"question": "Is it?", "image_name": "a.jpg"},
        "text",
        {"question": "", "answer": "yes", "image_name": "a.jpg"},
    ]
    path.parent.chmod(0o755)
    path.unlink()
    path.write_text(json.dumps(records))
    assert [(type(item), item.place) for item in read(tmp_path, "test")] == [
        (Refused, f"testset.json record {number}") for number in range(3)
    ]


def test_errors_name_what_was_looked_for(tmp_path):
    with pytest.raises(MedrlError, match="unknown split 'val'; expected one of train, test, train_disjoint"):
        list(read(ROOT, "val"))
    with pytest.raises(MedrlError, match=r"lacks testset.json, trainset.json; it holds nothing"):
        list(read(tmp_path, "train"))
    (tmp_path / "testset.json").write_text("{")
    (tmp_path / "trainset.json").write_text("{}")
    with pytest.raises(MedrlError, match=r"trainset.json holds a JSON dict, expected a list"):
        list(read(tmp_path, "train"))
    with pytest.raises(MedrlError, match=r"testset.json is not readable JSON"):
        list(read(tmp_path, "test"))
