"""Write `report.html`: what a run was, how it went and what the model did, as one page that opens from a folder.

The page loads nothing: styles, script, curves and pictures are inside it, and a content security policy that knows
only our own script's hash forbids the rest. All text of models and data passes autoescape. Whatever part of the run
directory is absent or cut off, the page is written from the rest and says what it could not read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medrl.errors import MedrlError
from medrl.record import gallery, panels
from medrl.record.alarms import raised_alarms
from medrl.record.files import write_text
from medrl.record.headline import TABLE_ROWS, exact_text, facts, flat, headline, measures, paired_change
from medrl.record.page import ROLLOUTS_PAGE, rendered
from medrl.record.reading import numbered, read_lines, read_object
from medrl.record.replies import RIGHT, shorten

RECIPE_CHARACTERS = 60_000
SHOWN_ALARMS = 20


def write_report(run_dir: Path) -> Path:
    """Write and return `run_dir/report.html`, replacing an earlier one whole. Raises MedrlError without a run there."""
    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        raise MedrlError(f"{run_dir}: no such directory. Pass the one that `medrl train` made, as runs/<name>.")
    problems: list[str] = []
    path = run_dir / "report.html"
    write_text(path, rendered("report", _contents(run_dir, problems), problems=problems))
    return path


def _contents(run_dir: Path, problems: list[str]) -> dict[str, Any]:
    """Everything the template shows."""
    entries = read_lines(run_dir / "metrics.jsonl", problems)
    stages, alarms = panels.collect(entries), raised_alarms(entries)
    evaluations = numbered(run_dir / "eval", ".json")
    first = read_object(evaluations[0], problems) if evaluations else {}
    last = read_object(evaluations[-1], problems) if len(evaluations) > 1 else first
    finished = (run_dir / "summary.json").exists()
    summary = read_object(run_dir / "summary.json", problems) if finished else {}
    if not summary:
        finished = False
        summary = {"val_first": first.get("summary"), "steps": _last_step(stages)}
        summary["val_last"] = last.get("summary") if last is not first else None
    if len(evaluations) == 1 and summary.get("val_first"):
        summary["val_last"] = None  # the only one there is, again: no comparison
    step, rows = _last_rollouts(run_dir, problems)
    group_cards, group_count, flat_count = gallery.groups(run_dir, rows)
    held_out = gallery.held_out(run_dir, _rows(first), _rows(last))
    grid = panels.grid(stages, alarms)
    other_figures, unshown = panels.others(stages)
    kinds = {card.kind for card in [*(held_out.cards if held_out else ()), *group_cards]}
    return {
        "name": run_dir.resolve().name,
        "status": str(summary.get("status", "unknown")) if finished else "unfinished",
        "reason": summary.get("reason"),
        "alarms": alarms,
        "shown_alarms": SHOWN_ALARMS,
        "shorten": shorten,
        "headline": headline(summary, paired_change(_rows(first), _rows(last)) if last is not first else None),
        "facts": facts(summary),
        "measures": measures(summary),
        "hero": panels.hero(stages),
        "grid": grid,
        "smoothed": any(figure.smoothed for tile in grid for figure in tile),
        "others": other_figures,
        "unshown": unshown,
        "held_out": held_out,
        "groups": group_cards,
        "group_count": group_count,
        "flat_count": flat_count,
        "group_step": step,
        "kinds": sorted(kinds),
        "right_from": RIGHT,
        "has_rollouts_page": (run_dir / ROLLOUTS_PAGE).is_file(),
        "recipe": _recipe(run_dir / "recipe.yaml"),
        "card": [
            (name, exact_text(value)) for name, value in flat(read_object(run_dir / "card.json", problems))[:TABLE_ROWS]
        ],
    }


def _last_rollouts(run_dir: Path, problems: list[str]) -> tuple[int | None, list[dict[str, Any]]]:
    """The last step with rollouts that can be read: a file just begun may still be empty."""
    for path in reversed(numbered(run_dir / "rollouts", ".jsonl")[-3:]):
        if rows := read_lines(path, problems):
            return int(path.stem.removeprefix("step_")), rows
    return None, []


def _rows(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of an evaluation, each knowing its step."""
    rows = evaluation.get("rows")
    if not isinstance(rows, list):
        return []
    return [{"step": evaluation.get("step"), **row} for row in rows if isinstance(row, dict)]


def _last_step(stages: Mapping[str, panels.Series]) -> int | None:
    steps = [points[-1][0] for points in stages.get("grpo", {}).values()]
    return int(max(steps)) if steps else None


def _recipe(path: Path) -> str:
    try:
        return shorten(path.read_text(encoding="utf-8", errors="replace"), RECIPE_CHARACTERS)
    except OSError:
        return ""
