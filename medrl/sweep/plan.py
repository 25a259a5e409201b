"""From a recipe with a `sweep:` block to named runs, each checked as the recipe that `medrl train` will read.

Nothing is started before all is known to be right: every faulty point is told by its name, and two names for one recipe are
a fault as well.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from medrl.errors import MedrlError
from medrl.recipe import Recipe, differences, fill_in, recipe_or_faults
from medrl.recipe_file import read_file, with_overrides
from medrl.sweep.layout import Sweep, SweepRun
from medrl.sweep.names import point_names, run_name
from medrl.sweep.spec import Point, Spec, flat, read_spec

UNHASHED = ("name", "runs_dir", "loggers")  # they change nothing of what a run computes
MOST_RUNS = 10_000
ABSENT = "(absent)"


@dataclass(frozen=True)
class Plan:
    """`recipes` and `changes`, {key: (in the recipe, in the run)}, are by run name. `notes`: what looks like a slip."""

    sweep: Sweep
    recipes: dict[str, Recipe]
    changes: dict[str, dict[str, tuple[Any, Any]]]
    notes: list[str] = field(default_factory=list)

    def command(self, run: SweepRun) -> list[str]:
        """The arguments of `medrl` that make the run."""
        own = {**run.set, "runs_dir": str(self.sweep.folder), "name": run.name}
        return ["train", self.sweep.recipe, *self.sweep.overrides, *(override(key, own[key]) for key in own)]


def plan_sweep(path: Path, overrides: Sequence[str] = (), given_as: str | None = None) -> Plan:
    """Read and check a sweep; `given_as`: the recipe's path as it was typed. MedrlError lists every fault."""
    read = read_file(path)
    given, block = with_overrides(read, path, overrides)
    if block is None:
        raise MedrlError(f"{path}: no `sweep:` block. Add one, such as `sweep: {{seeds: 3}}`, or use `medrl train`.")
    spec = read_spec(block, str(path))
    name, runs_dir = str(given.get("name", path.stem)), str(given.get("runs_dir", "runs"))
    if not name.strip(".") or any(character in name for character in "/\\\0"):
        raise MedrlError(f"{path}: name={name}: the name of a sweep is that of its folder, so it can hold no path.")
    of_block = [one for one in overrides if one.startswith(("sweep.", "sweep="))]
    kept = [one for one in overrides if one not in of_block and not one.startswith(("name=", "runs_dir="))]
    defaults, _ = fill_in(given)
    points, notes = _points(spec, defaults)
    seeds = spec.seeds or (int(defaults.seed),)
    if len(points) * len(seeds) > MOST_RUNS:
        raise MedrlError(f"{path}: {len(points)} points x {len(seeds)} seeds are more than {MOST_RUNS:,} runs.")
    labels = point_names([{key: point[key] for key in keys} for keys, point in points])
    read.pop("sweep", None)
    recipe_alone, _ = recipe_or_faults(given, name)
    runs, recipes, changes, faults = [], {}, {}, dict[str, list[str]]()
    for label, (_, point) in zip(labels, points):
        for seed in seeds:
            own, called = {**point, "seed": seed}, run_name(label, seed)
            resolved, problems = _resolve(read, path, kept, own, called)
            for problem in problems:
                faults.setdefault(problem, []).append(called)
            if resolved is None:
                continue
            recipes[called] = resolved
            changes[called] = _changes(recipe_alone, resolved) if recipe_alone else {k: (None, own[k]) for k in own}
            runs.append(SweepRun(called, label, seed, own, recipe_hash(resolved)))
    problems = [told(problem, names, len(points) * len(seeds)) for problem, names in faults.items()]
    problems += _same_recipe(runs) + _unheard(spec, kept, [point for _, point in points])
    baseline, baseline_faults = _baseline(spec, labels, [point for _, point in points], defaults)
    problems += baseline_faults
    if problems:
        count = f"{len(problems)} mistake{'s' if len(problems) > 1 else ''}"
        raise MedrlError("\n".join([f"{path}: {count} in its sweep.", *(f"  - {problem}" for problem in problems)]))
    varied = _varied([point for _, point in points])
    folder = Path(runs_dir) / name
    sweep = Sweep(name, folder, given_as or str(path), kept, varied, spec.metric, baseline, runs, of_block)
    return Plan(sweep, recipes, changes, notes)


def override(key: str, value: Any) -> str:
    """`key=value` for a command line: what OmegaConf reads from it is the value again.

    >>> override("data.kinds", ["choice", "yes_no"]), override("name", "lambda=0.5,seed=1"), override("a", "1")
    ('data.kinds=[choice, yes_no]', 'name=lambda=0.5,seed=1', "a='1'")
    """
    dumped = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=float("inf"), sort_keys=False)
    quoted = json.dumps(value, ensure_ascii=False)  # where YAML would read a text as a number, such as 1e-6
    ways = [dumped.removesuffix("\n").removesuffix("\n..."), quoted, quoted.replace("${", "\\\\${")]
    for text in [value, *ways] if isinstance(value, str) else ways:
        if _reads_as(text, value):
            return f"{key}={text}"
    raise MedrlError(f"{key}={value!r}: no command line could say this value. Write it in the recipe, or take another.")


def _reads_as(text: str, value: Any) -> bool:
    """Whether an override of this text is read as the value, types included."""
    try:
        read = OmegaConf.to_container(OmegaConf.from_dotlist([f"a={text}"]), resolve=True)
    except (yaml.YAMLError, OmegaConfBaseException, ValueError):  # such as a bracket that is never closed, or ${x}
        return False
    return repr(read) == repr({"a": value})


def recipe_hash(recipe: Recipe) -> str:
    """8 hexadecimal digits of the whole recipe, its name, folder and loggers aside; 1 and 1.0 are one number."""
    whole = {key: _plain(value) for key, value in asdict(recipe).items() if key not in UNHASHED}
    return hashlib.sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _points(spec: Spec, defaults: DictConfig) -> tuple[list[tuple[list[str], Point]], list[str]]:
    """([(keys that name it, all it sets)], notes): conditions applied in order, excluded points left out."""
    points, used = [], set[str]()
    for own in spec.points():
        whole = dict(own)
        for number, condition in enumerate(spec.when):
            if _holds(condition.holds, whole, defaults):
                whole |= condition.sets
                used.add(f"sweep.when[{number}]")
        out = [number for number, one in enumerate(spec.exclude) if _holds(one, whole, defaults)]
        used |= {f"sweep.exclude[{number}]" for number in out}
        if not out:
            points.append((list(own), whole))
    if not points:
        raise MedrlError("sweep.exclude leaves no point at all. Take one of its entries out.")
    entries = [f"sweep.when[{n}]" for n in range(len(spec.when))]
    entries += [f"sweep.exclude[{n}]" for n in range(len(spec.exclude))]
    return points, [f"{entry} matches no point" for entry in entries if entry not in used]


def _holds(wanted: Point, point: Point, defaults: DictConfig) -> bool:
    """Whether each wanted value is the point's or, where it has none, the recipe's."""
    return all(_same(_value(key, point, defaults), value) for key, value in wanted.items())


def _value(key: str, point: Point, defaults: DictConfig) -> Any:
    if key in point:
        return point[key]
    try:
        found = OmegaConf.select(defaults, key, default=ABSENT)
    except Exception as error:  # a key below one that holds no mapping: told elsewhere as a fault of the recipe
        raise MedrlError(f"sweep: {key} cannot be read in the recipe: {error}") from None
    return OmegaConf.to_container(found) if OmegaConf.is_config(found) else found


def _same(one: Any, other: Any) -> bool:
    """Equal, and not only as Python has True == 1."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _resolve(
    read: DictConfig, path: Path, overrides: Sequence[str], own: Point, name: str
) -> tuple[Recipe | None, list[str]]:
    """The recipe exactly as the run's own command will read it, or what is wrong with it."""
    try:
        given, _ = with_overrides(read, path, [*overrides, *(override(key, value) for key, value in own.items())])
    except MedrlError as error:
        return None, [str(error)]
    return recipe_or_faults({**given, "name": name}, name)


def _changes(alone: Recipe, resolved: Recipe) -> dict[str, tuple[Any, Any]]:
    found = differences(alone, resolved, ABSENT)
    emptied = {key for key, pair in found.items() if pair == ({}, ABSENT)}  # a mapping that got its first entry
    return {key: pair for key, pair in found.items() if key not in {*emptied, "name", "runs_dir"}}


def told(problem: str, names: list[str], of: int) -> str:
    """A problem with whose it is, of so many runs."""
    if len(names) == of and of > 1:
        return f"every run: {problem}"
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}: {problem}"


def _same_recipe(runs: Sequence[SweepRun]) -> list[str]:
    """Points that are one, told once for all their seeds."""
    first: dict[str, str] = {}
    found: dict[str, None] = {}
    for run in runs:
        if run.hash not in first:
            first[run.hash] = run.point
            continue
        which = "given more than once" if first[run.hash] == run.point else f"the same recipe as {first[run.hash]}"
        found[f"{run.point}: {which}; take one out of the lists, or with `exclude:`"] = None
    return list(found)


def _unheard(spec: Spec, overrides: Sequence[str], points: Sequence[Point]) -> list[str]:
    """Overrides of what every run has of its own, which no run would see."""
    given = OmegaConf.to_container(OmegaConf.from_dotlist(list(overrides)))
    assert isinstance(given, dict)
    found = []
    for key, value in flat(given).items():
        if key == "seed" and spec.seeds:
            found.append(f"seed={value}: `sweep.seeds` gives the seeds; write sweep.seeds=[{value}]")
        elif own := next(
            (one for one in points[0] if f"{key}.".startswith(f"{one}.") and all(one in point for point in points)),
            None,
        ):
            instead = "the `sweep:` block" if own not in spec.grid else f"the grid, as with sweep.grid.{own}=[…]"
            found.append(f"{key}={value}: every run has its own {own}, so no run would see this; change {instead}")
    return found


def _baseline(spec: Spec, labels: list[str], points: list[Point], defaults: DictConfig) -> tuple[str, list[str]]:
    """(the point that others are compared with, what is wrong with how it is given)."""
    if spec.baseline is None:
        return labels[0], []
    found = [label for label, point in zip(labels, points) if _holds(spec.baseline, point, defaults)]
    if len(found) == 1:
        return found[0], []
    given = ", ".join(f"{key}={value}" for key, value in spec.baseline.items())
    if not found:
        return labels[0], [f"sweep.baseline: no point has {given}; the points are {_some(labels)}"]
    return found[0], [
        f"sweep.baseline: {given} is so of {len(found)} points, {_some(found)}; say more, so that it is one"
    ]


def _some(names: list[str], most: int = 6) -> str:
    return "; ".join(names[:most]) + (f"; … ({len(names)})" if len(names) > most else "")


def _varied(points: list[Point]) -> list[str]:
    """Keys whose value is not the same in all points, in order of appearance."""
    keys = {key: None for point in points for key in point}
    return [
        key for key in keys if any(not _same(point.get(key, ABSENT), points[0].get(key, ABSENT)) for point in points)
    ]
