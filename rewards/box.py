"""Score one box by its overlap with the right one, in pixels of the image; nothing is rescaled or swapped."""

from collections.abc import Mapping, Sequence
from typing import Any

from medrl.dialogue.answers import read_box
from medrl.scoring.truth import image_size, right_box
from medrl.vision.boxes import clip_box, iou

EXAMPLE = {
    "ground_truth": [40, 60, 140, 160],
    "extra_info": {"kind": "box", "image_size": [640, 480]},
    "right": "<think>A nodule at the upper left.</think><answer>[40, 60, 140, 160]</answer>",
    "wrong": "<think>A nodule at the lower right.</think><answer>[400, 300, 500, 400]</answer>",
}


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Sequence[float] | str,
    extra_info: Mapping[str, Any] | None = None,
    threshold: float | None = None,
) -> dict[str, float]:
    """Intersection over union of the one box the reply names, clipped to the image, and the right box.

    `ground_truth`: x1, y1, x2, y2 in pixels, or that as JSON. `extra_info["image_size"]`: width and height of the image
    these pixels belong to. With `threshold` the score is 1.0 from that overlap on, else 0.0. An inverted, empty or
    outside box is answered and scores 0. Raises ValueError when the row lacks a size or a box inside it.

    >>> row = {"image_size": [640, 480]}
    >>> compute_score("polyp", "<answer>[40, 60, 140, 160]</answer>", [40, 60, 140, 110], row)
    {'score': 0.5, 'answered': 1.0}
    >>> compute_score("polyp", "<answer>top left</answer>", "[40, 60, 140, 110]", row, threshold=0.5)
    {'score': 0.0, 'answered': 0.0}
    """
    width, height = image_size(extra_info)
    right = right_box(ground_truth, width, height)
    named = read_box(solution_str)
    overlap = 0.0 if named is None else iou(clip_box(named, width, height), right)
    score = overlap if threshold is None else float(overlap > 0 and overlap >= threshold)
    return {"score": score, "answered": float(named is not None)}
