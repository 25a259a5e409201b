"""Score all points a reply names against all right ones: F1 within a radius, one to one; [] is an answer of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

from medrl.dialogue.answers import read_points
from medrl.scoring.parts.truth import pixel_spacing_mm, right_points
from medrl.vision.matching import distance_matrix, f1, pairs

EXAMPLE = {
    "ground_truth": [[30, 40], [90, 200]],
    "extra_info": {"kind": "points", "image_size": [224, 224]},
    "right": "<think>Two calcifications.</think><answer>[[30, 40], [90, 200]]</answer>",
    "wrong": "<think>Two calcifications.</think><answer>[[30, 40], [200, 90]]</answer>",
}

MODES = ("f1", "medmultipoints")


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Sequence[Sequence[float]] | str,
    extra_info: Mapping[str, Any] | None = None,
    radius_px: float = 10.0,
    radius_mm: float | None = None,
    mode: str = "f1",
) -> dict[str, float]:
    """F1 = 2 TP / (named + right), in [0, 1]; TP: pairs at most a radius apart in the largest one-to-one matching.

    `ground_truth`: list of x, y in pixels, or its JSON; [] where there is nothing to find. The radius is `radius_px`, or
    `radius_mm` by the row's `extra_info["pixel_spacing_mm"]`, [down, across], of the image these pixels belong to. A
    repeated point is one prediction more; points are not clipped. Nothing to find and nothing named is 1.0, only one of the
    two 0.0. `answered` 0 means unreadable, `empty` 1 that the reply names no point: neither is ever taken for the other.

    mode="medmultipoints": the share of named points that lie closer than the radius to any right one, 0 where either is
    empty: "matching accuracy" of PointDetectCount's evaluate_qwen.py (https://arxiv.org/abs/2505.16647). For replication
    only: one sure point, also repeated, is worth as much as finding all. There images with an empty side leave the mean.
    Raises ValueError when the row has no list of points or no spacing that is needed, for another radius or mode.

    >>> compute_score("cells", "<answer>(38, 46) and (90, 200)</answer>", [[30, 40], [90, 200]])["score"]
    1.0
    >>> compute_score("cells", "<answer>[[30, 40], [30, 40]]</answer>", "[[30, 40], [90, 200]]")
    {'score': 0.5, 'answered': 1.0, 'empty': 0.0, 'named': 2.0}
    >>> compute_score("cells", "<answer>[[30, 40]]</answer>", [[30, 40], [90, 200]], mode="medmultipoints")["score"]
    1.0
    """
    if mode not in MODES:
        raise ValueError(f"mode={mode!r}; expected one of {', '.join(MODES)}.")
    name, radius = ("radius_px", radius_px) if radius_mm is None else ("radius_mm", radius_mm)
    if not radius > 0:
        raise ValueError(f"{name}={radius!r}; expected a distance above 0.")
    down, across = (1.0, 1.0) if radius_mm is None else pixel_spacing_mm(extra_info)
    right = right_points(ground_truth)
    named = read_points(solution_str)
    if named is None:
        return {"score": 0.0, "answered": 0.0, "empty": 0.0, "named": 0.0}
    distances = distance_matrix(named, right, (across, down))
    if mode == "f1":
        score = f1(len(pairs(distances <= radius)), len(named), len(right))
    else:
        score = float((distances.min(axis=1) < radius).mean()) if distances.size else 0.0
    return {"score": score, "answered": 1.0, "empty": float(not named), "named": float(len(named))}
