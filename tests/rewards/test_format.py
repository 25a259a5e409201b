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
