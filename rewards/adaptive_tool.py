"""Look only where it is needed: the table of Chain-of-Focus (AGAR), by whether an attempt without a look solved the question.

A group reward, and the whole one: weight 1, with weight 0 for the answer's own, which is then only logged.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from medrl.dialogue.answers import format_ok
from medrl.rollout.confirmed import looks
from medrl.scoring.parts.right import is_right

EXAMPLE = {  # answered without a look
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
    group: Sequence[Mapping[str, Any]], answer: str = "rewards/choice.py", form: float = 0.1, style: str = "think"
) -> list[dict[str, float]]:
    """The score of each attempt; `direct` is one without a confirmed action.

    | the group has            | direct, right | acted, right | looked, wrong | else                       |
    |--------------------------|---------------|--------------|---------------|----------------------------|
    | a direct right answer    | 1.0           | 0.8          | 0.5           | `form` if well-formed or 0 |
    | right answers by acting  |               | 1.0          | 0.5           | `form` if well-formed or 0 |
    | no right answer          |               |              | 0.5           | `form` if well-formed or 0 |

    A lone attempt is compared with none: 1.0 right, 0.0 wrong. Actions are those the environment confirmed, and only one
    that shows something new consoles for a wrong answer; the published code counts `<tool_call>` in the text.
    `answer`: as in tool.py; `style`: of format.py. Source: arXiv 2505.15436 and its released code.

    >>> direct = {"data_source": "x", "solution_str": "<answer>3</answer>", "ground_truth": "3", "extra_info": {}}
    >>> wrong = {**direct, "solution_str": "<answer>4</answer>"}
    >>> [one["score"] for one in compute_group_scores([direct, wrong], answer="rewards/count.py")]
    [1.0, 0.0]
    """
    right = [is_right(answer, **_arguments(one)) for one in group]
    if len(group) == 1:
        return [{"score": float(right[0])}]
    records = [one["extra_info"].get("rollout") or {"actions": []} for one in group]
    acted = [bool(record["actions"]) for record in records]
    without = any(solved and not act for solved, act in zip(right, acted))
    scores = []
    for one, record, solved, act in zip(group, records, right, acted):
        if solved:
            score = 0.8 if act and without else 1.0
        elif act and looks(record):
            score = 0.5
        else:
            score = form if format_ok(one["solution_str"], style) else 0.0
        scores.append({"score": score, "direct": float(not act), "right": float(solved)})
    return scores


def _arguments(one: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one[name] for name in ("data_source", "solution_str", "ground_truth", "extra_info")}
