"""The alarms that a journal tells of: each from the step that raised it to the last one it stood at.

For summary.json and the pages, so a journal in any state is read: what has not the shape of an alarm is passed over.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeGuard


@dataclass(frozen=True)
class Raised:
    """One alarm. `standing`: it had not cleared at the last step; `value` is that of `first_step`."""

    name: str
    first_step: int
    last_step: int
    standing: bool
    value: float
    limit: float
    text: str


def raised_alarms(entries: Iterable[Mapping[str, Any]]) -> list[Raised]:
    """In the order they were raised; one that cleared and came back is there twice. A step told twice counts as the last."""
    steps = {
        step: entry for entry in entries if entry.get("stage", "grpo") == "grpo" and (step := _step(entry)) is not None
    }
    found: list[Raised] = []
    up: dict[str, int] = {}  # name to its place in `found`
    for step, entry in sorted(steps.items()):
        for name in _list(entry.get("alarms_cleared")):
            if isinstance(name, str) and (place := up.pop(name, None)) is not None:
                found[place] = replace(found[place], standing=False)
        for place in up.values():
            found[place] = replace(found[place], last_step=step)
        for alarm in _list(entry.get("alarms")):
            if (one := _alarm(alarm, step)) is not None and one.name not in up:
                up[one.name] = len(found)
                found.append(one)
    return found


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value of a journal is a finite number: no flag, and no integer beyond any float."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _alarm(value: Any, step: int) -> Raised | None:
    if not isinstance(value, dict) or not isinstance(name := value.get("name"), str):
        return None
    found, limit, text = value.get("value"), value.get("limit"), value.get("text")
    if not is_number(found) or not is_number(limit) or not isinstance(text, str):
        return None
    return Raised(name, step, step, True, float(found), float(limit), text)


def _step(entry: Mapping[str, Any]) -> int | None:
    step = entry.get("step")
    return step if isinstance(step, int) and abs(step) < 2**53 else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
