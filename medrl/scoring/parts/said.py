"""All that the model said in a rollout, for rewards that look at how much it says and not at what it answers."""

from collections.abc import Mapping
from typing import Any


def replies_of(solution_str: str, extra_info: Mapping[str, Any] | None) -> list[str]:
    """The reply of each turn; the one reply where there is no environment. A reward's `solution_str` is only the last one.

    >>> replies_of("B", {"rollout": {"turns": ["<tool_call>…</tool_call>", "B"]}}), replies_of("B", None)
    (['<tool_call>…</tool_call>', 'B'], ['B'])
    """
    return list(((extra_info or {}).get("rollout") or {}).get("turns") or [solution_str])
