"""The format reward: the form of the style and nothing else."""

import pytest

from medrl.plugin import load_plugin

compute_score = load_plugin("rewards/format.py", "compute_score").target
THINK, NO_THINK = "<think>dense</think>\n<answer>B</answer>", "<answer>B</answer>"


@pytest.mark.parametrize(
    ("reply", "style", "score", "answered"),
    [
        (THINK, "think", 1.0, 1.0),
        (NO_THINK, "think", 0.0, 1.0),
        (NO_THINK, "no_think", 1.0, 1.0),
        (THINK, "no_think", 0.0, 1.0),
        ("<think>dense", "think", 0.0, 0.0),
        ("B", "think", 0.0, 1.0),
        ("<think> </think><answer>B</answer>", "think", 0.0, 1.0),
    ],
)
def test_scores(reply, style, score, answered):
    assert compute_score("test", reply, None, style=style) == {"score": score, "answered": answered}


def test_an_unknown_style_is_an_error():
    with pytest.raises(ValueError, match="expected one of think, no_think"):
        compute_score("test", THINK, None, style="xml")


@pytest.mark.parametrize(
    ("reply", "kwargs", "score"),
    [
        (THINK + "\n", {}, 1.0),
        (THINK + "\n", {"exact": "medr1"}, 0.0),
        (THINK, {"exact": "medr1"}, 1.0),
        ("<think></think><answer></answer>", {}, 0.0),
        ("<think></think><answer></answer>", {"exact": "medr1"}, 1.0),
        (THINK + THINK, {}, 0.0),
        (THINK + THINK, {"exact": "medr1"}, 1.0),
        ("\n" + NO_THINK, {"exact": "medr1", "style": "no_think"}, 1.0),
        (NO_THINK + "\n", {"exact": "medr1", "style": "no_think"}, 0.0),
        (THINK, {"exact": "medr1", "style": "no_think"}, 0.0),
        (THINK, {"mode": "graded"}, 1.0),
        ("Well: " + THINK, {"mode": "graded"}, 0.75),
        (NO_THINK, {"mode": "graded"}, 0.25),
        ("", {"mode": "graded"}, 0.0),
        ('{"answer": "B"}', {"style": "json"}, 1.0),
        ('{"answer": "B"}', {"style": "json", "keys": ["answer", "confidence"]}, 0.0),
        ('{"answer": "B"}', {"style": "json", "keys": ["answer", "confidence"], "mode": "graded"}, 2.5 / 3),
        (r"Dense, so \boxed{B}", {"style": "boxed"}, 1.0),
        (r"Dense, so \boxed{B} it is", {"style": "boxed", "mode": "graded"}, 2 / 3),
    ],
)
def test_modes_and_styles(reply, kwargs, score):
    assert compute_score("test", reply, None, **kwargs)["score"] == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize("kwargs", [{"mode": "soft"}, {"exact": "open-r1"}, {"mode": "graded", "exact": "medr1"}])
def test_another_mode_is_an_error(kwargs):
    with pytest.raises(ValueError, match="expected additive or graded"):
        compute_score("test", THINK, None, **kwargs)
