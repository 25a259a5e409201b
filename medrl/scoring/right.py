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
    function = _function(reference)
    if inspect.iscoroutinefunction(function):
        raise TypeError(f"answer={reference} is asynchronous; expected a reward that answers at once")
    result = function(data_source, solution_str, ground_truth, dict(extra_info or {}))
    return bool((result["score"] if isinstance(result, dict) else result) > 0.5)


@cache
def _function(reference: str) -> Any:
    return load_plugin(reference, "compute_score").target
