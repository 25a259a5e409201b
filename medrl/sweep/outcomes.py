"""What one run of a sweep came to, read from its directory in whatever state that is.

Only a completed run's last validation counts: a run that ended early was measured at another step. Nothing is chosen by
its held-out result, such as a run's best step: that would be choosing on the very questions that judge it.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from medrl.record.panels import Series, collect
from medrl.record.reading import read_lines, read_object
from medrl.record.replies import number_of
from medrl.sweep.layout import Sweep, SweepRun
from medrl.sweep.state import state_of

TAIL_BYTES, REASON_CHARACTERS = 8000, 600
LOADER = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # a resolved recipe is plain YAML; the C loader where it was built
KNOWN = {  # of a validation: name of the fact to name in the journal
    "greedy_reward": "val/greedy_reward",
    "parse_rate": "val/parse_rate",
    "length": "val/length",
    "truncated": "val/truncated",
}
COSTS = ("seconds", "core_seconds", "tokens", "peak_rss_mb")
BY_ROW: dict[str, Callable[[Mapping[str, Any]], float | None]] = {  # metrics that an evaluation's row tells by itself
    "val/reward": lambda row: number_of(row.get("reward")) or 0.0,  # a missing one counts 0, as in the held-out mean
    "val/missing": lambda row: float(row.get("reward") is None),
    "val/truncated": lambda row: float(row.get("end_reason") == "length"),
    "val/length": lambda row: number_of(row.get("tokens")),
}


@dataclass(frozen=True)
class Outcome:
    """`status`: of state.py. `value`, `first`: the metric at the last and at the first validation; `answers`: the metric of
    each question at the last, empty where only its mean is known; `asked`: all questions of that validation, also those
    without a value. `card`, `recipe`: what card.json and recipe.yaml hold."""

    run: SweepRun
    status: str
    reason: str | None = None
    value: float | None = None
    first: float | None = None
    step: int | None = None
    answers: dict[str, float] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()
    facts: dict[str, float | None] = field(default_factory=dict)
    alarms: list[str] = field(default_factory=list)
    series: Series = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    card: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.status == "done"


def outcome(sweep: Sweep, run: SweepRun) -> Outcome:
    """Never raises for what a directory holds; what could not be read is in `problems`."""
    folder, problems = sweep.run_dir(run), list[str]()
    summary = read_object(folder / "summary.json", problems)
    status, reason = _status(sweep, run)
    card = read_object(folder / "card.json", problems)
    entries = read_lines(folder / "metrics.jsonl", problems)
    series = collect(entries).get("grpo", {})
    points = [(step, value) for step, value in series.get(sweep.metric, []) if math.isfinite(value)]
    step = int(points[-1][0]) if points else None
    evaluation = read_object(folder / "eval" / f"step_{step:06d}.json", problems) if step is not None else {}
    rows = evaluation.get("rows")
    rows = rows if isinstance(rows, list) else []
    recipe = _recipe(folder)
    known = {name: _last(series, metric) for name, metric in KNOWN.items()}
    return Outcome(
        run=run,
        status=status,
        reason=reason,
        value=points[-1][1] if points else None,
        first=points[0][1] if len(points) > 1 else None,
        step=step,
        answers=by_question(rows, sweep.metric),
        asked=frozenset(str(row.get("sample_id")) for row in rows if isinstance(row, dict)),
        facts=known | _costs(recipe, summary, series),
        alarms=_alarms(summary, entries),
        series=series,
        problems=[f"{run.name}: {problem}" for problem in problems],
        card=card,
        recipe=recipe,
    )


def by_question(rows: Sequence[Any], metric: str) -> dict[str, float]:
    """Each question's value, the mean of its attempts that have one; empty for a metric that rows do not tell.

    >>> by_question([{"sample_id": "a", "reward": 1.0}, {"sample_id": "a", "reward": None}], "val/reward")
    {'a': 0.5}
    """
    read = BY_ROW.get(metric)
    if read is None:
        score = metric.removeprefix("val/reward/")
        if score == metric:
            return {}

        def read(row: Mapping[str, Any]) -> float | None:
            scores = row.get("scores")
            return number_of(scores.get(score)) if isinstance(scores, dict) else None

    values: dict[str, list[float]] = {}
    for row in rows:
        if isinstance(row, dict) and (value := read(row)) is not None:
            values.setdefault(str(row.get("sample_id")), []).append(value)
    return {question: math.fsum(found) / len(found) for question, found in values.items()}


def _status(sweep: Sweep, run: SweepRun) -> tuple[str, str | None]:
    """What became of it, and why; of a run that could not speak for itself, what it last said."""
    state = state_of(sweep, run)
    reason = _plain(state.reason) if state.reason else None
    return state.status, reason or (_last_line(sweep.log_file(run)) if state.status == "failed" else None)


def _last_line(log: Path) -> str | None:
    """The last line of a log that says something."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return None
    return next((_plain(line.strip()) for line in reversed(lines) if line.strip()), None)


def _plain(text: str) -> str:
    """Cut to a length, and so that it can be written: a lone surrogate cannot."""
    return text[:REASON_CHARACTERS].encode("utf-8", "backslashreplace").decode()


def _recipe(folder: Path) -> dict[str, Any]:
    try:
        found = yaml.load((folder / "recipe.yaml").read_text(encoding="utf-8"), Loader=LOADER)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _costs(recipe: Mapping[str, Any], summary: Mapping[str, Any], series: Series) -> dict[str, float | None]:
    """Seconds; cores times seconds where one process had a fixed number of threads; tokens trained on; peak memory."""

    def setting(section: str, key: str) -> Any:
        part = recipe.get(section)
        return part.get(key) if isinstance(part, dict) else None

    seconds = number_of(summary.get("seconds"))
    threads = number_of(setting("engine", "threads")) if setting("engine", "name") == "local" else None
    rollouts = [number_of(setting(*key)) for key in (("training", "prompts_per_step"), ("algorithm", "group_size"))]
    lengths = [value for _, value in series.get("rollout/length", []) if math.isfinite(value)]
    tokens = None
    if lengths and rollouts[0] is not None and rollouts[1] is not None:
        tokens = math.fsum(lengths) * rollouts[0] * rollouts[1]
    cores = seconds * threads if seconds is not None and threads is not None else None
    return dict(zip(COSTS, (seconds, cores, tokens, number_of(summary.get("peak_rss_mb")))))


def _alarms(summary: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the alarms that summary and journal tell of, each once, in order."""
    told = [summary.get("alarms"), *(entry.get("alarms") for entry in entries)]
    found = [alarm for some in told if isinstance(some, list) for alarm in some]
    names = [alarm.get("name") if isinstance(alarm, dict) else alarm for alarm in found]
    return list(dict.fromkeys(_plain(name)[:80] for name in names if isinstance(name, str)))


def _last(series: Series, metric: str) -> float | None:
    known = [value for _, value in series.get(metric, []) if math.isfinite(value)]
    return known[-1] if known else None


def value_text(value: Any) -> str:
    """A setting as a recipe would write it."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else f"{text[:199]}…"
