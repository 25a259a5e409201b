"""Score one box, or the statement that there is none to be found: silence and "none" are told apart."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from medrl.dialogue.answers import read_boxes
from medrl.scoring.parts.truth import image_size, right_box
from medrl.vision.boxes import clip_box, iou

EXAMPLE = {
    "ground_truth": [40, 60, 140, 160],  # or "none"
    "extra_info": {"kind": "box", "image_size": [640, 480]},
    "right": "<think>A nodule at the upper left.</think><answer>[40, 60, 140, 160]</answer>",
    "wrong": "<think>A nodule near the middle.</think><answer>[100, 120, 200, 220]</answer>",
}


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Sequence[float] | str | None,
    extra_info: Mapping[str, Any] | None = None,
    threshold: float | None = None,
) -> dict[str, float]:
    """IoU of the named and the right box; 1.0 where nothing is there and the reply says so, 0.0 where only one of the two holds.

    `ground_truth`: x1, y1, x2, y2 in pixels or its JSON, or "none" or [] for a negative case. `extra_info["image_size"]` and
    `threshold` as in rewards/box.py. A reply says "none", `[]`, or one box; repeats of it are the same box, several are no
    answer. `empty` 1 means that it says there is nothing, `answered` 0 that it cannot be read: a model that learns to break
    its answers is not mistaken for one that finds nothing. Weigh the negative cases (data mix or clinical cost): where most
    cases are negative, always saying "none" scores their share.
    Raises ValueError when the row lacks a size, or a box inside it, or for another threshold.

    >>> row = {"image_size": [640, 480]}
    >>> compute_score("nodule", "<answer>None.</answer>", "none", row)
    {'score': 1.0, 'answered': 1.0, 'empty': 1.0}
    >>> compute_score("nodule", "<answer>[]</answer>", "[40, 60, 140, 160]", row)
    {'score': 0.0, 'answered': 1.0, 'empty': 1.0}
    >>> compute_score("nodule", "<answer>[40, 60, 140</answer>", "none", row)
    {'score': 0.0, 'answered': 0.0, 'empty': 0.0}
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"threshold={threshold!r}; expected an IoU of 0 to 1.")
    width, height = image_size(extra_info)
    right = None if _is_negative(ground_truth) else right_box(ground_truth, width, height)
    named = read_boxes(solution_str)
    if named is None or len(set(named)) > 1:
        return {"score": 0.0, "answered": 0.0, "empty": 0.0}
    if right is None or not named:
        return {"score": float(right is None and not named), "answered": 1.0, "empty": float(not named)}
    overlap = iou(clip_box(named[0], width, height), right)
    score = overlap if threshold is None else float(overlap > 0 and overlap >= threshold)
    return {"score": score, "answered": 1.0, "empty": 0.0}


def _is_negative(ground_truth: Any) -> bool:
    """Whether the row says that there is nothing to find; a row without a ground truth says nothing of the kind."""
    if isinstance(ground_truth, str):
        if ground_truth.strip().lower() == "none":
            return True
        try:
            ground_truth = json.loads(ground_truth)
        except ValueError:
            return False
    return hasattr(ground_truth, "__len__") and not isinstance(ground_truth, str) and len(ground_truth) == 0
