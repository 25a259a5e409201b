"""The yes-or-no reward: determiners and synonyms are no verdicts, and only yes and no are ground truths."""

import pytest

from medrl.plugin import load_plugin

compute_score = load_plugin("rewards/yes_no.py", "compute_score").target


@pytest.mark.parametrize(
    ("answer", "ground_truth", "score", "answered"),
    [
        ("yes", "yes", 1.0, 1.0),
        ("No.", "No", 1.0, 1.0),
        ("No.", " yes ", 0.0, 1.0),
        ("no fracture", "no", 0.0, 0.0),
        ("normal", "no", 0.0, 0.0),
        ("yes or no", "yes", 0.0, 0.0),
        ("no or yes", "yes", 0.0, 0.0),  # before "yes" no noun follows, so that "no" is a verdict too
        ("no <!-- yes -->", "yes", 0.0, 0.0),
        ("No mass, yes", "yes", 1.0, 1.0),
    ],
)
def test_scores(answer, ground_truth, score, answered):
    graded = compute_score("test", f"<answer>{answer}</answer>", ground_truth)
    assert graded == {"score": score, "answered": answered}


@pytest.mark.parametrize("ground_truth", ["maybe", "", None, "yes.", "1"])
def test_another_ground_truth_is_an_error(ground_truth):
    with pytest.raises(ValueError, match='expected "yes" or "no"'):
        compute_score("test", "<answer>yes</answer>", ground_truth)
