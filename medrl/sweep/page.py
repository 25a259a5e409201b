"""The sweep's page: one self-contained file like a run's report, with links to the runs' reports beside it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from medrl.record.charts import COLOURS, Curve, Point, line_chart, running_mean
from medrl.record.headline import duration_text
from medrl.record.page import REPORT_PAGE, rendered
from medrl.record.panels import NOISY, Figure, Key
from medrl.sweep.figures import colour_of, cost, forest, heat
from medrl.sweep.layout import Sweep
from medrl.sweep.outcomes import Outcome, value_text
from medrl.sweep.tables import columns, not_compared
from medrl.sweep.words import certain, fixed, headline, notes

MOST_CURVES, SMALLEST = (
    COLOURS,
    340,
)  # curves in one picture: the baseline and the best of the others; pixels of a narrow one
ELSEWHERE = ("first", "time")  # columns of the table that have a place of their own on the page
SERIES = (  # drawn where a run recorded them: metric, title, unit
    ("reward/mean", "Training reward", ""),
    ("policy/entropy", "Entropy of the policy", "nats"),
    ("rollout/length", "Reply length", "tokens"),
    ("group/zero_spread", "Groups with no spread (no signal)", "fraction"),
)


def sweep_page(sweep: Sweep, facts: Mapping[str, Any], outcomes: Sequence[Outcome]) -> str:
    """The page as text. All names, settings, reasons and numbers pass autoescape."""
    drawn = _drawn(facts)
    colours = colour_of(facts["points"], drawn)
    curves = [_curves(facts, outcomes, drawn, colours, sweep.metric, sweep.metric, "", large=True)]
    curves += [_curves(facts, outcomes, drawn, colours, *one) for one in SERIES if one[0] != sweep.metric]
    contents = {
        "name": facts["name"],
        "status": _status(facts),
        "sentence": headline(facts),
        "facts": _summary(facts),
        "metric": facts["metric"],
        "forest": forest(facts, colours, 1060),
        "forest_narrow": forest(facts, colours, SMALLEST),
        "has_seeds": any(len(point["values"]) > 1 for point in facts["points"]),
        "table": _table(facts),
        "curves": [figure for figure in curves if figure],
        "left_out": len(facts["points"]) - len(drawn),
        "heat": heat(facts),
        "cost": cost(facts, colours),
        "cost_keys": [(point["point"], colours[point["point"]]) for point in facts["points"] if point["mean"] is not None],
        "costs": _costs(facts),
        "standings": _standings(facts, colours),
        "ranking": facts["ranking"],
        "undone": [one for one in facts["outcomes"] if one["status"] != "done"],
        "runs": [
            {**one, "href": f"{quote(one['name'])}/{REPORT_PAGE}" if (sweep.run_dir(each.run) / REPORT_PAGE).is_file() else None,
             "shown": fixed(one["value"]), "time": _time(one["seconds"])}
            for one, each in zip(facts["outcomes"], outcomes)
        ],
        "differences": [
            (point["point"], point["point"] == facts["baseline"], [(key, value_text(value)) for key, value in point["set"].items()])
            for point in facts["points"]
        ],
        "recipe": facts["recipe"],
        "overrides": facts["overrides"],
        "notes": [*notes(facts), *not_compared(facts)],
        "problems": facts["problems"],
    }  # fmt: skip
    return rendered("sweep", contents, script_of="report")


def _status(facts: Mapping[str, Any]) -> str:
    counts, total = facts["counts"], len(facts["outcomes"])
    if counts.get("done", 0) == total:
        return "completed"
    return "failed" if counts.get("failed", 0) == total else "unfinished"


def _summary(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The few numbers under the headline."""
    counts, seconds = facts["counts"], [one["seconds"] for one in facts["outcomes"] if one["seconds"] is not None]
    found = [
        ("points", str(len(facts["points"]))),
        ("runs done", f"{counts.get('done', 0)} of {len(facts['outcomes'])}"),
    ]
    found += [(state, str(count)) for state, count in counts.items() if state != "done"]
    found.append(("seeds", str(len({one["seed"] for one in facts["outcomes"]}))))
    questions = {one["questions"] for one in facts["outcomes"] if one["questions"]}
    if len(questions) == 1:
        found.append(("questions", f"{questions.pop():,}"))
    if seconds:
        found.append(("time of all runs", duration_text(math.fsum(seconds))))
    return found


def _table(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The table for people, its rows marked where a difference is certain."""
    named = [(name, cells) for name, cells in columns(facts) if name not in ELSEWHERE]
    sign = 1 if facts["higher_is_better"] else -1
    marks = []
    for point in facts["points"]:
        gain = sign * point["difference"]["mean"] if certain(point) else 0
        marks.append("better" if gain > 0 else "worse" if gain < 0 else "")
    return {"head": [name for name, _ in named], "rows": list(zip(marks, zip(*(cells for _, cells in named))))}


def _costs(facts: Mapping[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Point, time, core time, tokens trained on, peak memory; means over its completed runs."""
    found = []
    for point in facts["points"]:
        memory, tokens = point["peak_rss_mb"], point["tokens"]
        found.append(
            (
                point["point"],
                _time(point["seconds"]),
                _time(point["core_seconds"]),
                "–" if tokens is None else f"{tokens:,.0f}",
                "–" if memory is None else f"{memory / 1024:.1f} GB",
            )
        )
    return found


def _standings(facts: Mapping[str, Any], colours: Mapping[str, int]) -> list[dict[str, Any]]:
    """The most often first on top."""
    ranked = [point for point in facts["points"] if point["standing"]]
    ranked.sort(key=lambda point: (-point["standing"]["first"], point["standing"]["mean_rank"]))
    return [
        {
            "point": point["point"],
            "colour": colours[point["point"]],
            "first": point["standing"]["first"],
            "rank": f"{point['standing']['mean_rank']:.1f}",
            "range": f"{point['standing']['low']:g} to {point['standing']['high']:g}",
        }
        for point in ranked
    ]


def _drawn(facts: Mapping[str, Any]) -> list[str]:
    """The points that get a curve: the baseline and the best of the others, in the order of the table."""
    points = facts["points"]
    if len(points) <= MOST_CURVES:
        return [point["point"] for point in points]
    sign = -1 if facts["higher_is_better"] else 1
    others = sorted(
        (point for point in points if point["point"] != facts["baseline"]),
        key=lambda point: sign * point["mean"] if point["mean"] is not None else math.inf,
    )
    kept = {facts["baseline"], *(point["point"] for point in others[: MOST_CURVES - 1])}
    return [point["point"] for point in points if point["point"] in kept]


def _curves(
    facts: Mapping[str, Any],
    outcomes: Sequence[Outcome],
    drawn: Sequence[str],
    colours: Mapping[str, int],
    metric: str,
    title: str,
    unit: str,
    large: bool = False,
) -> Figure | None:
    """One curve a point: the mean over its seeds, and a band from the lowest to the highest of them."""
    curves = []
    for name in drawn:
        runs = [one for one in outcomes if one.run.point == name and metric in one.series]
        done = [one for one in runs if one.done] or runs
        points, band = over_seeds([one.series[metric] for one in done])
        if points:
            curves.append(Curve(name, points, colours[name], dashed=name == facts["baseline"], band=band))
    if not curves:
        return None
    from_zero = unit == "fraction"
    width, height = (1060, 300) if large else (340, 190)
    svg = line_chart(curves, title=title, unit=unit, width=width, height=height, from_zero=from_zero)
    narrow = (
        line_chart(curves, title=title, unit=unit, width=SMALLEST, height=220, from_zero=from_zero) if large else None
    )
    keys = tuple(Key(curve.label, curve.colour, curve.dashed, fixed(curve.points[-1][1])) for curve in curves)
    return Figure(title, keys, svg, narrow)


def over_seeds(series: Sequence[Sequence[Point]]) -> tuple[list[Point], list[tuple[float, float, float]]]:
    """(mean over the seeds, lowest and highest) at the steps that every seed recorded; long series are smoothed first.

    >>> over_seeds([[(1, 0.25), (2, 0.5)], [(1, 0.75)]])
    ([(1, 0.5)], [(1, 0.25, 0.75)])
    """
    smooth = [
        dict(running_mean(one, len(one) // 40 * 2 + 1 if len(one) >= NOISY else 1)) for one in series
    ]  # running_mean leaves gaps out
    steps = sorted(set.intersection(*(set(one) for one in smooth))) if smooth else []
    values = [(step, [one[step] for one in smooth]) for step in steps]
    band = [(step, min(found), max(found)) for step, found in values] if len(smooth) > 1 else []
    return [(step, math.fsum(found) / len(found)) for step, found in values], band


def _time(seconds: float | None) -> str:
    return "–" if seconds is None else duration_text(seconds)
