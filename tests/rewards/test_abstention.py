"""Abstention: worth between wrong and right, so that answering pays exactly above the threshold; unanswerable rows."""

import numpy as np
import pytest

from medrl.plugin import load_plugin

compute_score = load_plugin("rewards/abstention.py", "compute_score").target
OPTIONS = {"options": {"A": "MRI", "B": "CT"}}
DECLINED = "<think>blurred</think><answer>It cannot be determined.</answer>"


def graded(reply, ground_truth="B", row=OPTIONS, **kwargs):
    found = compute_score("test", reply, ground_truth, row, **kwargs)
    assert set(found) == {"score", "answered", "abstained"}
    return tuple(found.values())


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("<answer>B</answer>", (1.0, 1.0, 0.0)),
        ("<answer>A</answer>", (0.0, 1.0, 0.0)),
        (DECLINED, (0.3, 1.0, 1.0)),
        ("<answer>cannot be determined, likely B</answer>", (1.0, 1.0, 0.0)),  # a hedge around an answer
        ("<answer>A or B</answer>", (0.0, 0.0, 0.0)),
        ("<answer>B</answer><answer>cannot be determined</answer>", (0.0, 0.0, 0.0)),
        (
            "<answer>the doctor said it cannot be determined before, I looked again and cannot say more</answer>",
            (0.0, 0.0, 0.0),
        ),
        ("<think>cannot be determined", (0.0, 0.0, 0.0)),
        ("", (0.0, 0.0, 0.0)),
    ],
)
def test_an_answerable_row(reply, expected):
    assert graded(reply) == expected
    assert graded(reply, row={**OPTIONS, "answerable": True}) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (DECLINED, (1.0, 1.0, 1.0)),
        ("<answer>B</answer>", (0.0, 1.0, 0.0)),
        ("", (0.0, 0.0, 0.0)),
        ("<think>x", (0.0, 0.0, 0.0)),
    ],
)
@pytest.mark.parametrize("answerable", [False, 0, np.bool_(False)])
def test_a_row_that_cannot_be_answered(reply, expected, answerable):
    assert graded(reply, None, {**OPTIONS, "answerable": answerable}) == expected


def test_an_option_that_declines_is_an_answer_like_the_others():
    row = {"options": '{"A": "MRI", "B": "Cannot be determined"}'}
    assert graded(DECLINED, "B", row) == (1.0, 1.0, 0.0) and graded("<answer>B</answer>", "B", row) == (1.0, 1.0, 0.0)
    assert graded(DECLINED, "A", row) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.9])
def test_answering_pays_exactly_where_the_chance_of_being_right_is_above_the_threshold(threshold):
    right, wrong, declined = (
        graded(reply, threshold=threshold)[0] for reply in ("<answer>B</answer>", "<answer>A</answer>", DECLINED)
    )
    assert wrong < declined < right
    for chance in np.linspace(0, 1, 401):
        answering = chance * right + (1 - chance) * wrong
        if abs(chance - threshold) > 1e-9:
            assert (answering > declined) == (chance > threshold)


def test_other_kinds_and_other_phrases():
    assert compute_score("x", "<answer>3</answer>", "3", answer="rewards/count.py")["score"] == 1.0
    assert (
        compute_score("x", "<answer>poor image</answer>", "3", answer="rewards/count.py", phrases=["poor image"])[
            "abstained"
        ]
        == 1.0
    )


@pytest.mark.parametrize("threshold", [0, 1, -0.1, 2])
def test_a_threshold_outside_0_to_1_is_an_error(threshold):
    with pytest.raises(ValueError, match="expected a chance between 0 and 1"):
        graded("<answer>B</answer>", threshold=threshold)


@pytest.mark.parametrize("answerable", ["no", "false", 2, [False]])
def test_a_flag_that_is_none_is_an_error(answerable):
    with pytest.raises(ValueError, match=r'extra_info\["answerable"\] is .* expected true or false'):
        graded(DECLINED, row={**OPTIONS, "answerable": answerable})
