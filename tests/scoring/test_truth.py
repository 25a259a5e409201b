"""What a row says of places: every way parquet hands it over is read, and a faulty row says what is wrong with it."""

import doctest

import numpy
import pytest

from medrl.scoring.parts import truth
from medrl.scoring.parts.truth import image_size, right_boxes, right_points

BOXES = [(40.0, 60.0, 140.0, 160.0), (0.0, 0.0, 9.0, 9.0)]


@pytest.mark.parametrize(
    "given", [BOXES, "[[40, 60, 140, 160], [-3, 0, 9, 9]]", numpy.array(BOXES), [numpy.array(box) for box in BOXES]]
)
def test_right_boxes(given):
    assert right_boxes(given, 640, 480) == BOXES


def test_nothing_to_find():
    for given in ([], "[]", (), numpy.array([])):
        assert right_boxes(given, 640, 480) == right_points(given) == []


@pytest.mark.parametrize(
    "given",
    [None, "", "none", "{}", {}, 3, [1, 2, 3, 4],
     [[1, 2, 3]], [[3, 2, 1, 4]], [[900, 2, 990, 4]], [[1, 2, "x", 4]], "[[1, 2, NaN, 4]]"],
)  # fmt: skip
def test_other_boxes_are_an_error(given):
    with pytest.raises(ValueError, match=r"ground_truth is .*; expected"):
        right_boxes(given, 640, 480)


@pytest.mark.parametrize(
    "given", [None, "", [1, 2], [[1]], [[1, 2, 3]], [[1, float("nan")]], [["a", "b"]], "[[1, 1e999]]"]
)
def test_other_points_are_an_error(given):
    with pytest.raises(ValueError, match=r"ground_truth is .*; expected"):
        right_points(given)


@pytest.mark.parametrize("size", [None, [640], [640, 0], [640, float("inf")], "640x480", {"width": 640}])
def test_another_image_size_is_an_error(size):
    with pytest.raises(ValueError, match="expected the width and height in pixels"):
        image_size({"image_size": size})


@pytest.mark.parametrize("module", [truth], ids=lambda module: module.__name__)
def test_doctests(module):
    found = doctest.testmod(module)
    assert found.attempted and not found.failed
