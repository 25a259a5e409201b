"""One-to-one matching finds the most pairs, and the matrices agree with the scalar geometry to the last digit."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.vision import matching
from medrl.vision.boxes import iou
from medrl.vision.matching import distance_matrix, f1, iou_matrix, pairs

edge = st.one_of(st.integers(-3, 12), st.sampled_from([math.nan, math.inf, -math.inf, 1e300, -1e300, 1e-200]))
boxes = st.lists(st.tuples(edge, edge, edge, edge), max_size=5)


@given(boxes, boxes)
def test_the_matrix_is_the_scalar_overlap_of_every_pair(predicted, true):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "FEW", -1)
        overlaps = iou_matrix(predicted, true)
    assert overlaps.shape == iou_matrix(predicted, true).shape == (len(predicted), len(true))
    assert np.allclose(overlaps, iou_matrix(predicted, true), atol=1e-12)
    for (row, a), (column, b) in itertools.product(enumerate(predicted), enumerate(true)):
        assert math.isclose(overlaps[row, column], iou(a, b), abs_tol=1e-12), (a, b)


@given(st.integers(0, 5), st.integers(0, 5), st.data())
def test_no_other_matching_has_more_pairs(predicted, true, data):
    fits = np.array(
        data.draw(
            st.lists(st.lists(st.booleans(), min_size=true, max_size=true), min_size=predicted, max_size=predicted)
        )
    ).reshape(predicted, true)
    found = pairs(fits)
    assert all(fits[pair] for pair in found)
    assert len({row for row, _ in found}) == len({column for _, column in found}) == len(found)
    tall = fits if predicted >= true else fits.T
    most = max(
        (sum(tall[row, column] for column, row in enumerate(chosen))
         for chosen in itertools.permutations(range(tall.shape[0]), tall.shape[1])),
        default=0,
    )  # fmt: skip
    assert len(found) == most


def test_distances_are_measured_along_both_axes():
    assert distance_matrix([(0, 0), (3, 4)], [(3, 4)], (1, 2)).tolist() == [[math.hypot(3, 8)], [0.0]]
    assert distance_matrix([], [(1, 2)]).shape == (0, 1)
    assert pairs(distance_matrix([(math.nan, 0), (1e308, 0)], [(0, 0)]) <= 10) == []


def test_f1_of_nothing():
    assert (f1(0, 0, 0), f1(0, 3, 0), f1(0, 0, 3), f1(3, 3, 3)) == (1.0, 0.0, 0.0, 1.0)
