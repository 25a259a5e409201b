"""Bootstrap intervals: how far a held-out mean can be trusted."""

from collections.abc import Sequence

import numpy as np


def bootstrap_interval(values: Sequence[float], resamples: int = 2000, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean; one value per question (the mean of its attempts), seed fixed.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    >>> bootstrap_interval([1.0, 1.0, 1.0])
    (1.0, 1.0)
    """
    data = np.asarray(values, dtype=np.float64)
    picks = np.random.default_rng(0).integers(0, len(data), (resamples, len(data)), dtype=np.int32)
    means = data[picks].mean(1)  # (resamples,)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
