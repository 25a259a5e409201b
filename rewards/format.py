"""Score the form of a reply alone: reasoning and answer in their tags, each once, nothing else around them."""

from collections.abc import Mapping
from typing import Any

from medrl.dialogue.answers import answer_regions, format_ok


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: object,
    extra_info: Mapping[str, Any] | None = None,
    style: str = "think",
) -> dict[str, float]:
    """1.0 when the reply has exactly the form of the prompt style `think` or `no_think`, else 0.0.

    `answered` is 1.0 when there is any text where an answer belongs, whatever its kind. Keep the weight of this reward
    small: form is learned within a few steps, and pays without a single right answer.

    >>> compute_score("vqa_rad", "<think>dense</think> <answer>B</answer>", "B")
    {'score': 1.0, 'answered': 1.0}
    >>> compute_score("vqa_rad", "<answer>B</answer>", "B")["score"]
    0.0
    """
    answered = any(region.strip() for region in answer_regions(solution_str) or ())
    return {"score": float(format_ok(solution_str, style)), "answered": float(answered)}
