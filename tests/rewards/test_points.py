"""The points reward: F1 within a radius, one to one; in pixels unless it is given in millimetres."""

import json

import pytest
import scipy.spatial
from hypothesis import given
from hypothesis import strategies as st

from medrl.plugin import load_plugin

compute_score = load_plugin("rewards/points.py", "compute_score").target
RIGHT = [[30, 40], [90, 200]]
points = st.lists(st.lists(st.integers(-20, 120), min_size=2, max_size=2), max_size=7)


def _graded(answer: object, right: object = RIGHT, extra: object = None, **kwargs: object) -> dict[str, float]:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return compute_score("test", f"<answer>{text}</answer>", right, extra, **kwargs)


def _score(answer: object, right: object = RIGHT, **kwargs: object) -> float:
    return _graded(answer, right, **kwargs)["score"]


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        (RIGHT, 1.0),
        ([[38, 46], [90, 200]], 1.0),  # exactly 10 px
        ([[39, 46], [90, 200]], 0.5),
        ([[30, 40]], 2 / 3),
        ([[30, 40], [30, 40]], 0.5),  # a repeat
        ([[-30, 40], [9999, 200]], 0.0),
        ([], 0.0),
        ("none", 0.0),
        ("[[30, 40, 90, 200]]", 0.0),
    ],
)
def test_scores(answer, score):
    assert _score(answer) == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize(("radius", "score"), [(9.9, 0.5), (10, 1.0)])
def test_the_radius_belongs_to_the_circle(radius, score):
    assert _score([[38, 46], [90, 200]], radius_px=radius) == score


@given(points, points)
def test_the_score_is_a_fraction_and_does_not_depend_on_the_order(named, right):
    score = _score(named, right)
    assert 0.0 <= score <= 1.0
    assert _score(named[::-1], right) == score == _score(named, right[::-1])
    assert _score(right, right) == 1.0


# apart from each other, so that no point can be right twice: then a repeat is never an honest second hit
apart = st.lists(st.tuples(st.sampled_from([0, 40, 80]), st.sampled_from([0, 40, 80])), min_size=1, unique=True)


@given(points.filter(len), apart, st.data())
def test_a_right_point_more_never_costs_and_a_repeat_never_pays(named, right, data):
    score = _score(named, right)
    assert _score([*named, data.draw(st.sampled_from(named))], right) <= score
    unmatched = [point for point in right if all(_score([one], [point]) == 0 for one in named)]
    if unmatched:
        assert _score([*named, unmatched[0]], right) > score


@given(st.text() | st.text("[](){},.0123456789-eEnaif \n\"'"))
def test_no_text_raises(text):
    for reply in (text, f"<answer>{text}</answer>"):
        assert 0.0 <= compute_score("test", reply, RIGHT)["score"] <= 1.0


@pytest.mark.parametrize("radius", [0, -1, float("nan")])
def test_another_radius_is_an_error(radius):
    with pytest.raises(ValueError, match=r"radius_px=.*above 0"):
        _score([], radius_px=radius)


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ([[30, 49], [90, 205]], 1.0),  # 9 px down, 4.5 mm each
        ([[34, 40], [90, 200]], 1.0),  # 4 px across, 4 mm
        ([[36, 40], [90, 200]], 0.5),  # 6 px across, 6 mm
        ([[30, 51], [90, 200]], 0.5),  # 11 px down, 5.5 mm
        ([[33, 48], [90, 200]], 1.0),  # exactly 5 mm
    ],
)
def test_a_radius_in_millimetres(answer, score):
    graded = _graded(answer, extra={"pixel_spacing_mm": [0.5, 1.0]}, radius_mm=5)
    assert graded["score"] == score


@pytest.mark.parametrize("spacing", [None, [0.5], [0.5, 0], [0.5, float("inf")], "half"])
def test_millimetres_need_a_spacing(spacing):
    with pytest.raises(ValueError, match=r"pixel_spacing_mm.*expected \[down, across\]"):
        _graded([], extra={"pixel_spacing_mm": spacing}, radius_mm=5)


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        (RIGHT, 1.0),
        ([[30, 40]], 1.0),  # the missed one is free
        ([[30, 40]] * 5, 1.0),  # so are repeats
        ([[30, 40], [60, 60]], 0.5),
        ([[30, 50], [90, 209.9]], 0.5),  # strictly closer than 10 px
        ([], 0.0),
        ("here", 0.0),
    ],
)
def test_the_published_metric_is_kept_with_its_faults(answer, score):
    assert _score(answer, mode="medmultipoints") == score
    assert _score("[]", [], mode="medmultipoints") == 0.0


@given(points.filter(len), points.filter(len))
def test_the_published_metric_is_the_share_of_near_nearest_neighbours(named, right):
    distances, _ = scipy.spatial.KDTree(right).query(named)  # evaluate_qwen.py asks scikit-learn for the same
    assert _score(named, right, mode="medmultipoints") == pytest.approx((distances < 10).mean())


def test_an_unknown_mode_names_the_known_ones():
    with pytest.raises(ValueError, match="mode='map'; expected one of f1, medmultipoints"):
        _score([], mode="map")
