"""Boxes: overlap is exact where a hand can compute it, and nothing a model writes can crash or fool it."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.vision.boxes import (
    box_area,
    box_from_xywh,
    clip_box,
    giou,
    iou,
    is_box,
    pixel_box,
)

NAN, INF = float("nan"), float("inf")
WHOLE = (0, 0, 10, 10)
edges = st.floats(-1e4, 1e4)


@pytest.mark.parametrize(
    ("box_a", "box_b", "expected"),
    [
        (WHOLE, WHOLE, 1.0),
        (WHOLE, (5, 0, 15, 10), 50 / 150),
        (WHOLE, (5, 5, 15, 15), 25 / 175),
        (WHOLE, (2, 2, 4, 4), 4 / 100),
        (WHOLE, (10, 0, 20, 10), 0.0),  # edges touch
        (WHOLE, (40, 40, 50, 50), 0.0),
        ((0.5, 0.5, 1.5, 1.5), (1.0, 0.5, 2.0, 1.5), 0.5 / 1.5),  # no +1: edges lie between pixels
    ],
)
def test_iou_table(box_a, box_b, expected):
    assert iou(box_a, box_b) == pytest.approx(expected, abs=1e-12)
    assert iou(box_b, box_a) == iou(box_a, box_b)


@pytest.mark.parametrize(
    "no_box",
    [
        (10, 10, 0, 0),
        (10, 0, 0, 10),
        (3, 3, 3, 8),
        (3, 3, 3, 3),
        (0, 0, NAN, 10),
        (NAN, NAN, NAN, NAN),
        (0, 0, INF, 10),
        (-INF, -INF, INF, INF),
        (0, 0, 10**400, 10),  # JSON integers have no upper bound, floats have
        (0, 0, 10),
        (0, 0, 10, 10, 10),
        (),
        ("a", "b", "c", "d"),
        (None, 0, 10, 10),
    ],
)
def test_no_box_scores_zero_and_never_raises(no_box):
    assert not is_box(no_box)
    assert box_area(no_box) == 0.0
    assert iou(no_box, WHOLE) == iou(WHOLE, no_box) == iou(no_box, no_box) == 0.0
    assert pixel_box(no_box, 10, 10) is None


def test_a_huge_box_cannot_overflow_into_a_reward():
    assert iou((-1e300, -1e300, 1e300, 1e300), (-1e300, -1e300, 1e300, 1e300)) == 0.0
    assert iou((0, 0, 1e-200, 1e-200), (0, 0, 1e-200, 1e-200)) == 0.0


@given(st.tuples(edges, edges, edges, edges), st.tuples(edges, edges, edges, edges))
def test_iou_is_a_symmetric_fraction(box_a, box_b):
    assert 0.0 <= iou(box_a, box_b) <= 1.0
    assert iou(box_a, box_b) == iou(box_b, box_a)


@given(st.tuples(edges, edges, edges, edges), st.integers(1, 3000), st.integers(1, 3000))
def test_clipped_and_pixel_boxes_stay_in_the_image(box, width, height):
    left, top, right, bottom = clip_box(box, width, height)
    assert 0 <= left <= width and 0 <= right <= width and 0 <= top <= height and 0 <= bottom <= height
    pixels = pixel_box(box, width, height)
    if pixels is not None:
        left, top, right, bottom = pixels
        assert 0 <= left < right <= width and 0 <= top < bottom <= height


def test_clip_keeps_nan_so_that_it_stays_no_box():
    clipped = clip_box((NAN, 0, 5, 5), 10, 10)
    assert math.isnan(clipped[0]) and not is_box(clipped)


def test_clip_empties_a_box_outside():
    assert clip_box((20, 20, 30, 30), 10, 10) == (10.0, 10.0, 10.0, 10.0)
    assert not is_box(clip_box((20, 20, 30, 30), 10, 10))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((1.2, 2.0, 3.9, 99), (1, 2, 4, 10)),
        ((2.9999999999, 0, 5.0000000001, 1), (3, 0, 5, 1)),  # the noise of a round trip costs no pixel
        ((4.2, 4.2, 4.4, 4.4), (4, 4, 5, 5)),
        ((-8, -8, -1, -1), None),
        ((10, 0, 12, 5), None),
        ((9.9999999, 0, 12, 5), None),
    ],
)
def test_pixel_box_table(box, expected):
    assert pixel_box(box, 10, 10) == expected


def test_box_from_left_top_width_height():
    assert box_from_xywh(10, 20, 30, 40) == (10.0, 20.0, 40.0, 60.0)


def test_overlap_equals_counted_pixels_on_a_thousand_boxes():
    rng = random.Random(0)
    for _ in range(1000):
        box_a, box_b = ([rng.randint(0, 40), rng.randint(0, 30), rng.randint(0, 40), rng.randint(0, 30)] for _ in "ab")
        painted = [np.zeros((30, 40), dtype=bool) for _ in "ab"]
        for pixels, (left, top, right, bottom) in zip(painted, (box_a, box_b)):
            pixels[top:bottom, left:right] = True  # an inverted or empty box paints nothing
        union = np.logical_or(*painted).sum()
        counted = np.logical_and(*painted).sum() / union if union else 0.0
        assert iou(box_a, box_b) == pytest.approx(counted, abs=1e-6), (box_a, box_b)


@given(st.tuples(edges, edges, edges, edges), st.tuples(edges, edges, edges, edges))
def test_generalised_overlap_is_bounded_by_the_overlap(box_a, box_b):
    assert -1.0 <= giou(box_a, box_b) <= iou(box_a, box_b) or not (is_box(box_a) and is_box(box_b))
    assert giou(box_a, box_b) == pytest.approx(giou(box_b, box_a), abs=1e-12)


@pytest.mark.parametrize(
    ("box_a", "box_b", "expected"),
    [
        (WHOLE, WHOLE, 1.0),
        (WHOLE, (5, 5, 15, 15), 25 / 175 - (225 - 175) / 225),
        (WHOLE, (0, 0, 10, 5), 0.5),
        (WHOLE, (10, 0, 20, 10), 0.0),  # touching, and nothing else in the hull
        (WHOLE, (20, 0, 30, 10), -1 / 3),
        (WHOLE, (10, 0, 0, 10), -1.0),
        ((0, 0, 1e300, 1e300), WHOLE, -1.0),
    ],
)
def test_giou_table(box_a, box_b, expected):
    assert giou(box_a, box_b) == pytest.approx(expected, abs=1e-12)
