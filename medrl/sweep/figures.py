"""The sweep's own figures as SVG: the forest of means, and what each point cost. Curves come from record/charts.py.

Pure functions from facts to pictures that need no script and no network; every picture says its numbers in words too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from medrl.record.charts import CHARACTER_PX, COLOURS, nice_ticks, number_text
from medrl.sweep.words import fixed, with_interval

ROW_PX, NARROW_ROW_PX = 34, 46
MOST_LABEL_PX = 300


def forest(facts: Mapping[str, Any], colours: Mapping[str, int], width: int) -> Markup:
    """Each point's mean with its interval, its seeds as small dots, the baseline's mean as a line through all.

    Below 600 units wide, names stand above their rows instead of beside them.
    """
    points, narrow = facts["points"], width < 600
    told = "; ".join(f"{point['point']} {with_interval(point)}" for point in points)
    known = [value for point in points for value in _values(point)]
    if not known:
        nothing = [_text("middle", width / 2, 24, "nothing measured yet")]
        return _svg(f"{facts['metric']} of each point. Nothing measured yet.", width, 40, nothing)
    row, top = (NARROW_ROW_PX, 6) if narrow else (ROW_PX, 6)
    bottom = top + row * len(points)
    longest = max(len(_label(point, facts)) for point in points)
    left = 12.0 if narrow else min(MOST_LABEL_PX, CHARACTER_PX * longest * 1.15) + 16
    right = width - (12.0 if narrow else 150.0)
    ticks = nice_ticks(min(known), max(known), 4 if narrow else 6)

    def x(value: float) -> float:
        return left + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (right - left)

    parts = []
    for tick in ticks:
        parts.append(_line("zero" if tick == 0 else "grid", x(tick), top, x(tick), bottom))
        parts.append(_text("middle", min(max(x(tick), 14), width - 14), bottom + 16, number_text(tick)))
    base = next((point for point in points if point["point"] == facts["baseline"]), None)
    if base and base["mean"] is not None:
        parts.append(_line("base", x(base["mean"]), top, x(base["mean"]), bottom))
    for place, point in enumerate(points):
        y = top + row * place + (32 if narrow else row / 2)
        room = int((width - 24 if narrow else left - 16) / CHARACTER_PX)
        label = _short_label(_label(point, facts), room)
        parts.append(_text("start name", left, y - 16, label) if narrow else _text("end", left - 12, y + 4, label))
        if not narrow:
            parts.append(_text("start", right + 14, y + 4, with_interval(point)))
        if point["mean"] is not None:
            parts.append(_mark(point, colours[point["point"]], x, y))
    return _svg(f"{facts['metric']} of each point: {told}.", width, bottom + 24, parts)


def cost(facts: Mapping[str, Any], colours: Mapping[str, int], width: int = 340, height: int = 220) -> Markup | None:
    """The metric against the seconds a run took, one mark a point with its interval; None unless two points can be placed."""
    placed = [point for point in facts["points"] if point["mean"] is not None and point["seconds"]]
    if len(placed) < 2:
        return None
    values = [value for point in placed for value in _values(point)]
    unit, factor = ("hours", 3600) if max(point["seconds"] for point in placed) >= 5400 else ("minutes", 60)
    times = [point["seconds"] / factor for point in placed]
    y_ticks, x_ticks = nice_ticks(min(values), max(values)), nice_ticks(0, max(times))
    labels = [number_text(tick) for tick in y_ticks]
    left, right, top, bottom = 8 + CHARACTER_PX * max(map(len, labels)), width - 14, 10, height - 34

    def place(minutes: float, value: float) -> tuple[float, float]:
        return (
            left + (minutes - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (right - left),
            bottom - (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (bottom - top),
        )

    parts = []
    for tick, label in zip(y_ticks, labels):
        y = place(0, tick)[1]
        parts += [_line("grid", left, y, right, y), _text("end", left - 6, y + 4, label)]
    for tick in x_ticks:
        parts.append(_text("middle", place(tick, y_ticks[0])[0], bottom + 16, number_text(tick)))
    parts.append(_text("middle", (left + right) / 2, height - 4, f"{unit} a run"))
    for point, minutes in zip(placed, times):
        x, y = place(minutes, point["mean"])
        marks = [Markup('<circle cx="{}" cy="{}" r="4.5"/>').format(_px(x), _px(y))]
        if point["low"] is not None:
            marks.append(_line("span", x, place(0, point["low"])[1], x, place(0, point["high"])[1]))
        title = f"{point['point']}: {with_interval(point)}, {number_text(minutes)} {unit}"
        parts.append(_group(colours[point["point"]], title, marks))
    told = "; ".join(f"{p['point']} {fixed(p['mean'])} in {number_text(t)} {unit}" for p, t in zip(placed, times))
    return _svg(f"{facts['metric']} against time: {told}.", width, height, parts)


def heat(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """A grid over two numeric keys: rows, columns, and in each cell text and shade from 0 (worst) to 1 (best); None for others."""
    keys = facts["varied"]
    if len(keys) != 2:
        return None
    places: dict[tuple[float, float], Mapping[str, Any]] = {}
    for point in facts["points"]:
        values = [point["set"].get(key) for key in keys]
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            return None
        places[values[0], values[1]] = point
    rows, columns = sorted({one for one, _ in places}), sorted({other for _, other in places})
    means = [point["mean"] for point in places.values() if point["mean"] is not None]
    if len(rows) < 2 or len(columns) < 2 or len(places) < len(facts["points"]) or not means:
        return None
    low, wide = min(means), (max(means) - min(means)) or 1.0

    def shade(mean: float) -> float:
        share = (mean - low) / wide
        return round(share if facts["higher_is_better"] else 1 - share, 3)

    table = []
    for one in rows:
        cells = [places.get((one, other)) for other in columns]
        table.append(
            [
                (with_interval(cell), shade(cell["mean"])) if cell and cell["mean"] is not None else ("–", None)
                for cell in cells
            ]
        )
    return {
        "row_key": keys[0],
        "column_key": keys[1],
        "columns": [number_text(value) for value in columns],
        "rows": list(zip([number_text(value) for value in rows], table)),
    }


def colour_of(points: Sequence[Mapping[str, Any]], drawn: Sequence[str]) -> dict[str, int]:
    """A colour class for each point: its own for each of at most six that have curves, the last for all others."""
    return {point["point"]: drawn.index(point["point"]) + 1 if point["point"] in drawn else COLOURS for point in points}


def _mark(point: Mapping[str, Any], colour: int, x: Any, y: float) -> Markup:
    marks = []
    if point["low"] is not None:
        marks.append(_line("span", x(point["low"]), y, x(point["high"]), y))
        marks += [_line("span", x(edge), y - 4, x(edge), y + 4) for edge in (point["low"], point["high"])]
    if len(point["values"]) > 1:
        seed = Markup('<circle class="seed" cx="{}" cy="{}" r="3"/>')
        marks += [seed.format(_px(x(value)), _px(y)) for value in point["values"].values()]
    diamond = Markup('<path class="mean" d="M{},{}l5.5,5.5l-5.5,5.5l-5.5,-5.5z"/>')
    marks.append(diamond.format(_px(x(point["mean"])), _px(y - 5.5)))
    seeds = ", ".join(f"seed {seed}: {fixed(value)}" for seed, value in point["values"].items())
    return _group(colour, f"{point['point']}: {with_interval(point)}; {seeds}", marks)


def _values(point: Mapping[str, Any]) -> list[float]:
    found = [point["mean"], point["low"], point["high"], *point["values"].values()]
    return [value for value in found if value is not None]


def _label(point: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    return f"{point['point']} (baseline)" if point["point"] == facts["baseline"] else str(point["point"])


def _short_label(label: str, room: int) -> str:
    """Both ends of a name too long: points differ at their ends."""
    return label if len(label) <= room else f"{label[: (room - 1) // 2]}…{label[len(label) - room // 2 :]}"


def _group(colour: int, title: str, marks: Sequence[Markup]) -> Markup:
    return Markup('<g class="mark c{}"><title>{}</title>{}</g>').format(colour, title, Markup("").join(marks))


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, *map(_px, (x1, y1, x2, y2)))


def _text(anchor: str, x: float, y: float, text: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(anchor, _px(x), _px(y), text)


def _svg(told: str, width: float, height: float, parts: Sequence[Markup]) -> Markup:
    return Markup('<svg class="chart" role="img" viewBox="0 0 {} {}" aria-label="{}">{}</svg>').format(
        _px(width), _px(height), told, Markup("").join(parts)
    )


def _px(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
