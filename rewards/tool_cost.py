"""What acting costs: every confirmed action beyond the free ones, the useless ones included. Give it a small weight."""

from collections.abc import Mapping
from typing import Any


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    free: int = 1,
) -> dict[str, float]:
    """min(free - actions, 0): Pixel-Reasoner's penalty, which weighs it 0.05 with one free action (arXiv 2505.15966).

    >>> compute_score("x", "", "", {"rollout": {"actions": [{}, {}, {}]}})
    {'score': -2.0, 'actions': 3.0}
    >>> compute_score("x", "", "")["score"]
    0.0
    """
    actions = len(((extra_info or {}).get("rollout") or {}).get("actions", ()))
    return {"score": float(min(free - actions, 0)), "actions": float(actions)}
