"""Score an answer and how sure the reply says it is: honest confidence pays most, and so does being right.

In place of the answer's reward, which can be listed with weight 0 to be logged.
"""

import math
from collections.abc import Mapping
from typing import Any

from medrl.dialogue.answer_confidence import read_confidence
from medrl.scoring.parts.right import right_and_answered

EXAMPLE = {
    "ground_truth": "B",
    "extra_info": {"kind": "choice", "options": {"A": "MRI", "B": "CT"}},
    "right": '<think>The bone is dense.</think><answer>{"answer": "B", "confidence": 0.9}</answer>',
    "wrong": '<think>The bone is dense.</think><answer>{"answer": "A", "confidence": 0.4}</answer>',
}
RULES = ("brier", "log")


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    answer: str = "rewards/choice.py",
    rule: str = "brier",
    clip: float = 0.01,
) -> dict[str, float]:
    """1 if right, else 0, less what the stated confidence c costs: (c - right)^2, or -log of the chance given, cut off.

    Between -1 and 1. With a chance p of being right, c = p pays most (both rules are strictly proper; `log` between `clip`
    and 1 - `clip`, where it is cut off and divided by -log(clip)), and the more the greater p is: a wrong answer with
    confidence 0 earns nothing. No confidence counts as the worst one for that answer, no answer as a wrong one with
    confidence 1, so neither is ever better than a statement. `answer`: the reward file that says what is right. Entries:
    `confidence` is 0 where none is `stated`. Source: RLCR, arXiv 2507.16806; Gneiting & Raftery (2007).

    >>> row = {"options": {"A": "MRI", "B": "CT"}}
    >>> compute_score("x", '<answer>{"answer": "B", "confidence": 0.5}</answer>', "B", row)
    {'score': 0.75, 'answered': 1.0, 'right': 1.0, 'stated': 1.0, 'confidence': 0.5}
    >>> said = ("<answer>A</answer> <confidence>0.5</confidence>", "<answer>A</answer>", "<answer>B</answer>")
    >>> [compute_score("x", reply, "B", row)["score"] for reply in said]
    [-0.25, -1.0, 0.0]
    """
    if rule not in RULES or not 0 < clip < 0.5:
        raise ValueError(
            f"rule={rule!r}, clip={clip}; expected one of {', '.join(RULES)}, and a clip between 0 and 0.5."
        )
    right, answered = right_and_answered(answer, data_source, solution_str, ground_truth, extra_info)
    confidence = read_confidence(solution_str)
    if not answered or confidence is None:
        cost = 1.0
    elif rule == "brier":
        cost = (confidence - right) ** 2
    else:
        chance = confidence if right else 1 - confidence
        cost = math.log(min(max(chance, clip), 1 - clip)) / math.log(clip)
    return {
        "score": float(right) - cost,
        "answered": float(answered),
        "right": float(right),
        "stated": float(confidence is not None),
        "confidence": confidence or 0.0,
    }
