"""Follow a run's metrics.jsonl while it is written: steps done, the newest value of a metric, and the time that is left."""

import json
import time
from pathlib import Path
from typing import Any

from medrl.recipe import Recipe


class Journal:
    """Reads what was added since the last look, so that looking often costs nothing."""

    def __init__(self, path: Path, recipe: Recipe, metric: str) -> None:
        self.path, self.metric = path, metric
        self.warm_up, self.total = recipe.sft.steps, recipe.sft.steps + recipe.training.steps
        self.done = 0  # steps of the cold start and of GRPO
        self.value: float | None = None
        self._offset = 0
        self._first: tuple[float, int] | None = None  # when, and how many steps there were

    def look(self) -> None:
        """Read on. A journal that a resume cut back is read again from its start."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return
        if size < self._offset:
            self._offset, self.done, self._first = 0, 0, None
        with self.path.open("rb") as file:
            file.seek(self._offset)
            whole, _, _ = file.read(size - self._offset).rpartition(b"\n")
        if not whole:
            return
        self._offset += len(whole) + 1
        for line in whole.splitlines():
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError):  # a line that a kill cut off; the resume will drop it
                continue
        if self._first is None:
            self._first = (time.monotonic(), self.done)

    def left_s(self) -> float | None:
        """Seconds to the last step at the pace seen since the first look; None before there is one."""
        if self._first is None or self.done <= self._first[1]:
            return None
        return (self.total - self.done) * (time.monotonic() - self._first[0]) / (self.done - self._first[1])

    def _take(self, entry: dict[str, Any]) -> None:
        self.done = int(entry["step"]) + (self.warm_up if entry["stage"] == "grpo" else 0)
        if self.metric in entry:
            self.value = float(entry[self.metric])
