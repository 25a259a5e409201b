"""A right answer that took an action is worth a little less: VisionThink's efficiency penalty. Give it a small weight."""

from collections.abc import Mapping
from typing import Any

from medrl.scoring.parts.right import is_right

EXAMPLE = {  # no action was confirmed, so nothing is taken from a right answer
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


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    answer: str = "rewards/choice.py",
) -> dict[str, float]:
    """-1.0 when the answer is right and any action was confirmed, a useless one too; else 0.0. `answer`: as in tool.py.

    With weight p beside an answer of weight 1 this is (1 - p) x accuracy for attempts that act: p = 0.1 in VisionThink
    (arXiv 2507.13348), 0 in Mini-o3's recipe. It falls only on right answers, unlike tool_cost.py: where the question
    cannot be answered without a look, looking costs nothing until it succeeds.

    >>> extra = {"options": {"A": "MRI", "B": "CT"}, "rollout": {"actions": [{"tool": "zoom"}]}}
    >>> compute_score("x", "<answer>B</answer>", "B", extra)
    {'score': -1.0, 'actions': 1.0}
    >>> compute_score("x", "<answer>A</answer>", "B", extra)["score"]
    0.0
    """
    actions = len(((extra_info or {}).get("rollout") or {}).get("actions", ()))
    right = is_right(answer, data_source, solution_str, ground_truth, extra_info)
    return {"score": -1.0 if right and actions else 0.0, "actions": float(actions)}
