"""pass@k: how often at least one of k attempts is right, estimated without bias from n attempts at each question."""

import math
from collections.abc import Sequence
from typing import Any

from medrl.evaluation.intervals import bootstrap_interval


def pass_at_k(n: int, right: int, k: int) -> float:
    """1 - C(n - right, k) / C(n, k): the share of all choices of k among the n attempts that hold a right one.

    A product of min(k, right) factors in [0, 1], so that nothing overflows. Not 1 - (1 - right/n)^k, which is too low.
    Source: Chen et al. 2021 (arXiv 2107.03374), equation 1.

    >>> pass_at_k(4, 1, 2), pass_at_k(16, 0, 8), pass_at_k(16, 9, 8)
    (0.5, 0.0, 1.0)
    """
    if not (0 <= right <= n and 1 <= k <= n):
        raise ValueError(f"pass_at_k: n={n}, right={right}, k={k}; expected 0 <= right <= n and 1 <= k <= n.")
    # C(n-c, k) / C(n, k) is symmetric in k and c: either k draws miss all right ones, or the c right ones lie outside k
    draws, avoided = min(k, right), max(k, right)
    return 1.0 - math.prod((n - avoided - step) / (n - step) for step in range(min(draws, n - avoided + 1)))


def mean_pass_at_k(counts: Sequence[tuple[int, int]]) -> dict[int, dict[str, Any]]:
    """For k = 1, 2, 4, … the mean over questions with its 95 % bootstrap interval. `counts`: (attempts, right) of each.

    A question enters where it has at least k attempts; `questions` says how many have.
    """
    most = max((n for n, _ in counts), default=0)
    found = {}
    for k in (2**power for power in range(most.bit_length())):
        values = [pass_at_k(n, right, k) for n, right in counts if n >= k]
        low, high = bootstrap_interval(values)
        found[k] = {"value": sum(values) / len(values), "low": low, "high": high, "questions": len(values)}
    return found
