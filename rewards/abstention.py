"""Score an answer that may be declined: saying that the image does not suffice is worth `threshold`, a wrong answer nothing."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from medrl.dialogue.answer_abstention import PHRASES, abstains
from medrl.dialogue.answers import answer_regions
from medrl.scoring.parts.right import right_and_answered

EXAMPLE = {
    "ground_truth": "B",
    "extra_info": {"kind": "choice", "options": {"A": "MRI", "B": "CT"}, "answerable": True},
    "right": "<think>The bone is dense.</think><answer>B</answer>",
    "wrong": "<think>The bone is dense.</think><answer>A</answer>",
    "abstain": "<think>The bone is dense.</think><answer>I do not know</answer>",  # worth `threshold`, and meant to be
}


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    answer: str = "rewards/choice.py",
    threshold: float = 0.3,
    phrases: Sequence[str] = PHRASES,
) -> dict[str, float]:
    """1.0 for a right answer, `threshold` for declining, 0.0 for a wrong answer or none; in place of the answer's reward.

    Answering then pays where it is right with a chance above `threshold`, and only there (Chow, 1970): 1, 0 and -t/(1 - t)
    moved into the range 0 to 1. Choose it above chance, which is 0.25 for four options. A row whose
    `extra_info["answerable"]` is false is right when declined and wrong otherwise, and its ground truth is not looked at.
    `answer`: the reward file that says whether an answer is right. `phrases`: what declines, as the whole answer; where an
    option of the question is one of them, it is an answer like the others.

    >>> row = {"options": {"A": "MRI", "B": "CT"}}
    >>> [compute_score("x", f"<answer>{said}</answer>", "B", row)["score"] for said in ("B", "cannot be determined", "A")]
    [1.0, 0.3, 0.0]
    >>> compute_score("x", "<answer>Cannot be determined.</answer>", None, {"answerable": False})
    {'score': 1.0, 'answered': 1.0, 'abstained': 1.0}
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold={threshold}; expected a chance between 0 and 1, such as 0.3.")
    row = extra_info or {}
    declined = abstains(solution_str, phrases)
    if not _answerable(row.get("answerable")):
        answered = declined or any(region.strip() for region in answer_regions(solution_str) or ())
        return {"score": float(declined), "answered": float(answered), "abstained": float(declined)}
    if declined and not any(abstains(f"<answer>{text}</answer>", phrases) for text in _options(row.get("options"))):
        return {"score": threshold, "answered": 1.0, "abstained": 1.0}
    right, answered = right_and_answered(answer, data_source, solution_str, ground_truth, extra_info)
    return {"score": float(right), "answered": float(answered), "abstained": 0.0}


def _answerable(given: object) -> bool:
    if given is None:
        return True
    if isinstance(given, str) or given not in (True, False):
        raise ValueError(f'extra_info["answerable"] is {given!r}; expected true or false. Mend the row.')
    return bool(given)


def _options(given: Any) -> Sequence[object]:
    """The texts of the options, where the question has any; whether they are sound is for the answer's reward to say."""
    try:
        options = json.loads(given) if isinstance(given, str) else given
    except json.JSONDecodeError:
        return ()
    return list(options.values()) if isinstance(options, Mapping) else ()
