"""Pair predicted things with true ones, each at most once: the largest number of pairs, and the F1 it is worth.

Counting a prediction or a truth twice is how published detection rewards are fooled (a correct box written ten times);
one-to-one matching cannot be. Boxes are (n, 4) and points (n, 2) in one frame; what is no box matches nothing.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from medrl.vision.boxes import box_edges, iou_of_edges

FEW = 32  # pairs; up to here one by one is faster than numpy

Matrix = np.ndarray[Any, np.dtype[Any]]


def pairs(fits: Matrix) -> list[tuple[int, int]]:
    """(prediction, truth) of a maximum one-to-one matching, where `fits` (predictions, truths) is above 0.

    `fits` may hold booleans, for the most pairs, or values of at least 0, for the largest sum.

    >>> pairs(np.array([[True, True], [True, False]]))  # the greedy choice would leave the second without a partner
    [(0, 1), (1, 0)]
    """
    if not fits.size:
        return []
    if fits.size <= FEW:
        found = [
            (row, column) for row, values in enumerate(fits.tolist()) for column, fit in enumerate(values) if fit > 0
        ]
        if len({row for row, _ in found}) == len(found) == len({column for _, column in found}):
            return found  # nothing fits two: no choice to make
    rows, columns = linear_sum_assignment(fits.astype(float), maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns) if fits[row, column] > 0]


def f1(matched: int, predicted: int, true: int) -> float:
    """2 TP / (predicted + true); 1.0 where there is nothing to find and nothing was named.

    >>> f1(2, 2, 3), f1(0, 0, 0), f1(0, 1, 0)
    (0.8, 1.0, 0.0)
    """
    return 2 * matched / (predicted + true) if predicted + true else 1.0


def iou_matrix(predicted: Sequence[Sequence[float]], true: Sequence[Sequence[float]]) -> Matrix:
    """Intersection over union of every prediction with every truth, (predictions, truths) float64; as `boxes.iou`.

    >>> iou_matrix([(0, 0, 10, 10), (10, 0, 0, 10)], [(5, 0, 15, 10)]).round(3).tolist()
    [[0.333], [0.0]]
    """
    if len(predicted) * len(true) <= FEW:
        edges, true_edges = list(map(box_edges, predicted)), list(map(box_edges, true))
        overlaps = [[iou_of_edges(a, b) for b in true_edges] for a in edges]
        return np.array(overlaps, dtype=float).reshape(len(predicted), len(true))
    left, top, right, bottom = np.asarray(predicted, dtype=float).reshape(-1, 4).T[:, :, None]  # (predictions, 1) each
    true_left, true_top, true_right, true_bottom = np.asarray(true, dtype=float).reshape(-1, 4).T  # (truths,) each
    with np.errstate(all="ignore"):  # a model writes 1e300 and NaN
        wide = np.minimum(right, true_right) - np.maximum(left, true_left)  # (predictions, truths)
        high = np.minimum(bottom, true_bottom) - np.maximum(top, true_top)
        shared = np.maximum(wide, 0.0) * np.maximum(high, 0.0)
        areas, true_areas = _areas(left, top, right, bottom), _areas(true_left, true_top, true_right, true_bottom)
        union = areas + true_areas - shared
        sound = (areas > 0) & (true_areas > 0) & (union > 0)
        overlap = np.divide(shared, union, out=np.zeros_like(union), where=sound)
    return np.minimum(overlap, 1.0)


def distance_matrix(
    predicted: Sequence[Sequence[float]], true: Sequence[Sequence[float]], per_pixel: Sequence[float] = (1.0, 1.0)
) -> Matrix:
    """Distance of every prediction to every truth, (predictions, truths) float64; `per_pixel`: length of a pixel in x, y.

    >>> distance_matrix([(0, 0)], [(3, 4)]).tolist(), distance_matrix([(0, 0)], [(3, 4)], (2, 0)).tolist()
    ([[5.0]], [[6.0]])
    """
    if len(predicted) * len(true) <= FEW:
        across, down = per_pixel
        apart = [[math.hypot((a[0] - b[0]) * across, (a[1] - b[1]) * down) for b in true] for a in predicted]
        return np.array(apart, dtype=float).reshape(len(predicted), len(true))
    a = np.asarray(predicted, dtype=float).reshape(-1, 1, 2)  # (predictions, 1, 2)
    b = np.asarray(true, dtype=float).reshape(1, -1, 2)  # (1, truths, 2)
    with np.errstate(all="ignore"):
        steps = (a - b) * np.asarray(per_pixel, dtype=float)
        return np.hypot(steps[..., 0], steps[..., 1])


def _areas(left: Matrix, top: Matrix, right: Matrix, bottom: Matrix) -> Matrix:
    """0 for what is no box: inverted, empty, infinite or NaN, which compares false."""
    return np.where((left < right) & (top < bottom), (right - left) * (bottom - top), 0.0)
