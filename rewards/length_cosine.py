"""Brevity pays where the answer is right: VLM-R1's cosine length, as a term beside an answer of weight 1. Weight: 1.

A right answer loses at most half its point and a wrong one gains none, so that a right answer stays above a wrong one.
"""

import math
from collections.abc import Mapping
from typing import Any

from medrl.scoring.parts.right import is_right
from medrl.scoring.parts.said import replies_of

EXAMPLE = {
    "ground_truth": "B",
    "extra_info": {"kind": "choice", "options": {"A": "MRI", "B": "CT"}},
    "right": "<think>The bone is dense.</think><answer>B</answer>",
    "wrong": "<think>The bone is dense.</think><answer>A</answer>",
}


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    answer: str = "rewards/choice.py",
    limit: int = 4000,
    right_long: float = -0.5,
    wrong_short: float = -0.5,
    wrong_long: float = -0.5,
) -> dict[str, float]:
    """Right: from 0.0 for no text to `right_long` at `limit` characters and beyond, along half a cosine; wrong: likewise.

    The sum with an answer of weight 1 is the published reward, 1.0 to 0.5 for right ones. VLM-R1 and arXiv 2502.03373 have
    `wrong_long: 0`, which pays a wrong answer for being long, so here it is flat; they count tokens (VLM-R1 up to 1024),
    here it is characters of all turns. VLM-R1's code takes every answer for right and lets the cosine rise again beyond
    the limit; this does neither. `answer`: the reward file that says whether the answer is right.

    >>> row = {"options": {"A": "MRI", "B": "CT"}}
    >>> round(compute_score("x", "<answer>B</answer>" + " " * 1982, "B", row)["score"], 9)
    -0.25
    >>> compute_score("x", "<answer>A</answer>", "B", row)
    {'score': -0.5, 'characters': 18.0}
    """
    if (
        limit <= 0
        or not -1 < right_long <= 0
        or not -1 <= min(wrong_short, wrong_long) <= max(wrong_short, wrong_long) <= 0
    ):
        raise ValueError(
            f"limit={limit}, right_long={right_long}, wrong_short={wrong_short}, wrong_long={wrong_long}; expected a limit "
            "above 0, right_long above -1, and none of the values above 0 or below -1: a right answer must stay above a wrong one."
        )
    length = sum(map(len, replies_of(solution_str, extra_info)))
    right = is_right(answer, data_source, solution_str, ground_truth, extra_info)
    short, long = (0.0, right_long) if right else (wrong_short, wrong_long)
    share = (1 - math.cos(math.pi * min(length / limit, 1.0))) / 2  # 0 for no text, 1 at the limit
    return {"score": short + (long - short) * share, "characters": float(length)}
