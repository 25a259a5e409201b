"""Run a reward file written for EasyR1 as it is: `mine: {use: rewards/easyr1.py, kwargs: {file: their_reward.py}}`.

All forms it has had are taken: one dict or a list of dicts, and before that a reply and its answer, or lists of both.
"""

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

from medrl.dialogue.answer_region import agreed, normalise
from medrl.plugin import load_plugin

EXAMPLE = {
    "ground_truth": "CT",
    "extra_info": {"kind": "open_short"},
    "right": "<think>The bone is dense.</think><answer>CT</answer>",
    "wrong": "<think>The bone is dense.</think><answer>MRI</answer>",
    "kwargs": {"file": "rewards/easyr1.py:same_words"},
}


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    file: str,
    **kwargs: Any,
) -> dict[str, Any]:
    """`overall` as `score`, in whatever range the file has, and its other entries as they are.

    `file`: `their_reward.py[:function]`; `kwargs` go to that function. `response_length` is in tokens where the reply was
    sampled, in words of a reply that was only made up. Raises ValueError for a return value without `overall`. Source of
    the forms: github.com/hiyouga/EasyR1, verl/workers/reward/function.py, and its releases up to 0.3.0.

    >>> compute_score("vqa", "<answer>CT</answer>", "ct", file="rewards/easyr1.py:same_words")
    {'accuracy': 1.0, 'answered': 1.0, 'score': 1.0}
    >>> compute_score("vqa", "<answer>MRI</answer>", "ct", file="rewards/easyr1.py:same_words", worth=2.0)["score"]
    0.0
    """
    function, in_lists, apart = _function(file)
    tokens = (extra_info or {}).get("response_tokens")
    whole = {
        "response": solution_str,
        "response_length": len(solution_str.split()) if tokens is None else tokens,
        "ground_truth": ground_truth,
    }
    given = [solution_str, ground_truth] if apart else [whole]
    result = function(*([one] for one in given), **kwargs) if in_lists else function(*given, **kwargs)
    if in_lists and isinstance(result, (list, tuple)) and len(result) == 1:
        result = result[0]
    if not isinstance(result, Mapping) or "overall" not in result:
        expected = "a list of one dict with 'overall'" if in_lists else "a dict with 'overall'"
        raise ValueError(
            f"{file} returned {str(result)[:120]!r} for one reply; expected {expected}. Is it written for EasyR1?"
        )
    return {**{name: value for name, value in result.items() if name != "overall"}, "score": result["overall"]}


def same_words(reward_inputs: list[dict[str, Any]], worth: float = 1.0) -> list[dict[str, float]]:
    """A reward as one writes it for EasyR1, to try this file on: the answer is the expected text, letter case aside."""
    scores = []
    for one in reward_inputs:
        words = agreed(one["response"], lambda region: normalise(region).strip().lower() or None)
        right = float(words == str(one["ground_truth"]).strip().lower())
        scores.append({"overall": worth * right, "accuracy": right, "answered": float(words is not None)})
    return scores


@cache
def _function(file: str) -> tuple[Any, bool, bool]:
    """(their function, whether it takes lists, whether reply and answer come apart)."""
    function = load_plugin(file, "compute_score").target
    first, *rest = inspect.signature(function).parameters.values()
    declared = getattr(inspect.getmodule(function), "REWARD_TYPE", None)
    in_lists = declared == "batch" if declared else first.name.endswith("s")
    return function, in_lists, bool({"ground_truth", "ground_truths"} & {one.name for one in rest})
