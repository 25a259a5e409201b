"""Write `report.html`: what a run was, how it went and what the model did, as one page that opens from a folder.

The page loads nothing: styles, script, curves and pictures are inside it, and a content security policy that knows
only our own script's hash forbids the rest. All text of models and data passes autoescape. Whatever part of the run
directory is absent or cut off, the page is written from the rest and says what it could not read.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from medrl.errors import MedrlError
from medrl.record import gallery, panels
from medrl.record.charts import number_text
from medrl.record.files import write_text
from medrl.record.headline import TABLE_ROWS, exact_text, facts, flat, headline, measures, paired_change
from medrl.record.replies import RIGHT, shorten

HERE = Path(__file__).parent
RECIPE_CHARACTERS = 60_000
# C0 controls have no place in HTML: shown as their pictures (␀), except tab and line ends
CONTROLS = {code: 0x2400 + code for code in range(32) if code not in (9, 10, 13)} | {0x7F: 0x2421}


def write_report(run_dir: Path) -> Path:
    """Write and return `run_dir/report.html`, replacing an earlier one whole. Raises MedrlError without a run there."""
    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        raise MedrlError(f"{run_dir}: no such directory. Pass the one that `medrl train` made, as runs/<name>.")
    problems: list[str] = []
    page = _environment().get_template("report.html.jinja").render(_contents(run_dir, problems), problems=problems)
    path = run_dir / "report.html"
    page = page.translate(CONTROLS).encode("utf-8", "backslashreplace").decode()  # a lone surrogate cannot be UTF-8
    write_text(path, page)
    return path


def _contents(run_dir: Path, problems: list[str]) -> dict[str, Any]:
    """Everything the template shows."""
    stages = panels.collect(_read_lines(run_dir / "metrics.jsonl", problems))
    evaluations = _numbered(run_dir / "eval", ".json")
    first = _read_object(evaluations[0], problems) if evaluations else {}
    last = _read_object(evaluations[-1], problems) if len(evaluations) > 1 else first
    finished = (run_dir / "summary.json").exists()
    summary = _read_object(run_dir / "summary.json", problems) if finished else {}
    if not summary:
        finished = False
        summary = {"val_first": first.get("summary"), "steps": _last_step(stages)}
        summary["val_last"] = last.get("summary") if last is not first else None
    if len(evaluations) == 1 and summary.get("val_first"):
        summary["val_last"] = None  # the only one there is, again: no comparison
    step, rows = _last_rollouts(run_dir, problems)
    group_cards, group_count, flat_count = gallery.groups(run_dir, rows)
    held_out = gallery.held_out(run_dir, _rows(first), _rows(last))
    grid = panels.grid(stages)
    other_figures, unshown = panels.others(stages)
    kinds = {card.kind for card in [*(held_out.cards if held_out else ()), *group_cards]}
    return {
        "name": run_dir.resolve().name,
        "status": str(summary.get("status", "unknown")) if finished else "unfinished",
        "reason": summary.get("reason"),
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
        "recipe": _recipe(run_dir / "recipe.yaml"),
        "card": [
            (name, exact_text(value))
            for name, value in flat(_read_object(run_dir / "card.json", problems))[:TABLE_ROWS]
        ],
    }


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (HERE / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    environment.globals.update(
        style=Markup((HERE / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=Markup(digest),
    )
    environment.filters["number"] = number_text
    return environment


def _read_object(path: Path, problems: list[str]) -> dict[str, Any]:
    """A JSON object; empty, with a problem noted, when the file is cut off or holds something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path.name} could not be read ({type(error).__name__}); it is left out.")
        return {}
    if not isinstance(found, dict):
        problems.append(f"{path.name} holds a {type(found).__name__} where an object was expected; it is left out.")
        return {}
    return found


def _read_lines(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    """The JSON objects of a file, one a line; lines that do not parse are counted, as the last of a killed run."""
    if not path.is_file():
        return []
    found, bad = [], 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                value = json.loads(line) if line.strip() else None
            except (ValueError, RecursionError):
                value = False
            if isinstance(value, dict):
                found.append(value)
            elif value is not None:
                bad += 1
    if bad:
        problems.append(f"{path.name}: {bad} line{'' if bad == 1 else 's'} could not be read; they are left out.")
    return found


def _numbered(folder: Path, suffix: str) -> list[Path]:
    """The `step_000010` files of a folder in order of their steps."""
    files = [path for path in folder.glob(f"step_*{suffix}") if path.stem.removeprefix("step_").isdecimal()]
    return sorted(files, key=lambda path: int(path.stem.removeprefix("step_")))


def _last_rollouts(run_dir: Path, problems: list[str]) -> tuple[int | None, list[dict[str, Any]]]:
    """The last step with rollouts that can be read: a file just begun may still be empty."""
    for path in reversed(_numbered(run_dir / "rollouts", ".jsonl")[-3:]):
        if rows := _read_lines(path, problems):
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
