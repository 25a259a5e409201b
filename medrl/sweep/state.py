"""What became of each run of a sweep, read from its directory and from what the sweep noted of its last attempt.

A run that never came as far as a directory of its own, or was killed, has told nobody: `logs/<name>.json` tells it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrl.recipe import Recipe
from medrl.record.files import write_json
from medrl.record.resume import binding_changes
from medrl.sweep.layout import Sweep, SweepRun
from medrl.sweep.locks import holder

# done: completed. failed: ended with an error. stopped: ended early by a rule of its own. interrupted: to be resumed.
# running: another process is at it. new: nothing yet. other: its folder holds something else
STATUSES = ("done", "failed", "stopped", "interrupted", "running", "new", "other")
TO_DO = ("new", "interrupted", "running")  # a running one is waited for
RETRIED = ("failed", "stopped")
BY_SIGNAL = "SIG"  # how the reason of a run begins that was asked to stop


@dataclass(frozen=True)
class RunState:
    status: str
    reason: str | None = None


def state_of(sweep: Sweep, run: SweepRun, recipe: Recipe | None = None, locked: bool = False) -> RunState:
    """`recipe`: to see whether the directory is of this very run; `locked`: the caller holds the run's lock."""
    folder = sweep.run_dir(run)
    stored = folder / "recipe.yaml"
    if recipe is not None and stored.is_file() and (changes := binding_changes(stored, recipe)):
        return RunState("other", f"{folder} holds a run of another recipe: {'; '.join(changes)}")
    if not stored.is_file() and folder.is_dir() and any(folder.iterdir()):
        return RunState("other", f"{folder} exists and is not a run of medrl")
    attempt, summary = read_json(attempt_file(sweep, run)), read_json(folder / "summary.json")
    if summary.get("status") == "completed":
        return RunState("done")
    if not locked and (who := holder(lock_file(sweep, run))):
        return RunState("running", who)
    if attempt.get("reason"):
        return RunState("failed", attempt["reason"])
    begun = RunState("interrupted", summary.get("reason")) if stored.is_file() else RunState("new")
    if attempt and attempt.get("code") is None:  # the sweep was killed in the middle of it
        return begun
    if summary.get("status") == "failed":
        return RunState("failed", summary.get("reason"))
    if summary.get("status") == "stopped" and not str(summary.get("reason")).startswith(BY_SIGNAL):
        return RunState("stopped", summary.get("reason"))
    return begun


def note_attempt(sweep: Sweep, run: SweepRun, **facts: Any) -> None:
    """logs/<name>.json: `command` and `started`, and at the end `code`, and `reason` where it failed."""
    path = attempt_file(sweep, run)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, facts)


def attempt_file(sweep: Sweep, run: SweepRun) -> Path:
    return sweep.log_file(run).with_name(f"{run.name}.json")


def lock_file(sweep: Sweep, run: SweepRun) -> Path:
    return sweep.log_file(run).with_name(f".{run.name}.lock")


def unlisted(sweep: Sweep) -> list[str]:
    """Runs in the sweep's folder that its recipe does not list (any more)."""
    names = {run.name for run in sweep.runs}
    return sorted(path.parent.name for path in sweep.folder.glob("*/recipe.yaml") if path.parent.name not in names)


def read_json(path: Path) -> dict[str, Any]:
    """An object of a JSON file; empty where there is none, or it is cut off."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
