"""Score one box by its overlap with the right one, in pixels of the image; nothing is rescaled or swapped."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from medrl.dialogue.answers import read_box
from medrl.scoring.parts.truth import image_size, right_box
from medrl.vision.boxes import clip_box, giou, iou

EXAMPLE = {
    "ground_truth": [40, 60, 140, 160],
    "extra_info": {"kind": "box", "image_size": [640, 480]},
    "right": "<think>A nodule at the upper left.</think><answer>[40, 60, 140, 160]</answer>",
    "wrong": "<think>A nodule near the middle.</think><answer>[100, 120, 200, 220]</answer>",
}

MODES = ("soft", "hard", "dynamic", "giou")
LADDER = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)  # V-Triune's thresholds, all of them
SCHEDULE = ((0.1, 0.85), (0.25, 0.95), (1.0, 0.99))  # V-Triune's: up to this share of the training, this threshold


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Sequence[float] | str,
    extra_info: Mapping[str, Any] | None = None,
    threshold: float | None = None,
    mode: str = "soft",
) -> dict[str, float]:
    """How well the one box the reply names, clipped to the image, agrees with the right box; in [0, 1].

    `ground_truth`: x1, y1, x2, y2 in pixels, or that as JSON. `extra_info["image_size"]`: width and height of the image
    these pixels belong to. An inverted, empty or outside box is answered and scores 0 in every mode.

    mode="soft": IoU (VLM-R1). With `threshold`: 1.0 from that IoU on, else 0.0.
    mode="hard": 1.0 for an IoU above 0.5, else 0.0 (MedGround-R1); with `threshold` as above.
    mode="dynamic": the IoU itself, but nothing below a threshold that rises with `extra_info["progress"]`, the share of the
        training that is over: 0.85, 0.95 from 10 % on, 0.99 from 25 % on (V-Triune, https://arxiv.org/abs/2505.18129). Without
        it the mean over all its eleven thresholds, 0.5 to 0.99 (V-Triune's "average"): the better the box, the more counts.
    mode="giou": (1 + generalised IoU) / 2, which still points the way when the boxes do not touch. Beware: a box over the
        whole image always earns at least a half.
    Raises ValueError when the row lacks a size or a box inside it, or for an unknown mode or threshold.

    >>> row = {"image_size": [640, 480]}
    >>> compute_score("polyp", "<answer>[40, 60, 140, 160]</answer>", [40, 60, 140, 110], row)
    {'score': 0.5, 'answered': 1.0}
    >>> compute_score("polyp", "<answer>top left</answer>", "[40, 60, 140, 110]", row, threshold=0.5)
    {'score': 0.0, 'answered': 0.0}
    >>> compute_score("polyp", "<answer>[40, 60, 140, 116]</answer>", [40, 60, 140, 110], row, mode="dynamic")["score"]
    0.6493506493506493
    """
    _check(mode, threshold)
    width, height = image_size(extra_info)
    right = right_box(ground_truth, width, height)
    thresholds = _thresholds(extra_info) if mode == "dynamic" else ()  # a faulty row is found whatever the reply
    named = read_box(solution_str)
    if named is None:
        return {"score": 0.0, "answered": 0.0}
    box = clip_box(named, width, height)
    overlap = iou(box, right)
    if mode == "giou":
        score = (1 + giou(box, right)) / 2  # -1 for what is no box
    elif mode == "dynamic":
        score = overlap * sum(overlap >= step for step in thresholds) / len(thresholds)
    elif threshold is not None:
        score = float(overlap > 0 and overlap >= threshold)
    else:
        score = float(overlap > 0.5) if mode == "hard" else overlap
    return {"score": score, "answered": 1.0}


def _check(mode: str, threshold: float | None) -> None:
    if mode not in MODES:
        raise ValueError(f"mode={mode!r}; expected one of {', '.join(MODES)}.")
    if threshold is not None and (mode not in ("soft", "hard") or not 0 <= threshold <= 1):
        raise ValueError(
            f"threshold={threshold!r} with mode={mode!r}; expected an IoU of 0 to 1, in the modes soft and hard."
        )


def _thresholds(extra_info: Mapping[str, Any] | None) -> tuple[float, ...]:
    """The threshold of the moment, or all where the row does not say how far the training is."""
    progress = (extra_info or {}).get("progress")
    if progress is None:
        return LADDER
    if isinstance(progress, bool) or not isinstance(progress, (int, float)) or not 0 <= progress < math.inf:
        raise ValueError(
            f'extra_info["progress"] is {progress!r}; expected the share of the training that is over, 0 to 1.'
        )
    return (next((threshold for share, threshold in SCHEDULE if progress <= share), SCHEDULE[-1][1]),)
