"""The run in one sentence, and the few numbers beside it: no claim that the intervals do not carry.

Two evaluations ask the same questions, so their difference is known better than either mean: the change is paired by
question, with its own bootstrap interval, and it decides between "rose", "fell" and "moved".
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medrl.evaluation.paired import paired_difference
from medrl.record.charts import number_text
from medrl.record.replies import Row, number_of, shorten

TABLE_ROWS = 200


@dataclass(frozen=True)
class Change:
    """A mean difference and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Headline:
    """The run in one sentence, and its two measurements when there are any."""

    sentence: str
    first: str = ""
    first_interval: str = ""
    last: str = ""
    last_interval: str = ""


def headline(summary: Mapping[str, Any], change: Change | None = None) -> Headline:
    """Say what the run did to held-out reward; `change` is that of `paired_change`, where both evaluations are kept.

    >>> V = {"reward": 0.42, "low": 0.39, "high": 0.45, "n": 512}
    >>> W = {"reward": 0.78, "low": 0.75, "high": 0.81, "n": 512}
    >>> headline({"val_first": V, "val_last": W, "steps": 120, "seconds": 186}).sentence
    'Held-out reward rose from 0.42 [0.39, 0.45] to 0.78 [0.75, 0.81] on 512 questions in 120 steps, 3.1 min.'
    """
    first, last, steps = _measured(summary.get("val_first")), _measured(summary.get("val_last")), summary.get("steps")
    effort = f"{steps:,} step{'' if steps == 1 else 's'}" if isinstance(steps, int) else "an unknown number of steps"
    if summary.get("seconds") is not None:
        effort += f", {duration_text(summary['seconds'])}"
    if first is None and last is None:
        return Headline(f"No held-out measurement was recorded in {effort}.")
    if first is None or last is None or steps == 0:
        only = first or last
        assert only is not None
        text = f"Held-out reward is {_with_interval(only)}{_questions(only)}, measured once; {effort}."
        return Headline(text, last=_two(only["reward"]), last_interval=_interval(only))
    verb, remark = _verdict(first, last, change)
    return Headline(
        f"Held-out reward {verb} from {_with_interval(first)} to {_with_interval(last)}{_questions(last)} in {effort}{remark}.",
        _two(first["reward"]),
        _interval(first),
        _two(last["reward"]),
        _interval(last),
    )


def paired_change(before: Sequence[Row], after: Sequence[Row]) -> Change | None:
    """Mean change of reward over the questions both evaluations asked, with its 95 % interval; None below two questions.

    A question's reward is the mean of its attempts, a missing one counting 0, as the held-out mean itself has it.
    """
    first, last = _by_question(before), _by_question(after)
    both = first.keys() & last.keys()
    if len(both) < 2:
        return None
    found = paired_difference({name: last[name] for name in both}, {name: first[name] for name in both})
    return Change(found.mean, found.low, found.high)


def duration_text(seconds: float) -> str:
    """A time span in the unit a person would use.

    >>> duration_text(12.34), duration_text(186), duration_text(9000)
    ('12 s', '3.1 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The few numbers under the headline."""
    first, last = _measured(summary.get("val_first")), _measured(summary.get("val_last"))
    rates = [f"{100 * value['parse_rate']:.0f} %" for value in (first, last) if value and "parse_rate" in value]
    found = [("engine", summary.get("engine")), ("steps", summary.get("steps"))]
    if summary.get("seconds") is not None:
        found.append(("time", duration_text(summary["seconds"])))
    if summary.get("peak_rss_mb") is not None:
        found.append(("peak memory", f"{summary['peak_rss_mb'] / 1024:.1f} GB"))
    if rates:
        found.append(("readable answers", " → ".join(rates)))
    for name, title, text in ACTING:
        values = [number_of(metrics.get(name)) for metrics in _metrics_of(summary)]
        if told := [text(value) for value in values if value is not None]:
            found.append((title, " → ".join(told)))
    return [(name, str(value)) for name, value in found if value is not None]


def measures(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The evaluation's further metrics, before and after."""
    before, after = _metrics_of(summary)
    names = list(before | after)[:TABLE_ROWS]
    return [(name, number_text(number_of(before.get(name))), number_text(number_of(after.get(name)))) for name in names]


def flat(table: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Name and value of every leaf; nested names joined by a dot."""
    found = []
    for key, value in table.items():
        name = f"{above}{key}"
        if isinstance(value, dict) and value and name.count(".") < 5:
            found += flat(value, f"{name}.")
        else:
            found.append((shorten(name, 120), value))
    return found


def exact_text(value: Any) -> str:
    """A value of the card as it is: nothing is rounded, since somebody may want to repeat the run."""
    return shorten(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), 400)


def _metrics_of(summary: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The further metrics of the first and of the last evaluation, by their full names."""
    tables = []
    for key in ("val_first", "val_last"):
        value = summary.get(key)
        table = value.get("metrics") if isinstance(value, dict) else None
        tables.append(dict(flat(table)) if isinstance(table, dict) else {})
    return tables[0], tables[1]


def _verdict(first: Mapping[str, float], last: Mapping[str, float], change: Change | None) -> tuple[str, str]:
    """The verb, and a remark where the two intervals alone do not show it."""
    if all(edge in value for value in (first, last) for edge in ("low", "high")):
        if last["low"] > first["high"]:
            return "rose", ""
        if last["high"] < first["low"]:
            return "fell", ""
    if change is None:
        return "moved", "; nothing recorded tells whether this is more than chance"
    told = f"{_signed(change.mean)} [{_signed(change.low)}, {_signed(change.high)}]"
    if change.low <= 0 <= change.high:
        return "moved", f"; question by question the change is {told}, so it may be chance"
    return ("rose" if change.mean > 0 else "fell"), f"; question by question the change is {told}"


def _by_question(rows: Sequence[Row]) -> dict[str, float]:
    rewards: dict[str, list[float]] = {}
    for row in rows:
        rewards.setdefault(str(row.get("sample_id")), []).append(number_of(row.get("reward")) or 0.0)
    return {sample: math.fsum(found) / len(found) for sample, found in rewards.items()}


def _measured(value: Any) -> dict[str, float] | None:
    """The finite numbers of a measurement; None when its reward is not among them."""
    if not isinstance(value, dict):
        return None
    numbers = {key: item for key, item in value.items() if isinstance(item, int | float) and math.isfinite(item)}
    return numbers if "reward" in numbers else None


def _with_interval(value: Mapping[str, float]) -> str:
    return f"{_two(value['reward'])} {_interval(value)}".rstrip()


def _interval(value: Mapping[str, float]) -> str:
    return f"[{_two(value['low'])}, {_two(value['high'])}]" if "low" in value and "high" in value else ""


def _questions(value: Mapping[str, float]) -> str:
    return f" on {value['n']:,.0f} questions" if "n" in value else ""


def _two(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


# of the evaluations' metrics, where there is an environment: name, title, how a value is written
ACTING: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("tool/confirmed", "attempts that act", lambda share: f"{100 * share:.0f} %"),
    ("tool/gain_over_turn_one", "gain over the first reply", _signed),
)
