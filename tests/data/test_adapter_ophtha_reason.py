"""MM-Retinal-Reason: paths and base64, how an answer is read, articles kept apart, and what is refused."""

import base64
import json
from pathlib import Path

import pytest

from medrl.data.adapters.ophtha_reason import read
from medrl.data.sample import Refused, Sample
from medrl.data.source import load
from medrl.data.splits import overlap
from medrl.dialogue.prompts import load_style
from medrl.errors import MedrlError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
# the keys of a record as published; texts are ours
COMPLEX = {
    "image": [base64.b64encode(PNG).decode()],
    "conversations": [
        {"from": "human", "value": "<image>\nA man of 60 lost sight in one eye. Which disease is it?"},
        {"from": "gpt", "value": "Central retinal vein occlusion"},
    ],
    "reason": "<think>Haemorrhages lie in all four quadrants.</think>",
    "pmcid": "PMC1", "title": "A case", "caption": "Fundus photograph",
}  # fmt: skip
BASIC = {
    "image": ["CFP/1.png"],
    "conversations": [
        {"from": "human", "value": "What is seen? A)Drusen, B)Exudate, hard, C)Scar, D)Haemorrhage"},
        {"from": "gpt", "value": "B"},
    ],
    "reason": "Yellow and sharp.",
}
OPTIONS = {"A": "Drusen", "B": "Exudate, hard", "C": "Scar", "D": "Haemorrhage"}


def changed(record, asked=None, said=None, **keys):
    human, gpt = (turn["value"] for turn in record["conversations"])
    turns = [{"from": "human", "value": asked or human}, {"from": "gpt", "value": said or gpt}]
    return {**record, "conversations": turns, **keys}


def all_of(tmp_path, *records):
    (tmp_path / "some.json").write_text(json.dumps(records))
    return list(read(tmp_path, "all", file="some.json"))


def test_a_complex_record_is_an_open_question_with_its_reasoning_to_imitate(tmp_path):
    (sample,) = all_of(tmp_path, COMPLEX)
    assert sample.kind == "open_short" and sample.ground_truth == "Central retinal vein occlusion"
    assert sample.images == ({"bytes": PNG},)
    assert sample.messages[0]["content"] == "<image>A man of 60 lost sight in one eye. Which disease is it?"
    assert sample.extra_info["study_id"] == "PMC1" and sample.extra_info["title"] == "A case"
    taught = load_style("ophtha_reason").demonstration(sample, sample.ground_truth)
    assert taught == [
        "<think>Haemorrhages lie in all four quadrants.</think><answer>Central retinal vein occlusion</answer>"
    ]


@pytest.mark.parametrize(
    ("asked", "said", "kind", "truth"),
    [
        (None, "B", "choice", "B"),
        (None, "<think>sharp</think><answer> B </answer>", "choice", "B"),
        (None, "B) Exudate, hard", "choice", "B"),
        (None, "Exudate, hard", "choice", "B"),
        (None, "D,B", "multi_choice", "B,D"),
        (None, "A, B, D", "multi_choice", "A,B,D"),
        ("Is there a scar?", "No", "yes_no", "no"),
        ("Drusen are yellow.", "True", "choice", "A"),
        ("Drusen are yellow.", "False", "choice", "B"),
        ("Which disease is it?", "Drusen", "open_short", "Drusen"),
    ],
)
def test_how_an_answer_is_read_follows_from_the_record(tmp_path, asked, said, kind, truth):
    (sample,) = all_of(tmp_path, changed(BASIC, asked, said))
    assert (sample.kind, sample.ground_truth) == (kind, truth)
    assert sample.options == ({"A": "True", "B": "False"} if said in ("True", "False") else None if asked else OPTIONS)


def test_pictures_come_first_or_where_the_question_names_them(tmp_path):
    two = {"image": ["a.png", "data:image/png;base64," + base64.b64encode(PNG).decode()]}
    edge = changed(BASIC, "<image>\n<image>Is the second worse?", "yes", **two)
    inside = changed(BASIC, "Before: <image> After: <image> Is it worse?", "yes", **two)
    shown = [sample.messages[0]["content"] for sample in all_of(tmp_path, edge, inside)]
    assert shown == ["<image><image>Is the second worse?", "Before: <image> After: <image> Is it worse?"]
    assert all_of(tmp_path, edge)[0].images == ({"path": "a.png"}, {"bytes": PNG})


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (["no object"], "a JSON list, expected an object"),
        ({**BASIC, "conversations": []}, "no messages (or conversations)"),
        ({**BASIC, "conversations": BASIC["conversations"][:1]}, "there is no reply of the model"),
        ({**BASIC, "conversations": BASIC["conversations"] * 2}, "2 replies, expected one question and one answer"),
        (changed(BASIC, said="E"), "the answer 'E' is none of the options A, B, C, D"),
        (changed(BASIC, said="B, E"), "none of the options"),
        (changed(BASIC, said="A) Scar"), "none of the options"),
        (changed(COMPLEX, said=" "), "ground_truth is empty"),
        (changed(BASIC, image=[7]), "image[0] is 7, expected a path or base64 text"),
        (changed(BASIC, image=["not base64!"]), "image[0] is neither a path with a suffix nor base64"),
        (changed(BASIC, "Left <image> or right <image> eye?", "yes"), "2 `<image>` but the row has 1 images"),
    ],
)
def test_an_unusable_record_is_refused_with_its_number_and_reason(tmp_path, record, reason):
    good, bad = sorted(all_of(tmp_path, BASIC, record), key=lambda one: isinstance(one, Refused))
    assert isinstance(good, Sample) and bad.place == "some.json record 1" and reason in bad.reason


def test_no_article_and_no_picture_is_in_two_splits(tmp_path):
    records = [changed(COMPLEX, pmcid=f"PMC{number // 3}", image=[f"{number}.png"]) for number in range(60)]
    records += [changed(BASIC, image=[f"{number}.png"]) for number in range(60)]  # the same pictures, no article named
    records += [["no object"]] * 20
    (tmp_path / "some.json").write_text(json.dumps(records))
    parts = {split: list(read(tmp_path, split, file="some")) for split in ("train", "val", "test")}
    samples = {split: [one for one in part if isinstance(one, Sample)] for split, part in parts.items()}
    assert sum(map(len, samples.values())) == 120 and all(samples.values())
    assert sum(map(len, parts.values())) == 140, "a refused record is told once"
    articles = {split: {int(Path(one.images[0]["path"]).stem) // 3 for one in part} for split, part in samples.items()}
    for other in ("val", "test"):
        assert not articles["train"] & articles[other]
        assert overlap(samples["train"], samples[other]) == {"images": [], "patients": [], "studies": []}
    assert {one.extra_info["split"] for one in samples["val"]} == {"val"}


def test_a_path_that_leads_out_of_the_root_is_refused(tmp_path):
    (tmp_path / "some.json").write_text(json.dumps([COMPLEX, changed(BASIC, image=["../../etc/passwd.png"])]))
    data = load("ophtha_reason", tmp_path, "all", {"file": "some"})
    assert len(data.samples) == 1 and "outside the root" in data.refused[0].reason


def test_errors_name_what_was_looked_for(tmp_path):
    with pytest.raises(MedrlError, match=r"no complex_reasoning\.json"):
        list(read(tmp_path, "train"))
    with pytest.raises(MedrlError, match="unknown split 'dev'; expected one of train, val, test, all"):
        list(read(tmp_path, "dev"))
