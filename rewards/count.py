"""Score a count: one whole number, in digits or words; a range, bound or fraction is no answer."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from medrl.dialogue.answers import read_count

EXAMPLE = {
    "ground_truth": "5",
    "extra_info": {"kind": "count"},
    "right": "<think>Three left, two right.</think><answer>5</answer>",
    "wrong": "<think>Three left, two right.</think><answer>6</answer>",
}


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: int | str,
    extra_info: Mapping[str, Any] | None = None,
    partial: bool = False,
) -> dict[str, float]:
    """1.0 for the right number, else 0.0; with `partial`, max(0, 1 - |counted - right| / max(1, right)) instead.

    Raises ValueError when the ground truth is no whole number of at least 0.

    >>> compute_score("phantom", "<answer>five</answer>", 5), compute_score("phantom", "<answer>5-6</answer>", "5")
    ({'score': 1.0, 'answered': 1.0}, {'score': 0.0, 'answered': 0.0})
    >>> compute_score("phantom", "<answer>3</answer>", 4, partial=True)["score"]
    0.75
    """
    right = _whole_number(ground_truth)
    counted = read_count(solution_str)
    if counted is None:
        return {"score": 0.0, "answered": 0.0}
    score = max(0.0, 1 - abs(counted - right) / max(1, right)) if partial else float(counted == right)
    return {"score": score, "answered": 1.0}


def _whole_number(ground_truth: object) -> int:
    try:
        number = Decimal(str(ground_truth))  # "3.0" is whole too, and a float would round large ones
    except InvalidOperation:
        number = Decimal(-1)
    if isinstance(ground_truth, bool) or not number.is_finite() or number < 0 or number != int(number):
        raise ValueError(f"ground_truth is {ground_truth!r}; expected a whole number of at least 0, such as 3 or '3'.")
    return int(number)
