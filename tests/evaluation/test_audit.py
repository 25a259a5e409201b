"""The audit finds what was planted, in the right numbers, and nothing in a clean set; on VQA-RAD what is known of it."""

from pathlib import Path

import pytest
from PIL import Image
from planted import encoded, picture, questions

from medrl.data.adapters import vqa_rad
from medrl.data.fingerprints import take_fingerprints
from medrl.data.sample import Sample, make_sample
from medrl.errors import MedrlError
from medrl.evaluation.audit import audit
from medrl.evaluation.leaks import find_leak
from medrl.evaluation.robustness import relative_robustness
from medrl.evaluation.shortcut_gate import judge
from medrl.evaluation.shortcuts import NO_IMAGE, measure, measure_within

HERE = Path()


def rules(found, split="val", fitted_on="train"):
    return {one.baseline: one for one in found if (one.split, one.fitted_on) == (split, fitted_on)}


def made(seed):
    return lambda number: encoded(picture(seed * 10_000 + number))


@pytest.fixture(scope="module")
def clean():
    return {"train": questions("train", 120, 1, image=made(1)), "val": questions("val", 60, 2, image=made(2))}


def test_a_clean_set_has_no_findings(clean):
    found = audit(clean, HERE)
    assert found.findings() == []
    assert {one.chance for one in found.shortcuts} == {0.25}
    assert [(leak.copies, leak.patients, leak.studies, leak.repeated) for leak in found.leaks] == [(0, 0, 0, 0)]
    assert [one.pictures for one in found.splits] == [120, 60]


def test_a_planted_option_prior_is_found_and_its_control_is_at_chance():
    train, val = questions("train", 200, 1, prior=0.8), questions("val", 200, 2, prior=0.8)
    found = rules(measure(train, val, "val", "train"))
    planted = sum("pneumothorax" in (sample.options or {}).values() for sample in val) / len(val)
    prior = found["option prior"]
    assert planted <= prior.accuracy <= planted + 0.12 and prior.stands_out and prior.n == 200
    assert prior.control is not None and prior.control < 0.45
    assert found[NO_IMAGE].accuracy >= planted and found[NO_IMAGE].stands_out
    assert not found["answer position"].stands_out and not found["longest option"].accuracy < planted
    within = rules(measure_within(val, "val"), "val", "other folds of val")
    assert within["option prior"].accuracy >= planted - 0.02 and within["option prior"].n == 200


def test_a_favoured_position_is_found():
    found = rules(measure(questions("train", 200, 3, first=0.6), questions("val", 200, 4, first=0.6), "val", "train"))
    assert found["answer position"].accuracy == pytest.approx(0.7, abs=0.07) and found["answer position"].stands_out
    assert not found["option prior"].stands_out and not found["longest option"].stands_out


def test_planted_copies_and_patients_are_counted():
    seen = [picture(70_000 + number) for number in range(40)]
    train = questions("train", 40, 5, image=lambda number: encoded(seen[number]))

    def shown(number):
        if number < 10:
            return encoded(seen[number])  # the very file
        if number < 16:
            return encoded(seen[number], "BMP")  # its pixels
        if number < 30:
            scale = 0.5 + number / 20
            resized = seen[number].resize((round(120 * scale), round(80 * scale)), Image.Resampling.BICUBIC)
            return encoded(resized, "JPEG", quality=50 + number)
        return encoded(picture(80_000 + number))

    val = questions(
        "val", 60, 6, image=shown, patient=lambda number: f"{'train' if number >= 55 else 'val'}-{number - 50}"
    )
    found = audit({"train": train, "val": val}, HERE)
    (leak,) = found.leaks
    assert (leak.levels, leak.copies, leak.pictures) == ({"bytes": 10, "pixels": 6, "near": 14}, 30, 60)
    assert [twins.first_name.split("/")[1] for twins in leak.twins] == [str(number) for number in range(30)]
    assert (leak.questions, leak.patients) == (30, 5)
    told = found.findings()
    assert told[0].startswith("30 of 60 pictures of val are in train too (10 the same file, 6 the same pixels, 14 ")
    assert told[1] == "5 patients are in both train and val"
    assert found.as_json()["leaks"][0]["also_in_train_by_near"] == 14


def test_repeated_and_contradicted_questions_are_counted():
    def asked(number, question, answer, seed, split):
        source = {"bytes": encoded(picture(seed))}
        return make_sample(id=f"{split}/{number}", data_source="t", question=question, images=[source],
                           ground_truth=answer, kind="yes_no", split=split, study_id=f"s{seed}")  # fmt: skip

    train = [
        asked(0, "Effusion?", "yes", 1, "train"),
        asked(1, "Mass?", "no", 2, "train"),
        asked(2, "Mass?", "yes", 2, "train"),
    ]
    val = [
        asked(0, "effusion?", "Yes", 1, "val"),
        asked(1, "Mass? ", "no", 1, "val"),
        asked(2, "Effusion?", "no", 1, "val"),
    ]
    prints, faults = take_fingerprints([*train, *val], HERE)
    leak = find_leak(train, val, prints)
    assert (leak.repeated, leak.contradicted, leak.studies, leak.copies, leak.questions, faults) == (1, 1, 1, 1, 3, [])
    assert [one.contradictions for one in audit({"train": train, "val": val}, HERE).splits] == [1, 1]


def test_an_unreadable_picture_is_told_and_equals_no_other(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = make_sample(id="b", data_source="t", question="Mass?", images=[{"path": "broken.png"}], ground_truth="yes",
                         kind="yes_no", split="train")  # fmt: skip
    found = audit({"train": [broken], "val": questions("val", 3, 1)}, tmp_path)
    assert len(found.unreadable) == 1 and found.unreadable[0].startswith("broken.png: ")
    assert found.leaks[0].copies == 0 and "1 pictures could not be read" in found.findings()[-1]


def test_mean_box_is_tried_in_shares_of_each_picture():
    def boxed(number, scale):
        box = [10 * scale, 10 * scale, 50 * scale, 50 * scale]
        return make_sample(id=str(number), data_source="t", question="Where?", images=[{"bytes": b""}], ground_truth=box,
                           kind="box", split="train", image_size=[100 * scale, 100 * scale])  # fmt: skip

    (found,) = measure([boxed(n, 1) for n in range(3)], [boxed(n, 4) for n in range(30)], "val", "train")
    assert (found.baseline, found.accuracy, found.mean_iou, found.chance) == ("mean box", 1.0, 1.0, None)
    assert found.stands_out


def test_the_gate_refuses_what_reaches_the_limit_and_says_which_rule(clean):
    train, val = questions("train", 200, 1, prior=0.8), questions("val", 100, 2, prior=0.8)
    with pytest.raises(
        MedrlError, match=r"data.max_shortcut=0.6: .*, fitted on train, answers 8.* of 100 choice questions of val"
    ):
        judge(train, val, 0.6)
    fact, warnings = judge(train, val, None)
    assert fact.startswith("option prior") and warnings == [f"shortcut: {fact}."]
    fact, warnings = judge(clean["train"], clean["val"], 0.6)
    assert "chance 25.0%" in fact and warnings == []
    few = judge(train, val[:19], 0.1)
    assert few[0] == "" and "judged nothing" in few[1][0]


def test_relative_robustness():
    assert [relative_robustness(0.5, ood) for ood in (0.5, 0.25, 0.0, 0.75)] == [1.0, 0.5, 0.0, 1.5]
    for nothing in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="above 0"):
            relative_robustness(nothing, 0.5)


def test_vqa_rad_as_published_shows_every_test_picture_and_our_split_none(shared_data):
    root = shared_data / "vqa_rad"
    splits = {
        split: [one for one in vqa_rad.read(root, split) if isinstance(one, Sample)]
        for split in ("train", "train_disjoint", "test")
    }
    prints, faults = take_fingerprints([one for samples in splits.values() for one in samples], root)
    assert (len(prints), faults) == (250, [])
    for train, copies, repeated, questions_shown in (("train", 166, 10, 367), ("train_disjoint", 0, 0, 0)):
        leak = find_leak(splits[train], splits["test"], prints)
        assert (leak.copies, leak.levels["bytes"], leak.pictures) == (copies, copies, 166)
        assert (leak.repeated, leak.questions) == (repeated, questions_shown)
