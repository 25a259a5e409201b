"""What an action costs that was not done: one that cannot be read, names no tool there is, or is refused."""

from collections.abc import Mapping
from typing import Any

EXAMPLE = {  # one refused action costs the same whatever the answer
    "ground_truth": "B",
    "extra_info": {
        "kind": "choice",
        "options": {"A": "MRI", "B": "CT", "C": "X-ray"},
        "rollout": {
            "turns": ["<tool_call>{}</tool_call>", "<answer>B</answer>"],
            "asked": [True, False],
            "image_sizes": [[640, 480]],
            "actions": [],
            "refused": 1,
            "end_reason": "eos",
        },
    },
    "right": "<think>The bone is dense.</think><answer>B</answer>",
    "wrong": "<think>The bone is dense.</think><answer>C</answer>",
}


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """-1 for each such action; verl's zoom tool weighs it 0.05. What the last turn allowed asks for is never tried.

    >>> compute_score("x", "", "", {"rollout": {"refused": 2}})
    {'score': -2.0}
    >>> compute_score("x", "<tool_call>{}</tool_call>", "")
    {'score': 0.0}
    """
    refused = ((extra_info or {}).get("rollout") or {}).get("refused", 0)
    return {"score": -float(refused) if refused else 0.0}
