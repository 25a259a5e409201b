"""What a reward function is called, and called with. Imports nothing heavy: reward processes read it too."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

NAMES = ("compute_score", "compute_group_scores")  # of one rollout, of a group
ARGUMENTS = ("data_source", "solution_str", "ground_truth", "extra_info")  # verl's
# what only some rewards look at, and only they are given: key of extra_info -> the constant their module sets to True
ON_REQUEST = {"images": "NEEDS_IMAGES", "question": "NEEDS_QUESTION"}


def scores_groups(function: Any) -> bool:
    """Whether it takes a group: it is called compute_group_scores, or its first argument is called `group`.

    >>> scores_groups(lambda group, bonus=1: []), scores_groups(lambda data_source, solution_str: 0)
    (True, False)
    """
    if not callable(function):
        return False
    first = next(iter(inspect.signature(function).parameters), "")
    return getattr(function, "__name__", "") == NAMES[1] or first == "group"


@lru_cache(maxsize=256)
def asked_for(function: Callable[..., Any]) -> frozenset[str]:
    """What a reward's module asks for beside the row's own `extra_info`: `images`, `question`, or nothing."""
    module = getattr(inspect.unwrap(function), "__globals__", {})
    return frozenset(key for key, constant in ON_REQUEST.items() if module.get(constant) is True)
