"""Score all boxes a reply names against all right ones: F1 under one-to-one matching; [] is an answer of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

from medrl.dialogue.answers import read_boxes
from medrl.scoring.parts.truth import image_size, right_boxes
from medrl.vision.boxes import clip_box
from medrl.vision.matching import f1, iou_matrix, pairs

EXAMPLE = {
    "ground_truth": [[40, 60, 140, 160], [300, 200, 380, 260]],
    "extra_info": {"kind": "boxes", "image_size": [640, 480]},
    "right": "<think>Two nodules.</think><answer>[[40, 60, 140, 160], [300, 200, 380, 260]]</answer>",
    "wrong": "<think>Two nodules.</think><answer>[[40, 60, 140, 160], [10, 300, 80, 360]]</answer>",
}


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Sequence[Sequence[float]] | str,
    extra_info: Mapping[str, Any] | None = None,
    threshold: float = 0.5,
) -> dict[str, float]:
    """F1 = 2 TP / (named + right), in [0, 1]; TP: pairs with IoU >= `threshold` in the largest one-to-one matching.

    `ground_truth`: list of x1, y1, x2, y2 in pixels, or its JSON; [] where there is nothing to find. `extra_info["image_size"]`:
    width and height of the image these pixels belong to; boxes are clipped to it. A repeated box is one prediction more,
    an inverted, empty or outside one matches nothing. Nothing to find and nothing named is 1.0, only one of the two 0.0.
    `answered` 0 means unreadable, `empty` 1 that the reply names no box: neither is ever taken for the other.
    Raises ValueError when the row lacks a size or boxes inside it, or `threshold` is not in (0, 1].

    >>> row, answer = {"image_size": [640, 480]}, "<answer>[[40, 60, 140, 160], [40, 60, 140, 160]]</answer>"
    >>> compute_score("polyp", answer, [[40, 60, 140, 160]], row)["score"]  # the repeat costs
    0.6666666666666666
    >>> compute_score("polyp", "<answer>none</answer>", "[]", row)
    {'score': 1.0, 'answered': 1.0, 'empty': 1.0, 'named': 0.0}
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold!r}; expected the least IoU of a hit, above 0 and at most 1.")
    width, height = image_size(extra_info)
    right = right_boxes(ground_truth, width, height)
    named = read_boxes(solution_str)
    if named is None:
        return {"score": 0.0, "answered": 0.0, "empty": 0.0, "named": 0.0}
    overlaps = iou_matrix([clip_box(box, width, height) for box in named], right)
    score = f1(len(pairs(overlaps >= threshold)), len(named), len(right))
    return {"score": score, "answered": 1.0, "empty": float(not named), "named": float(len(named))}
