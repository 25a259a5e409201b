"""The lexicon scorer by hand, on sentences as they stand in chest reports, and against floods and templates."""

import pytest

from medrl.plugin import load_plugin

plugin = load_plugin("rewards/report.py", "compute_score")
score = plugin.target
REFERENCE = "The heart is enlarged. Small left pleural effusion. Possible pneumonia. No pneumothorax."
ALL = (
    "Enlarged cardiomediastinum, cardiomegaly, lung opacity, lung lesion, edema, consolidation, pneumonia, atelectasis, "
    "pneumothorax, pleural effusion, pleural thickening, fracture, support devices."
)


def scored(report, reference=REFERENCE, **kwargs):
    return score("x", f"<think>?</think><answer>{report}</answer>", reference, None, **kwargs)


@pytest.mark.parametrize(
    "report, right, named, needless",  # wanted: cardiomegaly, effusion, and half a pneumonia, of 14 labels
    [
        (REFERENCE, 3, 3, 0),
        ("Cardiomegaly and effusion. Pneumonia is suspected.", 3, 3, 0),
        ("Cardiomegaly and effusion, pneumonia.", 2.5, 3, 0),
        ("Cardiomegaly.", 1, 1, 0),
        ("Cardiomegaly or effusion.", 1, 2, 0),
        ("Cardiomegaly, no effusion.", 1, 1, 0),
        ("Cardiomegaly. Effusion. Pneumothorax.", 2, 3, 1),
        ("No cardiomegaly, effusion, or pneumonia.", 0, 1, 1),  # it says: no finding
        ("The lungs are clear.", 0, 1, 1),
    ],
)
def test_findings_by_hand(report, right, named, needless):
    found = scored(report)
    assert found["findings_f1"] == pytest.approx(2 * right / (named + 3))
    assert found["findings"] == pytest.approx(2 * right / (named + 3) * (1 - needless / 11))
    assert found["score"] == pytest.approx(0.8 * found["findings"] + 0.2 * found["rouge_l"])


def test_the_reference_itself_scores_one():
    assert scored(REFERENCE) == {
        "score": 1.0,
        "findings": 1.0,
        "findings_f1": 1.0,
        "absent_f1": 1.0,
        "rouge_l": 1.0,
        "answered": 1.0,
    }


@pytest.mark.parametrize(
    "normal",
    ["No acute cardiopulmonary process.", "Lungs are clear. No effusion.", "No pneumothorax. Pacemaker in place."],
)
def test_a_normal_picture(normal):
    for report in ("Normal chest.", "No pleural effusion or pneumothorax."):
        assert scored(report, normal, text=0.0)["score"] == pytest.approx(1.0 if "Pacemaker" not in normal else 2 / 3)
    assert scored("Pleural effusion.", normal)["findings"] == 0.0
    for nothing in ("", "I see a picture.", "The patient is standing."):
        assert scored(nothing, normal)["score"] == scored(nothing, normal)["answered"] == 0.0


def test_listing_every_finding_is_below_an_honest_part():
    stuffed, doubted = scored(ALL), scored("Possible " + ALL)
    assert stuffed["findings"] == 0.0 or stuffed["findings"] < 0.1
    assert max(stuffed["score"], doubted["score"]) < scored("Cardiomegaly.")["score"]


def test_a_template_of_denials_earns_nothing_where_there_is_disease():
    template = "No effusion, pneumothorax, consolidation, edema, cardiomegaly, pneumonia, or fracture."
    assert scored(template)["findings"] == 0.0


def test_what_is_said_outside_the_answer_does_not_count():
    inside = scored("Cardiomegaly.")
    assert score("x", f"<think>{ALL}</think><answer>Cardiomegaly.</answer>{ALL}", REFERENCE) == inside


@pytest.mark.parametrize("reference", ["", None, 7, "A picture.", ["Cardiomegaly."]])
def test_a_reference_without_findings_is_a_faulty_row(reference):
    with pytest.raises(ValueError, match="speaks of none of the findings"):
        scored("Cardiomegaly.", reference)


def test_the_thirteen_labels_and_no_finding():
    made = plugin.target.__globals__["knowledge"](
        "rewards/knowledge/chest_xray.yaml", plugin.target.__globals__["make_lexicon"]
    )
    assert len(made.words.names) == 14 and len(made.diseases) == 12
    for name in made.words.names[:-1]:
        assert plugin.target.__globals__["read_findings"](f"{name}.", made)[name] == 2
