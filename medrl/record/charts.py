"""Curves as SVG: pure functions from series to a string that needs no script, no font and no network.

Colours are CSS classes (c1 to c6) of the page, so one picture serves light, dark and print. Every curve carries its
points in `data-points`, which the page's hover reads. Unlike a plotting library there is no state and no option that
the report does not use. A value that is missing or not finite is a gap in the curve, never a zero.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Point = tuple[float, float]  # (step, value)

COLOURS = 6
MAX_POINTS = 500
MAX_DOTS = 20  # a curve of so few points shows each one
LARGEST = 1e300  # beyond it a difference overflows; such a value is a gap like NaN
CHARACTER_PX = 6.3  # of the 11 px tick labels, generous: a label may not be cut off


@dataclass(frozen=True)
class Curve:
    """One series. `band` holds (step, low, high) of an interval; `faint` is the noise behind a smoothed curve."""

    label: str
    points: Sequence[Point]
    colour: int = 1
    dashed: bool = False
    faint: bool = False
    band: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True)
class Area:
    """Where the curves go, in SVG units: steps `x_low..x_high` onto `left..right`, values onto `bottom..top`."""

    left: float
    right: float
    top: float
    bottom: float
    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, step: float) -> float:
        """Horizontal place of a step."""
        return self.left + (step - self.x_low) / (self.x_high - self.x_low) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Vertical place of a value; SVG counts downwards."""
        return self.bottom - (value - self.y_low) / (self.y_high - self.y_low) * (self.bottom - self.top)


def line_chart(
    curves: Sequence[Curve],
    *,
    title: str,
    unit: str = "",
    width: int = 340,
    height: int = 190,
    from_zero: bool = False,
    limit: int = MAX_POINTS,
    marked: Sequence[tuple[float, float]] = (),
) -> Markup:
    """Lines over steps, each thinned to `limit` points; a dashed curve of one point is drawn across, as a level. `marked`:
    stretches from a step to a step that are shaded.

    Zero is on the axis when `from_zero`, or when leaving it out would make a small change look large.
    """
    curves = [curve for curve in curves if _finite(curve.points)]
    if not curves:
        return _nothing(title, width, height)
    values = [value for curve in curves for _, value in _finite(curve.points)]
    values += [edge for curve in curves for _, *edges in curve.band for edge in edges if _is_number(edge)]
    steps = [step for curve in curves for step, _ in _finite(curve.points)]
    area, frame = _frame(min(steps), max(steps), min(values), max(values), unit, width, height, from_zero)
    parts = [_stretch(*stretch, area) for stretch in marked]
    parts += [_band(curve, area, limit) for curve in curves if curve.band]
    for curve in sorted(curves, key=lambda curve: not curve.faint):  # the noise lies underneath
        parts.append(_line(curve, area, limit))
    return _svg(title, _told(curves, unit), width, height, area, [*frame, *parts])


def stacked_chart(
    curves: Sequence[Curve], *, title: str, unit: str = "", width: int = 340, height: int = 190, limit: int = MAX_POINTS
) -> Markup:
    """Areas on top of one another, the first at the bottom: parts of a whole, as the seconds of a step.

    The curves are thinned together, by the mean of neighbouring steps; a part without a value counts as nothing there.
    """
    curves = [curve for curve in curves if _finite(curve.points)]
    if not curves:
        return _nothing(title, width, height)
    by_step = [dict(_finite(curve.points)) for curve in curves]
    steps = sorted(set().union(*by_step))
    table = [[max(values.get(step, 0.0), 0.0) for values in by_step] for step in steps]  # (steps, curves)
    chunk = math.ceil(len(steps) / limit)
    shown = [_mean(steps[start : start + chunk]) for start in range(0, len(steps), chunk)]
    rows = [[_mean(column) for column in zip(*table[start : start + chunk])] for start in range(0, len(steps), chunk)]
    area, frame = _frame(shown[0], shown[-1], 0.0, max(sum(row) for row in rows), unit, width, height, True)
    if len(shown) == 1:  # one step still gets a visible block
        shown, rows = [area.x_low, area.x_high], [rows[0], rows[0]]
    parts = []
    floor = [0.0] * len(shown)
    for index, curve in enumerate(curves):
        roof = [low + row[index] for low, row in zip(floor, rows)]
        outline = [*zip(shown, roof), *reversed(list(zip(shown, floor)))]
        points = _data_points(list(zip(shown, (row[index] for row in rows))))
        parts.append(
            Markup('<path class="stack c{}" d="{}Z" data-label="{}" data-points="{}"/>').format(
                curve.colour, _path(outline, area), curve.label, points
            )
        )
        floor = roof
    return _svg(title, _told(curves, unit), width, height, area, [*frame, *parts])


def thin(points: Sequence[Point], limit: int = MAX_POINTS) -> list[Point]:
    """At most `limit` points: the first, the last, and the lowest and highest of each stretch, so spikes survive.

    >>> thin([(step, float(step == 70)) for step in range(100)], limit=6)
    [(0, 0.0), (1, 0.0), (50, 0.0), (70, 1.0), (99, 0.0)]
    """
    if len(points) <= limit:
        return list(points)
    inner = points[1:-1]
    stretches = max((limit - 2) // 2, 1)
    kept = [points[0]]
    for stretch in range(stretches):
        part = inner[stretch * len(inner) // stretches : (stretch + 1) * len(inner) // stretches]
        known = [point for point in part if _is_number(point[1])]
        if not known:
            kept.append(part[0])  # a gap as long as this stretch stays a gap
            continue
        ends = {min(known, key=lambda point: point[1]), max(known, key=lambda point: point[1])}
        kept += sorted(ends)
    return [*kept, points[-1]]


def running_mean(points: Sequence[Point], window: int) -> list[Point]:
    """Each value replaced by the mean of the `window` points around it; fewer at both ends, gaps left out.

    >>> running_mean([(0, 1.0), (1, 2.0), (2, 6.0)], window=3)
    [(0, 1.5), (1, 3.0), (2, 4.0)]
    """
    known = _finite(points)
    half = window // 2
    total = [0.0]
    for _, value in known:
        total.append(total[-1] + value)
    means = []
    for index, (step, _) in enumerate(known):
        start, stop = max(index - half, 0), min(index + half + 1, len(known))
        means.append((step, (total[stop] - total[start]) / (stop - start)))
    return means


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers (1, 2, 2.5 or 5 times a power of ten) from `low` or below to `high` or above.

    >>> nice_ticks(0.42, 0.78), nice_ticks(0, 1)
    ([0.4, 0.5, 0.6, 0.7, 0.8], [0.0, 0.25, 0.5, 0.75, 1.0])
    """
    if not low < high:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def number_text(value: float | None) -> str:
    """A number for people: three significant digits, thousands with a comma, a dash for nothing.

    >>> [number_text(value) for value in (0.78349, 12, 1234.5, 0.000002, None, float("nan"))]
    ['0.783', '12', '1,234', '2e-6', '–', '–']
    """
    if not _is_number(value):
        return "–"
    assert value is not None
    sign, size = ("−" if value < 0 else ""), abs(value)
    if size < 1e9 and size == int(size):
        return f"{sign}{int(size):,}"
    if size < 0.001 or size >= 1e9:
        mantissa, exponent = f"{size:.1e}".split("e")
        return f"{sign}{mantissa.removesuffix('.0')}e{int(exponent)}"
    return sign + (f"{size:,.0f}" if size >= 100 else f"{size:.3g}")


def _frame(
    x_low: float, x_high: float, low: float, high: float, unit: str, width: int, height: int, from_zero: bool
) -> tuple[Area, list[Markup]]:
    """The plotting area and its axes: grid lines at the ticks of the values, ticks of the steps below."""
    constant = high - low <= 1e-9 * abs(high)  # a running mean of equal values differs in its last digits
    if from_zero or 0 <= low <= 0.7 * high or (constant and low >= 0):
        low, high = min(low, 0.0), max(high, 0.0)
        high = high if low < high else 1.0  # nothing but zeros
    y_ticks = nice_ticks(low, high, 4 if height >= 150 else 2)
    labels = _tick_labels(y_ticks)
    left = 8 + CHARACTER_PX * max(len(label) for label in [*labels, "steps"])
    if x_low == x_high:
        x_low, x_high = x_low - 0.5, x_high + 0.5
    area = Area(
        left, width - 10, 22 if unit else 8, height - 22, x_low, x_high, min(y_ticks[0], low), max(y_ticks[-1], high)
    )
    parts = []
    grid_line = Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>')
    for tick, label in zip(y_ticks, labels):
        y = area.y(tick)
        parts.append(grid_line.format("zero" if tick == 0 else "grid", _short(left), width - 10, _short(y), _short(y)))
        parts.append(_text("end", left - 6, y + 4, label))
    if unit:
        parts.append(_text("start", 0, 10, unit))
    parts.append(_text("start", 0, height - 6, "step"))
    for tick in _step_ticks(x_low, x_high, 8 if width > 600 else 5):
        label = number_text(tick)
        half = CHARACTER_PX * len(label) / 2
        parts.append(_text("middle", min(area.x(tick), width - half), height - 6, label))  # not over the edge
    return area, parts


def _step_ticks(low: float, high: float, count: int) -> list[float]:
    """Whole, round steps inside the range; the first step alone when the run has only one."""
    if high - low <= 1:
        return [math.ceil(low)]
    return [tick for tick in nice_ticks(low, high, count) if low <= tick <= high and tick == int(tick)]


def _tick_labels(ticks: Sequence[float]) -> list[str]:
    """The ticks with equally many decimals; powers of ten where decimals would be too many."""
    step = ticks[1] - ticks[0]
    if step < 0.0005 or max(abs(tick) for tick in ticks) >= 1e6:
        return [number_text(tick) for tick in ticks]
    decimals = next((digits for digits in range(5) if abs(round(step, digits) - step) < step / 100), 4)
    return [f"{tick:,.{decimals}f}".replace("-", "−") for tick in ticks]


def _line(curve: Curve, area: Area, limit: int) -> Markup:
    points = thin(curve.points, limit)
    known = _finite(points)
    if curve.dashed and len(known) == 1:
        points = known = [(area.x_low, known[0][1]), (area.x_high, known[0][1])]
    kind = "line faint" if curve.faint else "line dashed" if curve.dashed else "line"
    line = Markup('<path class="{} c{}" d="{}" data-label="{}" data-points="{}"/>').format(
        kind, (curve.colour - 1) % COLOURS + 1, _path(points, area), curve.label, _data_points(known)
    )
    if len(known) > MAX_DOTS or curve.dashed or curve.faint:
        return line
    dots = (Markup('<circle cx="{}" cy="{}" r="2.5"/>').format(_short(area.x(x)), _short(area.y(y))) for x, y in known)
    return line + Markup('<g class="dots c{}">{}</g>').format((curve.colour - 1) % COLOURS + 1, Markup("").join(dots))


def _band(curve: Curve, area: Area, limit: int) -> Markup:
    """The interval around a curve; thinned by taking every k-th step, since an interval has no spikes to keep."""
    known = [row for row in curve.band if _is_number(row[1]) and _is_number(row[2])]
    known = known[:: math.ceil(len(known) / (limit // 2))] if known else []
    outline = [(step, high) for step, _, high in known] + [(step, low) for step, low, _ in reversed(known)]
    if len(known) < 2:  # a single interval is a bar
        path = "".join(_path([(step, low), (step, high)], area) for step, low, high in known)
        return Markup('<path class="bar c{}" d="{}"/>').format(curve.colour, path)
    return Markup('<path class="band c{}" d="{}Z"/>').format(curve.colour, _path(outline, area))


def _stretch(first: float, last: float, area: Area) -> Markup:
    """The shade over some steps, half a step wider on both sides and 3 px wide at least, inside the plotting area."""
    left, right = (min(max(area.x(step), area.left), area.right) for step in (first - 0.5, last + 0.5))
    left = max(min(left, right - 3), area.left)
    return Markup('<rect class="marked" x="{}" y="{}" width="{}" height="{}"/>').format(
        _short(left), _short(area.top), _short(max(right - left, 3)), _short(area.bottom - area.top)
    )


def _path(points: Sequence[Point], area: Area) -> str:
    """The `d` of a path; a value that is not finite lifts the pen."""
    parts, pen = [], "M"
    for step, value in points:
        if not _is_number(value):
            pen = "M"
            continue
        parts.append(f"{pen}{_short(area.x(step))},{_short(area.y(value))}")
        pen = "L"
    return "".join(parts)


def _text(anchor: str, x: float, y: float, text: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(anchor, _short(x), _short(y), text)


def _svg(title: str, told: str, width: int, height: int, area: Area, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="chart" role="img" viewBox="0 0 {w} {h}" aria-label="{title}. {told}" data-left="{left}"'
        ' data-right="{right}" data-top="{top}" data-bottom="{bottom}" data-low="{low}" data-high="{high}">'
        "{parts}</svg>"
    ).format(
        w=width,
        h=height,
        title=title,
        told=told,
        left=_short(area.left),
        right=_short(area.right),
        top=_short(area.top),
        bottom=_short(area.bottom),
        low=f"{area.x_low:.10g}",
        high=f"{area.x_high:.10g}",
        parts=Markup("").join(parts),
    )


def _nothing(title: str, width: int, height: int) -> Markup:
    return Markup(
        '<svg class="chart" role="img" viewBox="0 0 {w} {h}" aria-label="{title}. Nothing recorded yet.">{text}</svg>'
    ).format(w=width, h=height, title=title, text=_text("middle", width / 2, height / 2, "nothing recorded yet"))


def _told(curves: Sequence[Curve], unit: str) -> str:
    """The curves in words, for a reader who hears the page."""
    sentences = []
    for curve in curves:
        known = _finite(curve.points)
        if curve.faint or not known:
            continue
        (first_step, first), (last_step, last) = known[0], known[-1]
        sentences.append(
            f"{curve.label}: {number_text(first)} at step {number_text(first_step)},"
            f" {number_text(last)} at step {number_text(last_step)}{' ' + unit if unit else ''}."
        )
    return " ".join(sentences)


def _data_points(points: Sequence[Point]) -> Markup:
    return escape(" ".join(f"{step:.10g}:{value:.4g}" for step, value in points))


def _finite(points: Sequence[Point]) -> list[Point]:
    return [point for point in points if _is_number(point[1])]


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and abs(value) < LARGEST


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _short(value: float) -> str:
    """Two decimals at most: a hundredth of a pixel is enough and the page stays small."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
