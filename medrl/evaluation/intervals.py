"""Intervals: how far a held-out mean, or a share of right answers, can be trusted."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 5_000_000  # draws held at a time: 60 MB


def bootstrap_interval(values: Sequence[float], resamples: int = 2000, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean; one value per question (the mean of its attempts), seed fixed.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    >>> bootstrap_interval([1.0, 1.0, 1.0])
    (1.0, 1.0)
    """
    return percentile_interval(bootstrap_means(values, resamples), level)


def bootstrap_means(values: Sequence[float], resamples: int) -> NDArray[np.float64]:
    """(resamples,): means of as many values drawn with replacement, seed fixed."""
    data = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(0)
    means = np.empty(resamples)
    rows = max(1, AT_ONCE // len(data))
    for start in range(0, resamples, rows):
        stop = min(start + rows, resamples)
        picks = rng.integers(0, len(data), (stop - start, len(data)), dtype=np.int32)
        means[start:stop] = data[picks].mean(1)
    return means


def percentile_interval(means: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """The middle `level` of resampled means."""
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def wilson_interval(right: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a share of right answers; unlike the bootstrap it has a width at 0 and at n too.

    Source: Wilson, JASA 22 (1927), 209-212.

    >>> low, high = wilson_interval(0, 10)
    >>> round(low, 4), round(high, 4)
    (0.0, 0.2775)
    """
    if n < 1:
        raise ValueError(f"wilson_interval: n={n}, expected at least one answer.")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, bound = right / n, z * z / n
    centre = (share + bound / 2) / (1 + bound)
    half = z / (1 + bound) * math.sqrt(share * (1 - share) / n + bound / (4 * n))
    return max(centre - half, 0.0), min(centre + half, 1.0)
