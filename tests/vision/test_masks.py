"""Masks are drawn pixel by pixel as counted by hand and by pycocotools, and nothing a model claims is allocated."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from medrl.vision.masks import MAX_POINTS, MAX_RUNS, as_mask, dice, draw, mask_iou, run_lengths_of

SIZE = (40, 30)  # width, height


def _drawn(value: object) -> np.ndarray:
    return draw(as_mask(value), SIZE, SIZE)


@given(st.integers(-20, 60), st.integers(-20, 50), st.integers(-20, 60), st.integers(-20, 50))
def test_a_box_is_its_pixels_and_an_inverted_one_has_none(left, top, right, bottom):
    expected = np.zeros(SIZE[::-1], dtype=bool)
    expected[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
    assert (_drawn([left, top, right, bottom]) == expected).all()


@given(st.lists(st.tuples(st.floats(-20, 60), st.floats(-20, 50)), min_size=3, max_size=3))
def test_a_triangle_is_the_pixels_whose_centre_it_holds(corners):
    (ax, ay), (bx, by), (cx, cy) = corners
    rows, columns = np.mgrid[0:30, 0:40] + 0.5
    sides = np.stack(
        [
            (bx - ax) * (rows - ay) - (by - ay) * (columns - ax),
            (cx - bx) * (rows - by) - (cy - by) * (columns - bx),
            (ax - cx) * (rows - cy) - (ay - cy) * (columns - cx),
        ]
    )
    inside = (sides > 1e-6).all(axis=0) | (sides < -1e-6).all(axis=0)
    unclear = (np.abs(sides) <= 1e-6).any(axis=0)  # a centre on a side
    drawn = _drawn([[ax, ay], [bx, by], [cx, cy]])
    assert ((drawn == inside) | unclear).all()


def test_polygons_are_joined_whatever_way_round_they_go():
    ring, back = [[0, 0], [10, 0], [10, 10], [0, 10]], [[5, 10], [5, 0], [15, 0], [15, 10]]
    for first, second in ((ring, back), (ring[::-1], back), (ring, back[::-1])):
        assert (_drawn([first, second]) == _drawn([0, 0, 15, 10])).all()
    assert (_drawn([[[0, 0], [10, 0], [10, 10], [0, 10]], ring]) == _drawn([0, 0, 10, 10])).all()


def test_every_way_to_write_a_polygon_is_the_same_mask():
    ring = [[1, 2], [20, 3], [9, 25]]
    flat = [1, 2, 20, 3, 9, 25]
    ways = [ring, flat, [ring], [flat], {"polygon": ring}, {"polygons": [ring]}, {"segmentation": [flat], "label": "x"},
            [{"mask": flat}], {"answer": {"polygon": ring}}]  # fmt: skip
    assert len({as_mask(way) for way in ways}) == 1


@pytest.mark.parametrize("seed", range(20))
def test_run_lengths_are_those_of_pycocotools(seed):
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(1, 50, 2))
    pixels = rng.random((height, width)) < rng.random()
    encoded = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
    for counts in (encoded["counts"], encoded["counts"].decode(), run_lengths_of(encoded["counts"].decode())):
        mask = as_mask({"size": [height, width], "counts": counts})
        assert (draw(mask, (width, height), (width, height)) == pixels).all()
        assert mask.is_empty == (not pixels.any())


def test_overlaps_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = (rng.random((2, 17, 23)) < 0.4).astype(np.uint8)
        encoded = [coco.encode(np.asfortranarray(pixels)) for pixels in (a, b)]
        expected = coco.iou(encoded[:1], encoded[1:], [0])[0, 0]
        found = mask_iou(a.astype(bool), b.astype(bool))
        assert found == pytest.approx(expected, abs=1e-12)
        assert dice(a.astype(bool), b.astype(bool)) == pytest.approx(2 * expected / (1 + expected), abs=1e-12)
    nothing = np.zeros((3, 3), dtype=bool)
    assert dice(nothing, nothing) == mask_iou(nothing, nothing) == 1.0


def test_a_mask_of_another_size_is_scaled_only_from_the_frame_answered_in():
    runs = {"size": [2, 4], "counts": [4, 2, 2]}  # the third of four columns
    scaled = draw(as_mask(runs), (8, 4), (4, 2))
    assert scaled.astype(int).tolist() == [[0, 0, 0, 0, 1, 1, 0, 0]] * 4
    assert not draw(as_mask(runs), (8, 4), (8, 4)).any()
    assert (draw(as_mask([2, 0, 3, 2]), (8, 4), (4, 2)) == scaled).all()


@pytest.mark.parametrize(
    "value",
    [
        None, 3, "abc", {}, [1, 2], [1, 2, 3], [[1, 2], [3, 4]], [1, 2, 3, 4, 5], [[1, 2, 3]], [[]], [[], [1, 2, 3, 4]],
        [True, 2, 3, 4], [float("nan"), 2, 3, 4], [1, 2, float("inf"), 4], [[1, 2], [3, 4], [5, "6"]], {"polygon": None},
        {"polygon": [1, 2, 3, 4], "bbox": [1, 2, 3, 4]}, [[[[[[1, 2, 3, 4]]]]]], [[0, 0]] * (MAX_POINTS + 1),
        {"size": [2, 2], "counts": [3]}, {"size": [2, 2], "counts": [5]}, {"size": [2, 2], "counts": [-1, 5]},
        {"size": [2, 2], "counts": [1.0, 3]}, {"size": [2], "counts": [2]}, {"size": [0, 0], "counts": []},
        {"size": [-2, -2], "counts": [4]}, {"size": [10**9, 10**9], "counts": [10**18]}, {"size": [2, 2]},
        {"size": "2x2", "counts": [4]}, {"size": [2, 2], "counts": "ooooooooo"}, {"size": [2, 2], "counts": "P"},
        {"size": [2, 2], "counts": "é"}, {"size": [1, MAX_RUNS + 1], "counts": [1] * (MAX_RUNS + 1)},
    ],
)  # fmt: skip
def test_what_is_no_mask_is_none(value):
    assert as_mask(value) is None


@given(st.text(st.characters(min_codepoint=40, max_codepoint=120)))
def test_no_text_of_run_lengths_raises_and_none_is_drawn_past_its_picture(text):
    mask = as_mask({"size": [5, 4], "counts": text})
    assert mask is None or (sum(mask.runs) == 20 and draw(mask, (4, 5), (4, 5)).shape == (5, 4))


def test_a_huge_claim_costs_no_memory():
    far = [[-1e300, -1e300], [1e300, -1e300], [1e300, 1e300], [-1e300, 1e300]]
    zigzag = [[(-1) ** place * 1e9, place * 30 / MAX_POINTS] for place in range(MAX_POINTS)]
    tracemalloc.start()
    try:
        assert _drawn(far).all()
        assert _drawn(zigzag).shape == (30, 40)
        assert as_mask({"size": [4096, 4097], "counts": [4096 * 4097]}) is None
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
