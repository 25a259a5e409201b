"""Score the mask a reply names, as polygons, boxes or run lengths, by its overlap with the right mask, pixel by pixel."""

from collections.abc import Mapping
from typing import Any

from medrl.dialogue.answer_mask import read_mask
from medrl.scoring.parts.truth import image_size, right_mask
from medrl.vision.masks import dice, draw, mask_iou

EXAMPLE = {
    "ground_truth": [[[40, 60], [140, 60], [140, 160], [40, 160]]],
    "extra_info": {"kind": "mask", "image_size": [640, 480]},
    "right": '<think>Upper left.</think><answer>{"polygon": [[40, 60], [140, 60], [140, 160], [40, 160]]}</answer>',
    "wrong": '<think>Lower down.</think><answer>{"polygon": [[100, 120], [200, 120], [200, 220], [100, 220]]}</answer>',
}

MODES = {"dice": dice, "iou": mask_iou}


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    mode: str = "dice",
) -> dict[str, float]:
    """Dice or IoU (`mode`) of the named and the right mask, in [0, 1].

    `ground_truth`: polygons in pixels of an image of `extra_info["image_size"]`, [[[x, y], …], …] or COCO's [[x, y, x, …], …];
    or {"size": [height, width], "counts": run lengths or their compressed text}, in whose size the masks are then compared; or
    [] where there is nothing to find; or that as JSON. A reply names one JSON value of the same, or boxes of four numbers
    (QoQ-Med grades boxes against a mask), in pixels of `image_size`. The union counts: repeats change nothing.
    Nothing to find and nothing named is 1.0, only one of the two 0.0; `answered` 0 means unreadable, `empty` 1 nothing named.
    Raises ValueError when the row lacks a size or holds no mask, or for an unknown mode.

    >>> row, right = {"image_size": [64, 48]}, [[[0, 0], [10, 0], [10, 10], [0, 10]]]
    >>> compute_score("organ", "<answer>[[0, 0], [10, 0], [10, 5], [0, 5]]</answer>", right, row, mode="iou")
    {'score': 0.5, 'answered': 1.0, 'empty': 0.0}
    >>> compute_score("organ", "<answer>[0, 0, 10, 10]</answer>", {"size": [24, 32], "counts": [768]}, row)["score"]
    0.0
    """
    if mode not in MODES:
        raise ValueError(f"mode={mode!r}; expected one of {', '.join(MODES)}.")
    frame = image_size(extra_info)
    right = right_mask(ground_truth, frame)
    named = read_mask(solution_str)
    if named is None:
        return {"score": 0.0, "answered": 0.0, "empty": 0.0}
    if named.is_empty or not right.any():
        score = float(named.is_empty and not right.any())
    else:
        score = MODES[mode](draw(named, (right.shape[1], right.shape[0]), frame), right)
    return {"score": score, "answered": 1.0, "empty": float(named.is_empty)}
