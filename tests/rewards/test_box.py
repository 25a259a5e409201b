"""The box reward: overlap after clipping, an optional threshold, and a row without a box or a size is an error."""

import numpy
import pytest

from medrl.plugin import load_plugin

compute_score = load_plugin("rewards/box.py", "compute_score").target
RIGHT_PX = [40, 60, 140, 160]
SIZE = {"image_size": [640, 480]}


def _graded(
    answer: str, ground_truth: object = RIGHT_PX, extra_info: object = SIZE, **kwargs: object
) -> tuple[float, float]:
    graded = compute_score("test", f"<answer>{answer}</answer>", ground_truth, extra_info, **kwargs)
    assert set(graded) == {"score", "answered"}
    return graded["score"], graded["answered"]


@pytest.mark.parametrize(
    ("answer", "score", "answered"),
    [
        ("[40, 60, 140, 160]", 1.0, 1.0),
        ("[60, 80, 160, 180]", 6400 / 13600, 1.0),
        ("[0, 0, 9999, 9999]", 10000 / (640 * 480), 1.0),  # clipped to the image
        ("[-50, -50, 140, 160]", 10000 / (140 * 160), 1.0),
        ("[140, 160, 40, 60]", 0.0, 1.0),  # inverted: never swapped
        ("[40, 60, 40, 160]", 0.0, 1.0),
        ("[700, 500, 800, 600]", 0.0, 1.0),
        ("[0.06, 0.12, 0.22, 0.33]", 0.0, 1.0),  # never rescaled
        ("[40, 60, 100, 100]", 2400 / 10000, 1.0),  # never read as width and height
        ("[40, 60, 140]", 0.0, 0.0),
        ("[1, 2, 3, 4] or [5, 6, 7, 8]", 0.0, 0.0),
    ],
)
def test_scores(answer, score, answered):
    assert _graded(answer) == (pytest.approx(score, abs=1e-12), answered)


@pytest.mark.parametrize(("threshold", "score"), [(0.5, 0.0), (0.47, 1.0), (0.0, 1.0)])
def test_a_threshold_makes_the_score_hard(threshold, score):
    assert _graded("[60, 80, 160, 180]", threshold=threshold) == (score, 1.0)
    assert _graded("[140, 160, 40, 60]", threshold=threshold) == (0.0, 1.0)
    assert _graded("left", threshold=threshold) == (0.0, 0.0)


@pytest.mark.parametrize(
    "ground_truth", ["[40, 60, 140, 160]", (40.0, 60.0, 140.0, 160.0), numpy.array(RIGHT_PX), [40, 60, 140.0, "160"]]
)
def test_the_ground_truth_may_be_a_list_an_array_or_json(ground_truth):
    assert _graded("[40, 60, 140, 160]", ground_truth, {"image_size": numpy.array([640, 480])}) == (1.0, 1.0)


@pytest.mark.parametrize(
    "ground_truth",
    [
        [],
        [1, 2, 3],
        [[1, 2, 3, 4]],
        [140, 160, 40, 60],
        [40, 60, 40, 160],
        [700, 0, 800, 9],
        "40, 60",
        "{}",
        None,
        [1, 2, 3, "x"],
    ],
)
def test_a_ground_truth_that_is_no_box_is_an_error(ground_truth):
    with pytest.raises(ValueError, match="expected four numbers x1, y1, x2, y2"):
        _graded("[40, 60, 140, 160]", ground_truth)


@pytest.mark.parametrize(
    "extra_info", [None, {}, {"image_size": None}, {"image_size": [640]}, {"image_size": [640, 0]}]
)
def test_a_row_without_an_image_size_is_an_error(extra_info):
    with pytest.raises(ValueError, match="expected the width and height in pixels"):
        _graded("[40, 60, 140, 160]", extra_info=extra_info)
