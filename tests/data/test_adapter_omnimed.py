"""OmniMedVQA as Med-R1 publishes it: options inline with commas in them, the answer in tags, the modality in the path."""

import json

import pytest

from medrl.data.adapters.omnimed import modality_of, read
from medrl.data.sample import Refused, Sample
from medrl.errors import MedrlError

# a record as published, its folder name shortened by nobody
CT = {
    "image": "Images/Chest CT Scan/test/adenocarcinoma_left.lower.lobe_T2_N0_M0_Ib/000139 (9).png",
    "problem": "What imaging technique is employed for obtaining this image? "
    "A)Mammogram, B)Positron emission tomography (PET), C)CT, D)Fluoroscopy",
    "solution": "<answer> C </answer>",
}
COMMAS = {
    "image": "Images/Retinal OCT-C8/test/DME/dme_test_1003.jpg",
    "problem": "What does the scan show? A)Fluid, intraretinal, B)Drusen, C)No, a normal retina",
    "solution": "<answer> A </answer>",
}
UNKNOWN = {**COMMAS, "image": "Images/Some Set/1.png"}


def write(tmp_path, records, name="mixed_test.json"):
    (tmp_path / name).write_text(json.dumps(records))
    return tmp_path


def test_published_record_becomes_a_choice(tmp_path):
    (sample,) = read(write(tmp_path, [CT]), "mixed_test.json")
    assert sample.ground_truth == "C" and sample.kind == "choice"
    assert sample.options == {
        "A": "Mammogram",
        "B": "Positron emission tomography (PET)",
        "C": "CT",
        "D": "Fluoroscopy",
    }
    assert sample.extra_info["plain_question"] == "What imaging technique is employed for obtaining this image?"
    assert sample.messages[0]["content"].endswith(
        "A) Mammogram, B) Positron emission tomography (PET), C) CT, D) Fluoroscopy"
    )
    assert sample.images == ({"path": CT["image"]},)
    assert sample.extra_info["modality"] == "CT"


def test_options_with_commas_are_not_torn(tmp_path):
    (sample,) = read(write(tmp_path, [COMMAS]), "mixed_test")  # .json may be left out
    assert list(sample.options.values()) == ["Fluid, intraretinal", "Drusen", "No, a normal retina"]


@pytest.mark.parametrize(
    ("image", "split", "modality"),
    [
        ("Images/Chest CT Scan/test/1.png", "", "CT"),
        ("Images/Retinal OCT-C8/test/DME/1.jpg", "", "OCT"),  # OCT is no CT
        ("Images/ISIC2020/ISIC_0149568.jpg", "", "dermoscopy"),
        ("Images/Diabetic Retinopathy/1.png", "", "fundus"),
        ("Images/OCT & X-Ray 2017/1.png", "", None),  # two in one name
        ("Images/OCT & X-Ray 2017/1.png", "modality/X_Ray_test.json", "X-ray"),
        ("Images/Some Set/1.png", "CT(Computed_Tomography)_test.json", "CT"),
        ("Images/Some Set/1.png", "Disease_Diagnosis_test.json", None),
        ("1.png", "", None),
    ],
)
def test_modality_is_told_by_the_path_or_not_at_all(image, split, modality):
    assert modality_of(image, split) == modality


def test_unknown_modality_is_left_out_and_refused_only_when_asked_for(tmp_path):
    write(tmp_path, [CT, COMMAS, UNKNOWN])
    assert ["modality" in item.extra_info for item in read(tmp_path, "mixed_test")] == [True, True, False]
    kept = list(read(tmp_path, "mixed_test", modality="OCT"))
    assert [type(item) for item in kept] == [Sample, Refused]
    assert kept[0].extra_info["modality"] == "OCT" and "no modality" in kept[1].reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"solution": "C"}, "is not <answer> one of A, B, C, D </answer>"),
        ({"solution": "<answer> E </answer>"}, "is not <answer> one of"),
        ({"solution": "<answer> A or B </answer>"}, "is not <answer> one of"),
        ({"problem": "What is it?"}, "no options"),
        ({"image": None}, "no image, problem or solution"),
    ],
)
def test_unusable_record_is_refused_with_its_number(tmp_path, change, reason):
    good, bad = read(write(tmp_path, [CT, {**CT, **change}]), "mixed_test")
    assert isinstance(good, Sample) and isinstance(bad, Refused)
    assert reason in bad.reason and bad.place == "mixed_test.json record 1"


def test_errors_name_what_was_looked_for(tmp_path):
    with pytest.raises(MedrlError, match=r"no train.json or train.json.json in .*it holds mixed_test.json"):
        list(read(write(tmp_path, [CT]), "train.json"))
    with pytest.raises(MedrlError, match=r"unknown modality 'PET'; expected one of CT, MRI"):
        list(read(tmp_path, "mixed_test", modality="PET"))
