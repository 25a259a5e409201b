"""Whether an answer is right, as another reward file says: for rewards that depend on it."""

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

from medrl.plugin import load_plugin


def is_right(
    reference: str, data_source: str, solution_str: str, ground_truth: Any, extra_info: Mapping[str, Any] | None
) -> bool:
    """True when the reward `path.py[:function]` scores the reply above 0.5. TypeError when it is asynchronous.

    >>> is_right("rewards/count.py", "phantom", "<answer>3</answer>", "3", None)
    True
    """
    return right_and_answered(reference, data_source, solution_str, ground_truth, extra_info)[0]


def right_and_answered(
    reference: str, data_source: str, solution_str: str, ground_truth: Any, extra_info: Mapping[str, Any] | None
) -> tuple[bool, bool]:
    """`is_right`, and whether the reward found an answer in the reply; one that does not say so is taken to have found one.

    >>> right_and_answered("rewards/count.py", "phantom", "<answer>3 or 4</answer>", "3", None)
    (False, False)
    """
    function = _function(reference)
    if inspect.iscoroutinefunction(function):
        raise TypeError(f"answer={reference} is asynchronous; expected a reward that answers at once")
    result = function(data_source, solution_str, ground_truth, dict(extra_info or {}))
    entries = result if isinstance(result, dict) else {"score": result}
    return bool(entries["score"] > 0.5), bool(entries.get("answered", 1.0) > 0)


@cache
def _function(reference: str) -> Any:
    return load_plugin(reference, "compute_score").target
