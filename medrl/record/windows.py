"""The first and the last values of every metric of a run: all that a long journal is judged by."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from medrl.record.alarms import is_number


@dataclass(frozen=True)
class Span:
    """A metric over some steps, the first and the last of them."""

    mean: float
    since: int
    until: int

    @property
    def steps(self) -> str:
        return f"step {self.since}" if self.since == self.until else f"steps {self.since} to {self.until}"


class History:
    """The first and the last `window` values of every number a journal has. Absent and not finite ones are passed over."""

    def __init__(self, window: int) -> None:
        self.window = window
        self._first: dict[str, list[tuple[int, float]]] = {}
        self._last: dict[str, deque[tuple[int, float]]] = {}  # as long as both windows

    def take(self, step: int, entry: Mapping[str, Any]) -> None:
        """The metrics of one GRPO step."""
        for name, value in entry.items():
            if is_number(value):
                first = self._first.setdefault(name, [])
                if len(first) < self.window:
                    first.append((step, value))
                self._last.setdefault(name, deque(maxlen=2 * self.window)).append((step, value))

    def last(self, metric: str) -> Span | None:
        """Over the last window; None before it is full."""
        points = self._last.get(metric, ())
        return _span(list(points)[-self.window :]) if len(points) >= self.window else None

    def both(self, metric: str) -> tuple[Span, Span] | None:
        """Over the first window and over the last; None as long as they overlap."""
        if len(self._last.get(metric, ())) < 2 * self.window:
            return None
        return _span(self._first[metric]), _span(list(islice(self._last[metric], self.window, None)))


def _span(points: Sequence[tuple[int, float]]) -> Span:
    return Span(math.fsum(value for _, value in points) / len(points), points[0][0], points[-1][0])
