"""What acting costs: every confirmed action beyond the free ones, the useless ones included. Give it a small weight."""

from collections.abc import Mapping
from typing import Any

EXAMPLE = {  # two confirmed actions cost the same whatever the answer
    "ground_truth": "B",
    "extra_info": {
        "kind": "choice",
        "options": {"A": "MRI", "B": "CT", "C": "X-ray"},
        "rollout": {
            "turns": ["<tool_call>{}</tool_call>", "<answer>B</answer>"],
            "asked": [True, False],
            "image_sizes": [[640, 480]],
            "actions": [
                {"tool": "zoom", "source": 0, "box_px_original": [40, 60, 140, 160]},
                {"tool": "zoom", "source": 0, "box_px_original": [40, 60, 140, 160]},
            ],
            "refused": 0,
            "end_reason": "eos",
        },
    },
    "right": "<think>The bone is dense.</think><answer>B</answer>",
    "wrong": "<think>The bone is dense.</think><answer>C</answer>",
}


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
