"""Published rewards for several boxes, as their authors compute them; for replication, and each with its weakness said.

For new work use rewards/boxes.py: F1 under one-to-one matching has none of these weaknesses.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from medrl.dialogue.answers import read_boxes
from medrl.scoring.parts.truth import image_size, right_boxes
from medrl.vision.average_precision import average_precision, greedy_hits
from medrl.vision.boxes import Box, clip_box
from medrl.vision.matching import iou_matrix, pairs

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
    mode: str = "od_length",
) -> dict[str, float]:
    """The reward of `mode` for the boxes the reply names, in [0, 1]; rows, clipping and entries as in rewards/boxes.py.

    vlm_r1_map: COCO's mAP, every score 1.0 (VLM-R1, https://arxiv.org/abs/2504.07615). Wrong boxes cost nothing once all
        right ones are named.
    od_length: that times min(1, right / named) (VLM-R1's odLength, its answer to the flood of boxes).
    visual_rft: sum of the IoU above 0.5 over the larger of the numbers of right and of named boxes, equal boxes counted once
        (Visual-RFT, https://arxiv.org/abs/2503.01785). A box moved by a pixel is another box; matching is in the order named.
    gemex: mean IoU under the best one-to-one matching if as many boxes are named as are right, none of them twice, else 0
        (GEMeX-ThinkVG, https://arxiv.org/abs/2506.17939, as its text describes it). Two of three right earn nothing.

    In all of them labels and confidences are not read, nothing to find and nothing named is 1.0, only one of the two 0.0.
    Raises ValueError when the row lacks a size or boxes inside it, or for an unknown mode.

    >>> row, answer = {"image_size": [640, 480]}, "<answer>[[40, 60, 140, 160], [0, 0, 9, 9]]</answer>"
    >>> [compute_score("", answer, [[40, 60, 140, 160]], row, mode)["score"] for mode in MODES]
    [1.0, 0.5, 0.5, 0.0]
    >>> compute_score("", "<answer>none</answer>", [], row)
    {'score': 1.0, 'answered': 1.0, 'empty': 1.0, 'named': 0.0}
    """
    if mode not in MODES:
        raise ValueError(f"mode={mode!r}; expected one of {', '.join(MODES)}.")
    width, height = image_size(extra_info)
    right = right_boxes(ground_truth, width, height)
    named = read_boxes(solution_str)
    if named is None:
        return {"score": 0.0, "answered": 0.0, "empty": 0.0, "named": 0.0}
    if named and right:
        score = MODES[mode]([clip_box(box, width, height) for box in named], right)
    else:
        score = float(not named and not right)
    return {"score": score, "answered": 1.0, "empty": float(not named), "named": float(len(named))}


def _od_length(named: list[Box], right: list[Box]) -> float:
    return average_precision(named, right) * min(1.0, len(right) / len(named))


def _visual_rft(named: list[Box], right: list[Box]) -> float:
    different = list(dict.fromkeys(named))
    above_half = math.nextafter(0.5, 1.0)
    hits = greedy_hits(
        iou_matrix(different, right[::-1]), above_half
    )  # reversed: of equal truths theirs takes the first
    return float(hits.sum()) / max(len(right), len(different))


def _gemex(named: list[Box], right: list[Box]) -> float:
    if len(named) != len(right) or len(set(named)) < len(named):  # a repeat would buy the right number
        return 0.0
    overlaps = iou_matrix(named, right)
    return float(sum(overlaps[pair] for pair in pairs(overlaps))) / len(right)


MODES = {"vlm_r1_map": average_precision, "od_length": _od_length, "visual_rft": _visual_rft, "gemex": _gemex}
