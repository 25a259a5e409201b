"""What a person sees while a run works: a progress bar on a terminal, a line now and then in a log file."""

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from medrl.recipe import Recipe

LINE_EVERY_S = 15.0  # without a terminal


class TrainingProgress:
    """Shows preparation, cold start and GRPO steps as they happen."""

    def __init__(self, recipe: Recipe, console: Console, quiet: bool = False) -> None:
        self.recipe = recipe
        self.console = console
        self.live = console.is_terminal and not quiet
        self.quiet = quiet
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not self.live,
        )
        self._tasks: dict[str, TaskID] = {}
        self._last_line = 0.0

    def __enter__(self) -> "TrainingProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def note(self, text: str) -> None:
        """A line that stays."""
        if not self.quiet:
            self.console.print(text, markup=False)

    def alarm(self, text: str) -> None:
        """A line that stays and stands out."""
        if not self.quiet:
            self.console.print(Text(text, style="yellow"), soft_wrap=True)  # `style=` would colour the bar as well

    def working(self, what: str, done: int, total: int) -> None:
        """Preparation that takes a while."""
        self._show(what, done, total, "", line=False)

    def entry(self, entry: dict[str, Any]) -> None:
        """One journal entry."""
        if entry["stage"] == "sft":
            note = f"loss {entry['sft/loss']:.3f}"
            self._show(
                "cold start", entry["step"], self.recipe.sft.steps, note, line=entry["step"] == self.recipe.sft.steps
            )
            return
        parts = []
        if "reward/mean" in entry:
            parts.append(
                f"reward {entry['reward/mean']:.3f}  length {entry['rollout/length']:.0f}  {entry['time/step_s']:.1f} s"
            )
        if failed := _total(entry, "/failed"):
            parts.append(f"{failed:.0f} calls of rewards failed, {_total(entry, '/timeouts'):.0f} by time")
        if "val/reward" in entry:
            interval = f"[{entry['val/reward_low']:.3f}, {entry['val/reward_high']:.3f}]"
            parts.append(f"held-out {entry['val/reward']:.3f} {interval}")
        self._show("GRPO", entry["step"], self.recipe.training.steps, "  ".join(parts), line="val/reward" in entry)
        for alarm in entry.get("alarms", ()):
            self.alarm(f"step {entry['step']}: alarm {alarm['name']}: {alarm['text']}")
        for name in entry.get("alarms_cleared", ()):
            self.alarm(f"step {entry['step']}: alarm {name} has cleared")

    def _show(self, what: str, done: int, total: int, note: str, line: bool) -> None:
        if self.live:
            if what not in self._tasks:
                self._tasks[what] = self._bar.add_task(what, total=total, note="")
            self._bar.update(self._tasks[what], completed=done, note=note)
        elif not self.quiet and (line or time.monotonic() - self._last_line > LINE_EVERY_S):
            self._last_line = time.monotonic()
            self.console.print(f"{what} {done}/{total}  {note}", markup=False, soft_wrap=True)


def _total(entry: dict[str, Any], ending: str) -> float:
    """Over all rewards."""
    return sum(value for name, value in entry.items() if name.startswith("scoring/") and name.endswith(ending))
