"""Read the `sweep:` block of a recipe: what is varied, for which seeds, compared with what. Every fault is told at once.

A key is written dotted (`algorithm.kwargs.lambda: [0, 0.5]`) or nested, as in the recipe; both mean the same, and a mapping
as a value is merged into the recipe's as `medrl train RECIPE a.b=c` would merge it.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from medrl.errors import MedrlError
from medrl.recipe import fill_in

Point = dict[str, Any]  # values by dotted key
KEYS = ("grid", "zip", "list", "seeds", "when", "exclude", "baseline", "metric")
# the sweep gives these itself
OWN_KEYS = {"name": "the sweep names its runs", "runs_dir": "runs lie in the sweep's folder", "seed": "use `seeds:`"}
MOST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Condition:
    """Where all of `holds` is so, `sets` is set too."""

    holds: Point
    sets: Point


@dataclass(frozen=True)
class Spec:
    """A checked block. A point is a combination of the grid, one row of `zip` and one entry of `list`."""

    grid: dict[str, list[Point]] = field(default_factory=dict)  # {key: what each of its values sets}
    rows: list[Point] = field(default_factory=list)  # of `zip`
    entries: list[Point] = field(default_factory=list)  # of `list`
    seeds: tuple[int, ...] | None = None  # None: the recipe's own
    when: tuple[Condition, ...] = ()
    exclude: tuple[Point, ...] = ()
    baseline: Point | None = None  # None: the first point
    metric: str = "val/reward"

    def points(self) -> Iterator[Point]:
        """What each point sets by itself, conditions and exclusions not yet looked at; later axes vary fastest."""
        for parts in product(*self.grid.values(), self.rows or [{}], self.entries or [{}]):
            yield {key: value for part in parts for key, value in part.items()}


def read_spec(block: Any, place: str) -> Spec:
    """Check a `sweep:` block as YAML gave it; MedrlError lists every mistake, led by `place`."""
    if not isinstance(block, dict):
        raise MedrlError(
            f"{place}: sweep={block!r}: expected a mapping, such as {{grid: {{algorithm.kwargs.lambda: [0, 0.5]}}, seeds: 3}}."
        )
    problems: list[str] = []
    for key in block:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(KEYS)}"
            problems.append(f"sweep.{key}: no such key; {hint}")
    if not any(key in block for key in ("grid", "zip", "list", "seeds")):
        problems.append("sweep: nothing to vary; give at least one of grid, zip, list, seeds")
    spec = Spec(
        grid=_grid(block.get("grid", {}), problems),
        rows=_zip(block.get("zip", {}), problems),
        entries=_list(block["list"], problems) if "list" in block else [],
        seeds=_seeds(block.get("seeds"), problems),
        when=_when(block.get("when") or [], problems),
        exclude=_exclude(block.get("exclude") or [], problems),
        baseline=_part(block["baseline"], "sweep.baseline", problems) if block.get("baseline") is not None else None,
        metric=_metric(block.get("metric", "val/reward"), problems),
    )
    problems += _given_twice(spec)
    if problems:
        count = f"{len(problems)} mistake{'s' if len(problems) > 1 else ''}"
        raise MedrlError("\n".join([f"{place}: {count}.", *(f"  - {problem}" for problem in problems)]))
    return spec


def flat(part: Mapping[Any, Any], prefix: str = "") -> Point:
    """{dotted key: value} of keys written dotted or nested; the later of two that are the same counts. {} stays a value.

    >>> flat({"algorithm.kwargs": {"lambda": 0.5}, "training": {"steps": 2}})
    {'algorithm.kwargs.lambda': 0.5, 'training.steps': 2}
    """
    found: Point = {}
    for key, value in part.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return found


def nested(point: Point) -> dict[str, Any]:
    """The same as `flat` was given, nested throughout."""
    tree: dict[str, Any] = {}
    for key, value in point.items():
        *above, last = key.split(".")
        inside = tree
        for part in above:
            inside = inside.setdefault(part, {})
            if not isinstance(inside, dict):  # a.b and a.b.c: told as a fault of the recipe
                return point
        inside[last] = value
    return tree


def _grid(given: Any, problems: list[str]) -> dict[str, list[Point]]:
    axes = _axes(given, "grid", problems)
    return {key: [_part({key: value}, "sweep.grid", problems) for value in values] for key, values in axes.items()}


def _zip(given: Any, problems: list[str]) -> list[Point]:
    axes = _axes(given, "zip", problems)
    lengths = {key: len(values) for key, values in axes.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{key} has {count}" for key, count in lengths.items())
        problems.append(f"sweep.zip: values that go together must be equally many, but {told}")
        return []
    rows = [dict(zip(axes, row)) for row in zip(*axes.values())]
    return [_part(row, "sweep.zip", problems) for row in rows]


def _axes(given: Any, where: str, problems: list[str]) -> dict[str, list[Any]]:
    """{dotted key: its values}."""
    if not isinstance(given, dict):
        problems.append(f"sweep.{where}={given!r}: expected a mapping from keys to lists of values")
        return {}
    axes = {}
    for key, values in flat(given).items():
        if not isinstance(values, list):
            problems.append(f"sweep.{where}: {key}={values!r}: expected a list of values, such as [{values}]")
        elif not values:
            problems.append(f"sweep.{where}: {key} has no values; give some, or take the line out")
        else:
            axes[key] = values
    return axes


def _list(given: Any, problems: list[str]) -> list[Point]:
    if not isinstance(given, list) or not given:
        problems.append(
            f"sweep.list={given!r}: expected points written out, such as [{{algorithm.advantage: grpo}}, …]"
        )
        return []
    return [_part(one, f"sweep.list[{number}]", problems) for number, one in enumerate(given)]


def _seeds(given: Any, problems: list[str]) -> tuple[int, ...] | None:
    if given is None:
        return None
    seeds = list(range(given)) if type(given) is int else given
    if not isinstance(seeds, list) or not seeds or not all(type(one) is int and 0 <= one <= MOST_SEED for one in seeds):
        problems.append(f"sweep.seeds={given!r}: expected how many, such as 3, or a list of whole numbers from 0 up")
        return None
    if twice := sorted({one for one in seeds if seeds.count(one) > 1}):
        problems.append(f"sweep.seeds={given!r}: {', '.join(map(str, twice))} more than once")
    return tuple(seeds)


def _when(given: Any, problems: list[str]) -> tuple[Condition, ...]:
    found = []
    for number, one in enumerate(_entries(given, "when", "{if: {…}, set: {…}}", problems)):
        where = f"sweep.when[{number}]"
        if not isinstance(one, dict) or set(one) != {"if", "set"}:
            problems.append(f"{where}={one!r}: expected {{if: {{key: value}}, set: {{key: value}}}}")
            continue
        holds = _part(one["if"], f"{where}.if", problems, condition=True)
        found.append(Condition(holds, _part(one["set"], f"{where}.set", problems)))
    return tuple(found)


def _exclude(given: Any, problems: list[str]) -> tuple[Point, ...]:
    found = []
    for number, one in enumerate(_entries(given, "exclude", "{key: value}", problems)):
        where = f"sweep.exclude[{number}]"
        if one == {}:
            problems.append(f"{where}: an empty mapping would match every point")
        found.append(_part(one, where, problems, condition=True))
    return tuple(found)


def _entries(given: Any, where: str, shape: str, problems: list[str]) -> list[Any]:
    if isinstance(given, list):
        return given
    problems.append(f"sweep.{where}={given!r}: expected a list of {shape}")
    return []


def _part(given: Any, where: str, problems: list[str], condition: bool = False) -> Point:
    """A part of a recipe, flat. A condition may name the seed's key no more than a value may, but is not told to use seeds."""
    if not isinstance(given, dict):
        problems.append(f"{where}={given!r}: expected a mapping from keys to values")
        return {}
    point = flat(given)
    problems += [
        f"{where}: {key}={{}} would clear nothing, since a mapping is merged into the recipe's; leave {key} out of the recipe "
        "and give each point its own"
        for key, value in point.items()
        if value == {}
    ]
    for key, instead in OWN_KEYS.items():
        if key in point:
            problems.append(
                f"{where}: {key} cannot stand here; " + ("points have no seed of their own" if condition else instead)
            )
    fitting = {key: value for key, value in point.items() if key not in OWN_KEYS}
    for problem in fill_in(nested(fitting))[1]:
        if (told := f"{where}: {problem}") not in problems:  # once for a key, not for each of its values
            problems.append(told)
    return point


def _metric(given: Any, problems: list[str]) -> str:
    if not isinstance(given, str) or not given.startswith("val/"):
        problems.append(f"sweep.metric={given!r}: expected a metric of the validation, such as val/reward")
    return str(given)


def _given_twice(spec: Spec) -> list[str]:
    """Keys that two of the grid's axes, zip and list give values to: the one would silently lose."""
    sources = [(f"grid's {axis}", values) for axis, values in spec.grid.items()]
    sources += [("zip", spec.rows), ("list", spec.entries)]
    keys = [(where, {key for point in points for key in point}) for where, points in sources]
    told = []
    for number, (where, own) in enumerate(keys):
        for other, others in keys[number + 1 :]:
            both = sorted({max(one, two, key=len) for one in own for two in others if overlap(one, two)})
            told += [f"sweep: {key} is given by {where} and by {other}; take it out of one" for key in both]
    return told


def overlap(key: str, other: str) -> bool:
    """Whether two dotted keys are one, or the one lies within the other.

    >>> overlap("env", "env.use"), overlap("env.use", "env.used")
    (True, False)
    """
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")
