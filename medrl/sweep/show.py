"""What a person sees of a sweep: a table that is kept up to date on a terminal, and lines that stay, also in a log file."""

import re
import time
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from medrl.sweep.layout import Sweep, SweepRun
from medrl.sweep.plan import ABSENT, Plan
from medrl.sweep.run import Worker
from medrl.sweep.state import RETRIED, TO_DO, RunState

REFRESH_S = 1.0
LINE_EVERY_S = 60.0  # without a terminal
COLOURS = {"done": "green", "failed": "red", "other": "red", "stopped": "yellow", "interrupted": "yellow"}


class SweepShow:
    """Use as a context: the table is on screen inside it."""

    def __init__(self, sweep: Sweep, console: Console, states: dict[str, RunState], quiet: bool = False) -> None:
        self.sweep, self.console, self.quiet = sweep, console, quiet
        self.states = dict(states)
        self.live = (
            Live(console=console, auto_refresh=False, transient=True) if console.is_terminal and not quiet else None
        )
        self._shown_at = time.monotonic()
        self._seconds: list[float] = []  # of the runs that ended well
        self._width = 0

    def __enter__(self) -> "SweepShow":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live:
            self.live.stop()

    def note(self, text: str) -> None:
        if not self.quiet:
            self.console.print(text, markup=False, soft_wrap=True)

    def started(self, run: SweepRun) -> None:
        self.states[run.name] = RunState("running")
        if not self.live:
            self.note(f"{self._count()} {run.name}: started, its output is in {self.sweep.log_file(run)}")

    def ended(self, run: SweepRun, state: RunState, seconds: float) -> None:
        self.states[run.name] = state
        if state.status == "done" and seconds:
            self._seconds.append(seconds)
        reason = f": {state.reason}" if state.reason and state.status != "done" else ""
        after = f" after {duration(seconds)}" if seconds else ""  # none where another process made it
        self.note(f"{self._count()} {run.name}: {state.status}{after}{reason}")

    def look(self, running: Sequence[Worker], waiting: int) -> None:
        """Draw again, once a second on a terminal, once a minute as a line."""
        self._width = max(self._width, len(running))
        now = time.monotonic()
        if self.quiet or now - self._shown_at < (REFRESH_S if self.live else LINE_EVERY_S):
            return
        self._shown_at = now
        left = self._left_s(running, waiting)
        title = f"{self.sweep.folder}: {self._count()} done, {waiting} waiting" + (f", {left}" if left else "")
        if self.live:
            self.live.update(self._table(running, title), refresh=True)
            return
        self.note("; ".join([title, *(f"{one.run.name} {' '.join(_progress(one))}" for one in running)]))

    def _count(self) -> str:
        done = sum(state.status == "done" for state in self.states.values())
        failed = sum(state.status == "failed" for state in self.states.values())
        return f"[{done}/{len(self.states)}" + (f", {failed} failed]" if failed else "]")

    def _left_s(self, running: Sequence[Worker], waiting: int) -> str:
        """A guess from the runs at hand and from those that ended."""
        lefts = [left for one in running if (left := one.journal.left_s()) is not None]
        whole = self._seconds or [time.monotonic() - one.started + left for one, left in _paced(running)]
        if not whole or len(lefts) < len(running):
            return ""
        total = sum(lefts) + waiting * sum(whole) / len(whole)
        return f"about {duration(total / max(1, self._width))} left"

    def _table(self, running: Sequence[Worker], title: str) -> Table:
        table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for heading in ("run", "steps", self.sweep.metric, "time", "left"):
            table.add_column(heading, justify="left" if heading == "run" else "right")
        for one in running:
            table.add_row(escape(one.run.name), *_progress(one))
        return table


def _progress(worker: Worker) -> list[str]:
    journal, left = worker.journal, worker.journal.left_s()
    return [
        f"{journal.done}/{journal.total}",
        "-" if journal.value is None else f"{journal.value:.3f}",
        duration(time.monotonic() - worker.started),
        "-" if left is None else duration(left),
    ]


def _paced(running: Sequence[Worker]) -> list[tuple[Worker, float]]:
    return [(one, left) for one in running if (left := one.journal.left_s()) is not None]


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(9.4), duration(75), duration(7300)
    ('9 s', '1 min 15 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def print_plan(plan: Plan, states: dict[str, RunState], retry: bool, at_once: int, console: Console) -> None:
    """Every run with its state and exactly what it changes of the recipe, and what would be run."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=f"{plan.sweep.folder}", title_justify="left")
    for heading in ("#", "run", "hash", "state", "differs from the recipe in"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("#", "hash", "state"))
    for number, run in enumerate(plan.sweep.runs):
        state = states[run.name].status
        colour = COLOURS.get(state)
        told = "\n".join(change_lines(plan, run)) or "nothing"
        styled = f"[{colour}]{state}[/{colour}]" if colour else state
        mark = " (baseline)" if run.point == plan.sweep.baseline else ""
        name = folded(run.name + mark, max(console.width // 3, 24))
        table.add_row(str(number), escape(name), run.hash, styled, escape(told))
    console.print(table)
    for name, found in states.items():
        if found.reason and found.status not in ("done", "running"):
            console.print(f"{name}: {found.status}: {found.reason}", markup=False, soft_wrap=True)
    for note in plan.notes:
        console.print(note, markup=False, soft_wrap=True)
    console.print(summary_line(states, retry, at_once), markup=False, soft_wrap=True)


def folded(name: str, width: int) -> str:
    """A run's name on lines of at most `width` characters where its commas allow it, so that no value is cut in two.

    >>> folded("lambda=0.25,advantage=uadt,seed=1", 20)
    'lambda=0.25,\\nadvantage=uadt,\\nseed=1'
    """
    lines = [""]
    for part in re.findall(r"[^,]+,?|,", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def change_lines(plan: Plan, run: SweepRun) -> list[str]:
    """`key: old -> new`."""
    pairs = plan.changes[run.name].items()
    return [f"{key}: {new}" if old in (None, ABSENT) else f"{key}: {old} -> {new}" for key, (old, new) in pairs]


def summary_line(states: dict[str, RunState], retry: bool, at_once: int) -> str:
    """`9 runs: 3 done, 6 new; 6 would run, 2 at once`."""
    counts: dict[str, int] = {}
    for state in states.values():
        counts[state.status] = counts.get(state.status, 0) + 1
    parts = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    wanted = (*TO_DO, *(RETRIED if retry else ()))
    would = sum(state.status in wanted for state in states.values())
    again = any(state.status in RETRIED for state in states.values()) and not retry
    line = f"{len(states)} run{'s' if len(states) > 1 else ''}: {parts}; {would} would run, {min(at_once, max(would, 1))} at once"
    return line + (". --retry runs the failed and stopped ones again" if again else "")
