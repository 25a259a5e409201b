"""Which metric stands on which chart: from the journal's records to the report's figures.

Known names get a place and words a reader understands; any other name (a reward's own entries, a new metric) gets a
small chart of its own, so nothing that was logged is left out without a word. Cold start (sft) and GRPO count their
steps apart and never share an axis. The steps of an alarm are shaded where its metric is drawn.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from medrl.record.alarms import Raised
from medrl.record.charts import Curve, Point, line_chart, number_text, running_mean, stacked_chart
from medrl.record.health_rules import METRICS, RULES

Series = dict[str, list[Point]]  # metric name to (step, value), NaN where a value was recorded as nothing

NOISY = 60  # from so many steps on, a per-step value is drawn faint behind its running mean
SMALL_POINTS = 160
MAX_OTHER_CHARTS = 80
MAX_COMPONENTS = 5
TIME_PARTS = ("time/generate_s", "time/score_s", "time/update_s", "time/validate_s", "time/build_s")
CONSTANT = ("val/constant_answer", "val/constant_answer_low", "val/constant_answer_high")
HELD_OUT = ("val/reward", "val/reward_low", "val/reward_high", "val/greedy_reward", *CONSTANT)
TILES = (  # of the grid: one figure, or two half as high that belong together; (metric, title, unit) each
    (("rollout/length", "Reply length", "tokens"), ("rollout/truncated", "Cut off by the length limit", "fraction")),
    (("policy/entropy", "Entropy of the policy", "nats"), ("policy/kl", "KL from the reference", "nats")),
    (("group/zero_spread", "Groups with no spread (no signal)", "fraction"), ("reward/missing", "Missing rewards", "")),
    (("policy/clip_fraction", "Clipped tokens", "fraction"), ("policy/engine_gap", "Engine to trainer gap", "nats")),
    (("val/parse_rate", "Held-out replies that could be read", "fraction"),),
    (("tool/confirmed", "Attempts with a confirmed action", "fraction"), ("tool/turns", "Replies in an attempt", "")),
    (
        ("val/tool/confirmed", "Held-out attempts with a confirmed action", "fraction"),
        ("val/tool/gain_over_turn_one", "Held-out gain over the first reply", "share right"),
    ),
    (("optimizer/lr", "Learning rate", ""), ("optimizer/grad_norm", "Gradient norm", "")),
)


@dataclass(frozen=True)
class Key:
    """One entry of a legend."""

    label: str
    colour: int
    dashed: bool
    value: str


@dataclass(frozen=True)
class Figure:
    """One chart with its title and legend; `narrow` is the same picture for a telephone."""

    title: str
    keys: tuple[Key, ...]
    svg: Markup
    narrow: Markup | None = None
    note: str = ""

    @property
    def smoothed(self) -> bool:
        """Whether a running mean is drawn in front of the steps."""
        return 'class="line faint' in self.svg


def collect(records: Iterable[Mapping[str, Any]]) -> dict[str, Series]:
    """Stage to metric name to its points in order of steps; of a step recorded twice, as after a resume, the last."""
    values: dict[str, dict[str, dict[float, float]]] = {}
    for record in records:
        step = _float(record.get("step"))
        if math.isnan(step):
            continue
        stage = values.setdefault(str(record.get("stage", "grpo")), {})
        for name, value in record.items():
            if name in ("step", "stage") or isinstance(value, str | bool | list | dict):
                continue
            stage.setdefault(name, {})[step] = _float(value)
    return {
        stage: {name: sorted(points.items()) for name, points in series.items()} for stage, series in values.items()
    }


def hero(stages: Mapping[str, Series]) -> Figure | None:
    """The large first figure: held-out reward with its interval, else training reward, else the cold start's loss."""
    series = stages.get("grpo", {})
    if "val/reward" in series:
        low, high = dict(series.get("val/reward_low", ())), dict(series.get("val/reward_high", ()))
        band = [(step, low[step], high[step]) for step, _ in series["val/reward"] if step in low and step in high]
        curves = [Curve("sampled, with its 95 % interval" if band else "sampled", series["val/reward"], 1, band=band)]
        if "val/greedy_reward" in series:
            curves.append(Curve("greedy", series["val/greedy_reward"], 3))
        if "val/constant_answer" in series:
            level = series["val/constant_answer"]
            unchanged = len({value for _, value in level}) == 1
            curves.append(Curve("best constant answer", level[-1:] if unchanged else level, 2, dashed=True))
        return _figure("Held-out reward", curves, from_zero=True, large=True)
    if "reward/mean" in series:
        return _figure("Training reward", _smoothed("reward", series["reward/mean"]), from_zero=True, large=True)
    loss = stages.get("sft", {}).get("sft/loss")
    return _figure("Cold start: loss", _smoothed("loss", loss), unit="nats a token", large=True) if loss else None


def grid(stages: Mapping[str, Series], alarms: Sequence[Raised] = ()) -> list[list[Figure]]:
    """The tiles of the grid, each of one figure or of two half as high; a tile without data is left out."""
    series = stages.get("grpo", {})
    of_metric: dict[str, list[Raised]] = {}
    for alarm in alarms:
        of_metric.setdefault(METRICS.get(alarm.name, "reward/mean"), []).append(alarm)
    recorded = [[figure for figure in tile if figure[0] in series] for tile in TILES]
    singles = [
        [_single(series, *figure, len(tile) == 2, of_metric.get(figure[0], ())) for figure in tile] for tile in recorded
    ]
    alone = not series  # then the loss is the hero already
    cold_start = None if alone else _single(stages.get("sft", {}), "sft/loss", "Cold start: loss", "nats a token")
    tiles = [[cold_start], [_training_reward(series, of_metric.get("reward/mean", ()))], [_time(series)], *singles]
    found = [[figure for figure in tile if figure is not None] for tile in tiles]
    return [tile for tile in found if tile]


def others(stages: Mapping[str, Series]) -> tuple[list[Figure], list[str]]:
    """Every metric the hero and the grid do not show, small; and the names of those beyond `MAX_OTHER_CHARTS`."""
    rest = []
    for stage in sorted(stages):
        series = stages[stage]
        shown = _shown_names(series) if stage == "grpo" else {"sft/loss"}
        for name in sorted(set(series) - shown):
            title = name if stage == "grpo" or name.startswith(f"{stage}/") else f"{stage}: {name}"
            rest.append((title, series[name]))
    figures = []
    for title, points in rest[:MAX_OTHER_CHARTS]:
        curve = Curve(title, points)
        svg = line_chart([curve], title=title, unit=_unit(title), width=250, height=110, limit=SMALL_POINTS)
        figures.append(Figure(title, (_key(curve),), svg))
    return figures, [title for title, _ in rest[MAX_OTHER_CHARTS:]]


def _training_reward(series: Series, alarms: Sequence[Raised]) -> Figure | None:
    """Mean reward over its components, the score of each reward."""
    if "reward/mean" not in series:
        return None
    curves = _smoothed("mean", series["reward/mean"])
    for colour, name in enumerate(_components(series), start=2):
        curves.append(_smoothed(name.split("/")[1], series[name], colour)[-1])
    return _figure("Training reward and its components", curves, from_zero=True, alarms=alarms)


def _components(series: Series) -> list[str]:
    return sorted(name for name in series if name.startswith("reward/") and name.endswith("/score"))[:MAX_COMPONENTS]


def _time(series: Series) -> Figure | None:
    """Seconds of a step by what they went into; what no part accounts for is `other`."""
    parts = [Curve(name.split("/")[1].removesuffix("_s"), series[name], colour) for colour, name in
             enumerate((name for name in TIME_PARTS if name in series), start=1)]  # fmt: skip
    if "time/step_s" in series:
        known = [dict(curve.points) for curve in parts]
        other = [(step, max(total - math.fsum(part.get(step, 0.0) for part in known), 0.0)) for step, total in
                 series["time/step_s"]]  # fmt: skip
        parts.append(Curve("other" if parts else "step", other, 6))
    if not parts:
        return None
    svg = stacked_chart(parts, title="Time of a step", unit="seconds")
    keys = []
    for curve in reversed(parts):  # as stacked, the top first
        values = [value for _, value in curve.points if math.isfinite(value)]
        mean = math.fsum(values) / len(values) if values else None
        keys.append(
            Key(
                curve.label,
                curve.colour,
                False,
                "–" if mean is None else f"{mean:.2g} s" if mean < 100 else f"{mean:.0f} s",
            )
        )
    return Figure("Where the time of a step goes", tuple(keys), svg, note="Figures are means over the run.")


def _single(
    series: Series, name: str, title: str, unit: str, half: bool = False, alarms: Sequence[Raised] = ()
) -> Figure | None:
    if name not in series:
        return None
    from_zero = unit == "fraction"
    return _figure(title, _smoothed(name, series[name]), unit=unit, from_zero=from_zero, half=half, alarms=alarms)


def _smoothed(label: str, points: Sequence[Point], colour: int = 1) -> list[Curve]:
    """The curve alone, or with many steps its running mean in front of the steps themselves."""
    if len(points) < NOISY:
        return [Curve(label, points, colour)]
    window = len(points) // 40 * 2 + 1  # odd, a twentieth of the run
    return [
        Curve("this step alone", points, colour, faint=True),
        Curve(label, running_mean(points, window), colour),
    ]


def _figure(
    title: str,
    curves: Sequence[Curve],
    *,
    unit: str = "",
    from_zero: bool = False,
    half: bool = False,
    large: bool = False,
    alarms: Sequence[Raised] = (),
) -> Figure:
    width, height = (1060, 300) if large else (340, 96 if half else 190)
    marked = [(alarm.first_step, alarm.last_step) for alarm in alarms]
    svg = line_chart(curves, title=title, unit=unit, width=width, height=height, from_zero=from_zero, marked=marked)
    narrow = line_chart(curves, title=title, unit=unit, width=340, height=220, from_zero=from_zero) if large else None
    note = f"Shaded: alarm {', '.join(dict.fromkeys(alarm.name for alarm in alarms))}." if alarms else ""
    return Figure(title, tuple(_key(curve) for curve in curves if not curve.faint), svg, narrow, note)


def _key(curve: Curve) -> Key:
    known = [value for _, value in curve.points if math.isfinite(value)]
    return Key(curve.label, curve.colour, curve.dashed, number_text(known[-1] if known else None))


def _shown_names(series: Series) -> set[str]:
    """What `hero` and `grid` draw of these series."""
    names = {"reward/mean", "time/step_s", *TIME_PARTS, *(name for tile in TILES for name, _, _ in tile)}
    names.update(HELD_OUT if "val/reward" in series else ())
    names.update(f"health/{name}" for name in RULES)  # 0 or 1 a step: told by the page's list of alarms
    names.update(_components(series) if "reward/mean" in series else ())
    return names


def _unit(name: str) -> str:
    for ending, unit in (("_s", "seconds"), ("_mb", "MB"), ("_gb", "GB"), ("_px", "pixels"), ("tokens", "tokens")):
        if name.endswith(ending):
            return unit
    return ""


def _float(value: Any) -> float:
    """A JSON value as a float; NaN for null, for infinities and for an integer beyond any float."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan
