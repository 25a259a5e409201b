"""Alarms: what a run's own metrics say is going wrong, judged after every step from the journal and nothing else.

A limit of `health:` is held against the mean of the last `health.window` values of a metric, for some against that of
the first ones. An alarm is told when it is raised and when it has cleared, not in between. A resumed run reads the
journal first, so it tells what an unbroken one would at the same steps. docs/health.md says what each alarm means.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrl.recipe import Recipe
from medrl.record.alarms import raised_alarms
from medrl.record.health_rules import RULES, read
from medrl.record.reading import read_lines
from medrl.record.windows import History


@dataclass(frozen=True)
class Alarm:
    """A limit that is passed. `text`: one sentence with what was found, what was expected, since when, and what to try."""

    name: str
    value: float
    limit: float
    step: int
    text: str


class Health:
    """The alarms of one run as its journal grows."""

    def __init__(self, recipe: Recipe, journal: Path) -> None:
        self.recipe = recipe
        self.journal = journal
        self.history = History(recipe.health.window)
        self.standing: dict[str, float] = {}  # alarms that are up, and the limit that each was raised by
        self.stop: str | None = None  # why the run should end after the step judged last
        self._recalled = False

    def judge(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """What a step's entry says beyond its metrics, before it is written to the journal.

        `health/<name>`: 1 while that alarm is up, else 0, of every alarm that can be judged; `alarms`: those raised now;
        `alarms_cleared`: names. The last two only where there are any.
        """
        if not self._recalled:
            self._recall()
        self.stop = None
        if entry["stage"] != "grpo":
            return {}
        self.history.take(entry["step"], entry)
        found: dict[str, Any] = {}
        raised, cleared = [], []
        for name in RULES:
            limit = float(getattr(self.recipe.health, name))
            if (reading := read(name, entry, self.history, self.recipe)) is None:
                continue
            back = reading.inside or (self.standing.get(name, limit) != limit and not reading.beyond)
            if reading.beyond and name not in self.standing:
                self.standing[name] = limit
                raised.append(Alarm(name, reading.value, limit, entry["step"], reading.text))
            elif back and self.standing.pop(name, None) is not None:
                cleared.append(name)
            found[f"health/{name}"] = float(name in self.standing)
            if reading.beyond and name in self.recipe.health.stop_on:
                self.stop = self.stop or _stop_reason(name, reading.text)
        if raised:
            keys = ("name", "value", "limit", "text")  # the step is the entry's
            found["alarms"] = [{key: getattr(alarm, key) for key in keys} for alarm in raised]
        return {**found, "alarms_cleared": cleared} if cleared else found

    def _recall(self) -> None:
        """Take in what the journal holds: metrics, and what it has told of alarms."""
        self._recalled = True
        entries = [entry for entry in read_lines(self.journal, []) if entry.get("stage") == "grpo"]
        for entry in entries:
            self.history.take(entry["step"], entry)
        self.standing = {alarm.name: alarm.limit for alarm in raised_alarms(entries) if alarm.standing}


def _stop_reason(name: str, text: str) -> str:
    return (
        f"Alarm {name}: {text} The run was to stop on it (health.stop_on). To go on from here: the same command with "
        f"'health.stop_on=[]', or with another limit, health.{name}=…"
    )
