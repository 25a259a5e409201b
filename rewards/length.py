"""What an over-long reply costs, and one that is too short: DAPO's overlong buffer. Give it a weight of 0.2.

A term at or below 0 and never under -1: with a weight below 1 beside an answer of weight 1 it cannot put a right answer
below a wrong one.
"""

from collections.abc import Mapping
from typing import Any

from medrl.scoring.parts.said import replies_of

EXAMPLE = {
    "ground_truth": "B",
    "extra_info": {"kind": "choice", "options": {"A": "MRI", "B": "CT"}},
    "right": "<think>The bone is dense.</think><answer>B</answer>",
    "wrong": "<think>The bone is dense.</think><answer>A</answer>",  # a wrong answer can be as short
}


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: object,
    extra_info: Mapping[str, Any] | None = None,
    limit: int = 4000,
    buffer: int = 1000,
    minimum: int = 0,
) -> dict[str, float]:
    """0.0 up to `limit` - `buffer` characters, falling evenly to -1.0 at `limit` and beyond; -1.0 to 0.0 below `minimum`.

    Lengths are characters of all turns, since a reward sees text: a token of English has about 4. Words would be gamed by
    leaving out blanks. `minimum` is for prompts that must be reasoned about (QoQ-Med pays up to 600 characters); it pays
    for padding, so it is off. Source: DAPO, arXiv 2503.14476, equation 13, in tokens.

    >>> compute_score("x", "a" * 3000, "B"), compute_score("x", "a" * 3500, "B")["score"]
    ({'score': 0.0, 'characters': 3000.0}, -0.5)
    >>> compute_score("x", "a" * 10**5, "B")["score"], compute_score("x", "a" * 150, "B", minimum=600)["score"]
    (-1.0, -0.75)
    """
    if not 0 <= minimum <= limit - buffer or buffer <= 0:
        raise ValueError(
            f"limit={limit}, buffer={buffer}, minimum={minimum}; expected 0 < buffer, minimum <= limit - buffer."
        )
    length = sum(map(len, replies_of(solution_str, extra_info)))
    over = min(max(0.0, (length - (limit - buffer)) / buffer), 1.0)
    under = max(0.0, 1 - length / minimum) if minimum else 0.0
    return {"score": -max(over, under) or 0.0, "characters": float(length)}  # no -0.0 in the journal
