"""Score all points a reply names against all right ones: F1 within a radius, one to one; [] is an answer of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

from medrl.dialogue.answers import read_points
from medrl.scoring.truth import right_points
from medrl.vision.matching import distance_matrix, f1, pairs

EXAMPLE = {
    "ground_truth": [[30, 40], [90, 200]],
    "extra_info": {"kind": "points", "image_size": [224, 224]},
    "right": "<think>Two calcifications.</think><answer>[[30, 40], [90, 200]]</answer>",
    "wrong": "<think>Two calcifications.</think><answer>[[60, 80], [200, 90]]</answer>",
}


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Sequence[Sequence[float]] | str,
    extra_info: Mapping[str, Any] | None = None,
    radius_px: float = 10.0,
) -> dict[str, float]:
    """F1 = 2 TP / (named + right), in [0, 1]; TP: pairs at most `radius_px` apart in the largest one-to-one matching.

    `ground_truth`: list of x, y in pixels, or its JSON; [] where there is nothing to find. A repeated point is one
    prediction more; points are not clipped. Nothing to find and nothing named is 1.0, only one of the two 0.0.
    `answered` 0 means unreadable, `empty` 1 that the reply names no point: neither is ever taken for the other.
    Raises ValueError when the row has no list of points, or the radius is not above 0.

    >>> compute_score("cells", "<answer>(38, 46) and (90, 200)</answer>", [[30, 40], [90, 200]])["score"]
    1.0
    >>> compute_score("cells", "<answer>[[30, 40], [30, 40]]</answer>", "[[30, 40], [90, 200]]")
    {'score': 0.5, 'answered': 1.0, 'empty': 0.0, 'named': 2.0}
    """
    if not radius_px > 0:
        raise ValueError(f"radius_px={radius_px!r}; expected a distance in pixels above 0.")
    right = right_points(ground_truth)
    named = read_points(solution_str)
    if named is None:
        return {"score": 0.0, "answered": 0.0, "empty": 0.0, "named": 0.0}
    score = f1(len(pairs(distance_matrix(named, right) <= radius_px)), len(named), len(right))
    return {"score": score, "answered": 1.0, "empty": float(not named), "named": float(len(named))}
