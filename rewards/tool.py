"""Reward looking again, where it helped: only a right answer earns it, and only for what the environment confirmed."""

from collections.abc import Mapping
from typing import Any

from medrl.rollout.confirmed import looks
from medrl.scoring.parts.right import is_right

EXAMPLE = {  # one confirmed look; only a right answer earns for it
    "ground_truth": "B",
    "extra_info": {
        "kind": "choice",
        "options": {"A": "MRI", "B": "CT", "C": "X-ray"},
        "rollout": {
            "turns": ["<tool_call>{}</tool_call>", "<answer>B</answer>"],
            "asked": [True, False],
            "image_sizes": [[640, 480]],
            "actions": [{"tool": "zoom", "source": 0, "box_px_original": [40, 60, 140, 160]}],
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
    """1.0 when the answer is right and at least one look was confirmed, else 0.0; DeepEyes weighs it 1.2.

    `answer`: the reward file that says whether the answer is right (above 0.5). A malformed action, a refused one, a
    region that was shown before and the whole picture count as no look. Source: arXiv 2505.14362, which counts image
    tags in the text instead.

    >>> extra = {"options": {"A": "MRI", "B": "CT"}}
    >>> seen = {"actions": [{"tool": "zoom", "box_px_original": [0, 0, 9, 9]}], "image_sizes": [[90, 90]]}
    >>> compute_score("x", "<answer>B</answer>", "B", {**extra, "rollout": seen})
    {'score': 1.0, 'looks': 1.0}
    >>> compute_score("x", "<tool_call>zoom</tool_call><answer>B</answer>", "B", extra)["score"]
    0.0
    """
    record = (extra_info or {}).get("rollout")
    found = len(looks(record)) if record else 0
    right = is_right(answer, data_source, solution_str, ground_truth, extra_info)
    return {"score": float(right and found > 0), "looks": float(found)}
