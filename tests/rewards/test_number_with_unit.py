"""The measurement reward: conversion, tolerances of the row and of the recipe, and rows that cannot be graded."""

import pytest

from medrl.plugin import load_plugin

compute_score = load_plugin("rewards/number_with_unit.py", "compute_score").target
STENT = {"value": 6.4, "unit": "cm", "rel_tol": 0.05}


def _score(answer: str, ground_truth: object = STENT, **kwargs: float) -> dict[str, float]:
    return compute_score("test", f"<answer>{answer}</answer>", ground_truth, **kwargs)


@pytest.mark.parametrize(
    ("answer", "ground_truth", "score", "answered"),
    [
        ("6.4 cm", STENT, 1, 1), ("64 mm", STENT, 1, 1), ("0.064 m", STENT, 1, 1), ("2.52 in", STENT, 1, 1), ("64 cm", STENT, 0, 1),
        ("6.72 cm", STENT, 1, 1), ("6.7201 cm", STENT, 0, 1), ("6.08 cm", STENT, 1, 1), ("6.07 cm", STENT, 0, 1),
        ("6.4 kg", STENT, 0, 1), ("64 px", STENT, 0, 1), ("6.4", STENT, 0, 0), ("-6.4 cm", STENT, 0, 1), ("6-7 cm", STENT, 0, 0),
        ("180 deg", {"value": 3.14159265, "unit": "rad", "rel_tol": 1e-6}, 1, 1),
        ("5 cm3", {"value": 5, "unit": "mL", "rel_tol": 0}, 1, 1), ("5000 mm3", {"value": 5, "unit": "cc", "rel_tol": 0}, 1, 1),
        ("2 min", {"value": 120, "unit": "s", "rel_tol": 0}, 1, 1), ("500 µL", {"value": 0.5, "unit": "mL", "rel_tol": 0}, 1, 1),
        ("-40 HU", {"value": -40, "unit": "HU"}, 1, 1), ("40 HU", {"value": -40, "unit": "HU"}, 0, 1),
        ("0 HU", {"value": 0, "unit": "HU"}, 1, 1), ("1 HU", {"value": 0, "unit": "HU"}, 0, 1),
        ("45 %", {"value": 45, "unit": "deg"}, 0, 1), ("0.45 rad", {"value": 45, "unit": "%"}, 0, 1),
        ("60 bpm", {"value": 1, "unit": "s"}, 0, 1), ("0.1 g", '{"value": 100, "unit": "mg"}', 1, 1),
    ],
)  # fmt: skip
def test_scores(answer, ground_truth, score, answered):
    assert _score(answer, ground_truth) == {"score": score, "answered": answered}


def test_tolerances_of_the_recipe_and_of_the_row():
    bare = {"value": 100, "unit": "mm"}
    assert _score("104 mm", bare)["score"] == 1.0
    assert _score("104 mm", bare, rel_tol=0.01)["score"] == 0.0
    assert _score("104 mm", bare, rel_tol=0.0, abs_tol=4)["score"] == 1.0
    assert _score("10.41 cm", bare, rel_tol=0.0, abs_tol=4)["score"] == 0.0
    assert _score("104 mm", {**bare, "rel_tol": 0.01}, rel_tol=0.5)["score"] == 0.0
    assert _score("104 mm", {**bare, "rel_tol": None, "abs_tol": None})["score"] == 1.0


@pytest.mark.parametrize(
    "ground_truth",
    [
        None, "6.4 cm", 6.4, {}, {"value": 6.4}, {"unit": "cm"}, {"value": 6.4, "unit": "px"}, {"value": "x", "unit": "cm"}, "[",
        {"value": float("nan"), "unit": "cm"}, {"value": 6.4, "unit": "cm", "rel_tol": -1},
    {"value": 6.4, "unit": "cm", "abs_tol": "x"},
    ],
)  # fmt: skip
def test_a_faulty_row_is_an_error(ground_truth):
    with pytest.raises(ValueError, match="ground_truth is"):
        _score("6.4 cm", ground_truth)
