"""Score the form of the turns that act: each with a thought and an action that can be read (ViTAR's first 0.2)."""

from collections.abc import Mapping
from typing import Any

from medrl.dialogue.actions import thought_of

EXAMPLE = {
    "ground_truth": "B",
    "extra_info": {
        "kind": "choice",
        "options": {"A": "MRI", "B": "CT"},
        "rollout": {
            "turns": ["<think>there</think><tool_call>{}</tool_call>", "<answer>B</answer>"],
            "asked": [True, False],
        },
    },
    "right": "<answer>B</answer>",
    "wrong": "<answer>A</answer>",  # the turns before the answer are what is scored
}


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    share: bool = False,
) -> dict[str, Any]:
    """1.0 when there is at least one turn before the last, and each of these thinks and asks for an action, else 0.0.

    `share`: the share of the turns before the last that do so, after OpenThinkIMG. `turns`: what each turn earned,
    which stands on the last token of that turn and adds up to the score. Whether the action was done is not asked: that
    is rewards/tool.py. Source: ViTAR, arXiv 2510.10052.

    >>> record = {"turns": ["<think>there</think><tool_call>…</tool_call>", "<answer>B</answer>"], "asked": [True, False]}
    >>> compute_score("x", "<answer>B</answer>", "B", {"rollout": record})
    {'score': 1.0, 'turns': [1.0, 0.0]}
    >>> compute_score("x", "<think>there</think><tool_call>{}</tool_call>", "B")
    {'score': 0.0, 'turns': [0.0]}
    """
    record = (extra_info or {}).get("rollout")
    if not record or len(record["turns"]) < 2:
        return {"score": 0.0, "turns": [0.0]}
    acting = zip(record["turns"][:-1], record["asked"][:-1])
    formed = [bool(asked and thought_of(text)) for text, asked in acting]
    paid = formed if share or all(formed) else [False] * len(formed)
    turns = [float(one) / len(paid) for one in paid]
    return {"score": sum(paid) / len(paid), "turns": [*turns, 0.0]}
