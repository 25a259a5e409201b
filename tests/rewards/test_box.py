"""The box reward: overlap after clipping, an optional threshold, and a row without a box or a size is an error."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    ("answer", "hard", "dynamic", "start", "later", "giou"),
    [
        ("[40, 60, 140, 160]", 1.0, 1.0, 1.0, 1.0, 1.0),
        ("[40, 60, 140, 110]", 0.0, 0.5 / 11, 0.0, 0.0, 0.75),  # IoU 0.5, and no area of the hull is outside
        ("[40, 60, 140, 150]", 1.0, 0.9 * 9 / 11, 0.9, 0.0, 0.95),
        ("[240, 60, 340, 160]", 0.0, 0.0, 0.0, 0.0, (1 - 1 / 3) / 2),  # a third of the hull lies between
        ("[0, 0, 640, 480]", 0.0, 0.0, 0.0, 0.0, (1 + 10000 / 307200) / 2),
        ("[140, 160, 40, 60]", 0.0, 0.0, 0.0, 0.0, 0.0),
        ("[700, 60, 800, 160]", 0.0, 0.0, 0.0, 0.0, 0.0),
        ("left", 0.0, 0.0, 0.0, 0.0, 0.0),
    ],
)
def test_the_modes(answer, hard, dynamic, start, later, giou):
    expected = {"hard": hard, "dynamic": dynamic, "giou": giou}
    for mode, score in expected.items():
        assert _graded(answer, mode=mode)[0] == pytest.approx(score, abs=1e-12), mode
    for progress, score in ((0.0, start), (0.1, start), (0.2, later), (1.0, later)):
        assert _graded(answer, extra_info={**SIZE, "progress": progress}, mode="dynamic")[0] == pytest.approx(score)


def test_the_dynamic_threshold_rises():
    row = {"image_size": [640, 480], "progress": 0.2}
    assert _graded("[40, 60, 140, 156]", extra_info=row, mode="dynamic")[0] == pytest.approx(0.96)
    assert _graded("[40, 60, 140, 156]", extra_info={**row, "progress": 0.26}, mode="dynamic")[0] == 0.0


@pytest.mark.parametrize("mode", ["soft", "hard", "dynamic", "giou"])
@given(
    st.lists(st.floats(-1e3, 1e3) | st.integers(-10, 700), min_size=4, max_size=4),
    st.tuples(st.integers(0, 600), st.integers(0, 400), st.integers(1, 40), st.integers(1, 80)),
)
def test_every_mode_is_a_fraction_and_no_box_is_worth_nothing(mode, box, right):
    truth = [right[0], right[1], right[0] + right[2], right[1] + right[3]]
    score, answered = _graded(str(box), truth, mode=mode)
    assert 0.0 <= score <= 1.0 and answered == 1.0
    if not (box[0] < box[2] and box[1] < box[3]):
        assert score == 0.0
    assert _graded(str(truth), truth, mode=mode) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("kwargs", "extra"),
    [({"mode": "loose"}, {}), ({"threshold": 2}, {}), ({"threshold": 0.5, "mode": "giou"}, {})]
    + [({"mode": "dynamic"}, {"progress": wrong}) for wrong in (-1, float("nan"), "half", True)],
)
def test_an_unknown_setting_is_an_error(kwargs, extra):
    with pytest.raises(ValueError, match="expected"):
        _graded("left", extra_info={**SIZE, **extra}, **kwargs)
