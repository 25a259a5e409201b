"""COCO's average precision of one image and class whose predictions all have the same score, without a COCO file.

Equal scores leave the order of the predictions, so this rewards naming the surest first and never costs a wrong one
named last: reproduced because published rewards use it, and to be multiplied by something that counts (od_length).
"""

from collections.abc import Sequence

import numpy as np

from medrl.vision.matching import Matrix, iou_matrix

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MAX_PREDICTIONS = 100  # COCO looks at no more of an image


def average_precision(predicted: Sequence[Sequence[float]], true: Sequence[Sequence[float]]) -> float:
    """Mean over IoU 0.50:0.05:0.95 of the precision interpolated at 101 recalls, in [0, 1]; `true` holds at least one box.

    Source: `COCOeval` of pycocotools, https://cocodataset.org/#detection-eval, stats[0].

    >>> average_precision([(0, 0, 10, 10), (50, 50, 60, 60)], [(0, 0, 10, 10)])  # a wrong box behind the right one
    1.0
    """
    overlaps = iou_matrix(predicted[:MAX_PREDICTIONS], true)
    if not overlaps.size:
        return 0.0
    return float(np.mean([_at(overlaps, threshold) for threshold in IOU_THRESHOLDS]))


def greedy_hits(overlaps: Matrix, threshold: float) -> Matrix:
    """The IoU each prediction is credited with, in their order: the best truth still free, if at least `threshold`, else 0.

    >>> greedy_hits(np.array([[0.6, 0.9], [0.6, 0.9]]), 0.5).tolist()
    [0.9, 0.6]
    """
    free = overlaps.copy()
    hits = np.zeros(len(overlaps))
    for row in range(len(free)):
        best = len(free[row]) - 1 - int(free[row][::-1].argmax())  # COCO: the last of equals
        if free[row, best] >= threshold:
            hits[row] = free[row, best]
            free[:, best] = -1.0
    return hits


def _at(overlaps: Matrix, threshold: float) -> float:
    right = np.cumsum(greedy_hits(overlaps, min(threshold, 1 - 1e-10)) > 0)
    recall = right / overlaps.shape[1]
    precision = right / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]  # the best precision at this recall or a higher one
    reached = np.searchsorted(recall, RECALLS, side="left")
    return float(np.append(envelope, 0.0)[reached].mean())
