"""Score a yes-or-no answer: only the words yes and no are verdicts; "normal" or "no fracture" are not."""

from collections.abc import Mapping
from typing import Any

from medrl.dialogue.answers import read_yes_no

EXAMPLE = {
    "ground_truth": "no",
    "extra_info": {"kind": "yes_no"},
    "right": "<think>Both lungs reach the wall.</think><answer>No</answer>",
    "wrong": "<think>Both lungs reach the wall.</think><answer>Yes</answer>",
}


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """1.0 when the reply's verdict is the right one, else 0.0. Raises ValueError for another ground truth than yes or no.

    >>> compute_score("vqa_rad", "<answer>No, the lungs are clear.</answer>", "no")
    {'score': 1.0, 'answered': 1.0}
    >>> compute_score("vqa_rad", "<answer>No effusion</answer>", "no")
    {'score': 0.0, 'answered': 0.0}
    """
    right = str(ground_truth).strip().lower()
    if right not in ("yes", "no"):
        raise ValueError(f'ground_truth is {ground_truth!r}; expected "yes" or "no". Use another reward for this row.')
    verdict = read_yes_no(solution_str)
    return {"score": float(verdict == right), "answered": float(verdict is not None)}
