"""SLAKE: two languages that leak into each other, one empty answer, keys in any order."""

import json
from pathlib import Path

import pytest

from medrl.data.adapters.slake import read
from medrl.data.sample import Refused, Sample, check
from medrl.data.splits import overlap
from medrl.errors import MedrlError

ROOT = Path(__file__).resolve().parents[3] / "shared" / "data" / "slake"


def samples_of(split, language="en"):
    return [item for item in read(ROOT, split, language=language) if isinstance(item, Sample)]


@pytest.mark.parametrize(
    ("split", "language", "samples", "yes_no"),
    [("train", "en", 4918, 1681), ("val", "en", 1053, 358), ("train", "zh", 4916, 0), ("val", "zh", 1046, 0)],
)
def test_languages_give_known_numbers(split, language, samples, yes_no):
    found = samples_of(split, language)
    assert (len(found), sum(s.kind == "yes_no" for s in found)) == (samples, yes_no)
    assert {s.extra_info["language"] for s in found} == {language}
    assert all(check(s) is None for s in found)


def test_empty_answer_is_refused_not_taught():
    assert [item for item in read(ROOT, "train") if isinstance(item, Refused)] == [
        Refused("train.json record 1622", "the answer is empty")
    ]


def test_order_of_keys_does_not_matter():
    records = json.loads((ROOT / "Slake1.0/train.json").read_text())
    assert len({tuple(record) for record in records}) == 3  # the quirk is there
    by_id = {s.id: s for s in (*samples_of("train"), *samples_of("train", "zh"))}
    for record in records:
        if record["answer"]:
            sample = by_id[f"slake/{record['qid']}"]
            assert sample.question == record["question"].strip()
            assert sample.images == ({"path": f"Slake1.0/imgs/{record['img_name']}"},)
            assert sample.extra_info["question_type"] == record["content_type"]


def test_splits_share_no_image_inside_one_language_only():
    for language in ("en", "zh"):
        assert overlap(samples_of("train", language), samples_of("val", language))["images"] == []
    # mixing languages leaks: the Chinese train set shows the English validation images
    assert len(overlap(samples_of("train", "zh"), samples_of("val", "en"))["images"]) > 50


def test_validation_file_under_its_hugging_face_name(tmp_path):
    (tmp_path / "validation.json").write_text((ROOT / "Slake1.0/validate.json").read_text())
    assert sum(isinstance(item, Sample) for item in read(tmp_path, "val")) == 1053


def test_errors_name_what_was_looked_for():
    with pytest.raises(MedrlError, match=r"no test.json in .*Slake1.0; it holds train.json, validate.json"):
        list(read(ROOT, "test"))
    with pytest.raises(MedrlError, match="unknown language 'de'; expected one of en, zh"):
        list(read(ROOT, "train", language="de"))
