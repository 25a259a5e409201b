"""Reward looking while few attempts of the group look: Pixel-Reasoner's curiosity bonus and what its actions cost.

A group reward: it sees all attempts at one question. Weight 1 beside an answer of weight 1 is the published sum.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from medrl.rollout.confirmed import looks

EXAMPLE = {  # no look in the whole group, so none earns or costs anything
    "ground_truth": "B",
    "extra_info": {
        "kind": "choice",
        "options": {"A": "MRI", "B": "CT", "C": "X-ray"},
        "rollout": {
            "turns": ["<tool_call>{}</tool_call>", "<answer>B</answer>"],
            "asked": [True, False],
            "image_sizes": [[640, 480]],
            "actions": [],
            "refused": 0,
            "end_reason": "eos",
        },
    },
    "right": "<think>The bone is dense.</think><answer>B</answer>",
    "wrong": "<think>The bone is dense.</think><answer>C</answer>",
}


def compute_group_scores(
    group: Sequence[Mapping[str, Any]], bonus: float = 0.5, cost: float = 0.05, rate: float = 0.3, free: int = 1
) -> list[dict[str, float]]:
    """bonus x max(rate - share, 0) for each attempt that looked, plus cost x min(free - actions, 0).

    `share`: of the group's attempts that looked. A look is a confirmed action that shows something new, so a malformed
    action, the whole picture and a region seen before earn no bonus; every confirmed action costs. Source: arXiv
    2505.15966 with its constants alpha, beta, H, N.

    >>> look = {"tool": "zoom", "box_px_original": [0, 0, 9, 9]}
    >>> acting = {"extra_info": {"rollout": {"actions": [look], "image_sizes": [[90, 90]]}}}
    >>> [round(one["score"], 3) for one in compute_group_scores([acting] + [{"extra_info": {}}] * 9)][:2]
    [0.1, 0.0]
    """
    records = [one["extra_info"].get("rollout") or {"actions": []} for one in group]
    looked = [bool(record["actions"] and looks(record)) for record in records]
    share = sum(looked) / len(group)
    return [
        {
            "score": bonus * max(rate - share, 0.0) * look + cost * min(free - len(record["actions"]), 0),
            "share": share,
        }
        for look, record in zip(looked, records)
    ]
