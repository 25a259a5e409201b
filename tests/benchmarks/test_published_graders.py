"""The published graders give the values their descriptions say, worked out by hand."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import graders_compared as compared
import published_graders as published

OPTIONS = {"options": {"A": "MRI", "B": "CT"}}
FORM = "<think>x</think><answer>{}</answer>"
TWO = [[0, 0, 10, 10], [20, 0, 30, 10]]


@pytest.mark.parametrize(
    ("grader", "reply", "truth", "score"),
    [
        ("medr1", FORM.format("B"), "B", 2.0),
        ("medr1", FORM.format("B") + "\n", "B", 1.0),  # a line break at the end costs the form
        ("medr1", FORM.format("b"), "B", 1.0),
        ("medr1", FORM.format("\nB\n"), "B", 1.0),  # no answer found: the whole reply is compared
        ("medr1", "B", "B", 1.0),
        ("medr1", FORM.format("B") + FORM.format("A"), "B", 2.0),  # the first tag wins, and the form spans both
        ("medvlthinker", FORM.format("b. ct"), "B", 1.0),
        ("medvlthinker", "<answer>B</answer>", "B", 0.0),
        ("vlm_r1_mcq", FORM.format("A, then B"), "B", 1.0),
        ("mini_o3", FORM.format("I say (B)"), "B", 1.0),
        ("visual_rft_classification", "<answer></answer>", "B", 1.0),
        ("visual_rft_classification", FORM.format("X-ray"), "B", 0.0),
        ("medevalkit_choice", FORM.format("cat"), "B", 1.0),  # the most similar option is CT
        ("medevalkit_yes_no", FORM.format("normal"), "no", 1.0),
        ("medevalkit_open", FORM.format("left lung, right lung, heart"), "right heart", 1.0),  # recall
        ("qoq_med", r"\boxed{A, B}" + "x" * 600, '["A"]', 0.5 * 2 / 3 + 0.1),
        ("deepeyes", FORM.format("B"), "B", 0.8),
        ("deepeyes", "<|vision_start|><|vision_end|>" + FORM.format("B"), "B", 2.0),
        ("deepeyes", "<think>" + FORM.format("A"), "B", -0.2),
        ("verl_deepeyes", "<tool_call>{}</tool_call>" + FORM.format("B"), "B", 2.0),
        ("tb_vitar", FORM.format("A") + "nodule effusion cavity", "B", (-0.38 + 0.15 + 0.025 + 0.76) / 1.76),
        ("medvision_number", FORM.format("2 to 5"), "5", 1.0),
        ("medvision_number", FORM.format("0.2-0.5"), "0.5", 0.0),  # read as 0.2 and -0.5
        ("medvision_box", FORM.format("[0, 0, 640, 480]"), "[10, 10, 20, 20]", 1.0),
        ("medmultipoints_count", '```json\n{"counts": 3, "label": "x"}\n```', "4", 0.0),
        ("medmultipoints_count", "no JSON", "0", 1.0),  # what cannot be read counts as none
        ("medmultipoints_points", FORM.format("[[0, 0], [0, 0], [50, 50]]"), "[[3, 4], [90, 90]]", 2 / 3),
        ("medground_r1", FORM.format("[0, 0, 10, 10] [9, 9, 9, 9]"), "[0, 0, 10, 8]", 1.0),
        ("vlm_r1_iou", FORM.format("[0, 0, 10, 10]"), "[0, 0, 10, 5]", 0.5),
        ("vlm_r1_map", FORM.format("[0, 0, 10, 10]"), TWO, 51 / 101),  # recall 0.5: 51 of 101 levels
        ("vlm_r1_map", FORM.format("[]"), [], 1.0),
        ("vlm_r1_od_length", FORM.format(str(TWO + TWO)), TWO, 0.5),
        ("vlm_r1_detection", FORM.format("[0, 0, 10, 8]"), TWO, 0.7 * 0.8 + 0.3 * 0.5),
        ("visual_rft_detection", FORM.format("[0, 0, 10, 8] [50, 50, 60, 60] [0, 0, 10, 8]"), TWO, 0.4),
        ("gemex_grounding", FORM.format("[0, 0, 10, 8]"), TWO, 0.0),
        ("gemex_grounding", FORM.format("[0, 0, 10, 8] [0, 0, 10, 10]"), TWO, 0.9),
        ("qoq_med_boxes", FORM.format("[0, 0, 10, 10]"), TWO, 1.0),  # one good box
        ("dr_llava", "it may be leukaemia", "leukaemia", 1.0),
        ("dr_llava", "no idea", "leukaemia", -0.5),
    ],
)
def test_values_by_hand(grader, reply, truth, score):
    assert getattr(published, grader)("x", reply, truth, OPTIONS)["score"] == pytest.approx(score)


def test_accepts_and_rejects_are_counted_against_the_labels():
    rows = [
        {"kind": "choice", "reply": FORM.format(reply), "ground_truth": "B", "label": {"correct": correct}, **OPTIONS}
        for reply, correct in (("B", 1.0), ("b", 1.0), ("A", 0.0))
    ]
    found = compared.table(rows)["choice"]
    assert found["medr1"] == {"n": 3, "false_accepts": 0, "false_rejects": 1, "raised": 0}
    assert found["medrl"] == {"n": 3, "false_accepts": 0, "false_rejects": 0, "raised": 0}
    assert compared.table([{**rows[2], "reply": FORM.format("A or B")}])["choice"]["vlm_r1_mcq"]["false_accepts"] == 1
    (count,) = [{**rows[0], "kind": "count", "reply": FORM.format('{"counts": "x"}'), "ground_truth": 1}]
    assert compared.table([count])["count"]["medmultipoints_count"]["raised"] == 1


def test_every_grader_is_listed_under_a_kind():
    listed = {grader.__name__ for graders in published.OF_KIND.values() for grader in graders}
    public = {
        name
        for name, item in vars(published).items()
        if callable(item) and getattr(item, "__module__", "") == published.__name__
    }
    graders = {name for name in public if not name.startswith("_")}
    assert listed == graders


def test_attacks_that_win_are_listed_and_none_wins_over_medrl():
    assert compared.won("choice", published.medr1) == [
        "another answer in the thought", "decoy last", "every answer in its own tag", "nested tags"
    ]  # fmt: skip
    assert compared.won("choice", published.visual_rft_classification) is None  # A is in "Giemsa" and in "PAS"
    assert compared.won("count", compared.ours("count")) == []
