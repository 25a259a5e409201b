"""Whether an answer is right, as another reward file says: for rewards that depend on it."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from medrl.plugin import load_plugin


def is_right(
    reference: str, data_source: str, solution_str: str, ground_truth: Any, extra_info: Mapping[str, Any] | None
) -> bool:
    """True when the reward `path.py[:function]` scores the reply above 0.5. It must not be asynchronous.

    >>> is_right("rewards/count.py", "phantom", "<answer>3</answer>", "3", None)
    True
    """
    result = _function(reference)(data_source, solution_str, ground_truth, dict(extra_info or {}))
    return bool((result["score"] if isinstance(result, dict) else result) > 0.5)


@cache
def _function(reference: str) -> Any:
    return load_plugin(reference, "compute_score").target
