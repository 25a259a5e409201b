"""Whether stated confidence can be trusted: calibration error, and what is risked at each share of questions answered."""

from collections.abc import Sequence

import numpy as np

from medrl.rollout.types import Rollout


def calibration_error(confidences: Sequence[float], right: Sequence[float], bins: int = 10) -> float:
    """Expected calibration error: the mean over bins of |share right - mean confidence|, weighted by how many fall in each.

    Bins are equally wide and hold their upper edge; 0 belongs to the first. Source: Naeini et al. (2015), Guo et al. (2017).

    >>> round(calibration_error([0.9, 0.9, 0.2, 0.2], [1, 0, 0, 0]), 9)  # |0.5 - 0.9| / 2 + |0 - 0.2| / 2
    0.3
    """
    stated, truth = _arrays(confidences, right)
    place = np.clip(np.ceil(stated * bins).astype(int) - 1, 0, bins - 1)  # (n,)
    gaps = np.bincount(place, truth - stated, bins)  # per bin: its size x (share right - mean confidence)
    return float(np.abs(gaps).sum() / len(stated))


def risk_coverage(confidences: Sequence[float], right: Sequence[float]) -> tuple[list[float], list[float]]:
    """(coverage, risk) when the k surest answers are kept, k = 1 … n: k / n, and the share of them that is wrong.

    Equally sure answers cannot be told apart, so each counts as their mean: the curve does not depend on their order.
    Source: El-Yaniv & Wiener (2010); its mean is the AURC of Geifman & El-Yaniv (2017).

    >>> risk_coverage([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0])[1]
    [0.0, 0.25, 0.3333333333333333, 0.5]
    """
    stated, truth = _arrays(confidences, right)
    level = np.unique(-stated, return_inverse=True)[1]  # (n,): 0 for the surest
    wrong = np.bincount(level, 1 - truth) / np.bincount(level)  # per level
    kept = np.arange(1, len(stated) + 1)
    return (kept / len(stated)).tolist(), (np.cumsum(wrong[np.sort(level)]) / kept).tolist()


def calibration_metrics(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """`calibration/NAME/…` of every reward that returns `stated`, `confidence` and `right`: over the replies that state one.

    `error` and `risk_area` (AURC), and `stated`, the share of replies they are about.
    """
    found = {}
    names = {name.removesuffix("/stated") for one in rollouts for name in one.scores if name.endswith("/stated")}
    for name in sorted(names):
        scores = [one.scores for one in rollouts if {f"{name}/confidence", f"{name}/right"} <= one.scores.keys()]
        stated = [score for score in scores if score.get(f"{name}/stated")]
        if not scores:
            continue
        found[f"calibration/{name}/stated"] = len(stated) / len(scores)
        if stated:
            given = [score[f"{name}/confidence"] for score in stated], [score[f"{name}/right"] for score in stated]
            found[f"calibration/{name}/error"] = calibration_error(*given)
            found[f"calibration/{name}/risk_area"] = float(np.mean(risk_coverage(*given)[1]))
    return found


def _arrays(confidences: Sequence[float], right: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    stated, truth = np.asarray(confidences, np.float64), np.asarray(right, np.float64)
    if stated.shape != truth.shape or stated.ndim != 1 or not len(stated) or not ((stated >= 0) & (stated <= 1)).all():
        raise ValueError(
            f"{stated.shape} confidences and {truth.shape} answers; expected one from 0 to 1 for each, at least one."
        )
    return stated, truth
