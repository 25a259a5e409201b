"""A sweep on disk: `runs/<name>/` holds sweep.json, one run directory per run, logs/, and the tables and page made of them.

runs/cpu_uadt/sweep.json             what is below, as JSON
runs/cpu_uadt/lambda=0.5,seed=1/     an ordinary run directory; the command that made it is on its card
runs/cpu_uadt/logs/lambda=0.5,seed=1.log
runs/cpu_uadt/table.md, table.csv, table.tex, index.html
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from medrl.errors import MedrlError
from medrl.record.files import write_json


@dataclass(frozen=True)
class SweepRun:
    """One run. `set`: what differs from the recipe, by key; `point`: the same without the seed, as in `name`; `hash`: of the
    whole resolved recipe, its name and folder aside."""

    name: str
    point: str
    seed: int
    set: dict[str, Any]
    hash: str


@dataclass(frozen=True)
class Sweep:
    """`recipe` and `overrides`: as given to `medrl sweep`, those of the `sweep:` block in
    `block_overrides`; `varied`: the keys that differ, seeds aside; `metric`: a name such as `val/reward`; `baseline`: the
    point the others are compared with."""

    name: str
    folder: Path
    recipe: str
    overrides: list[str]
    varied: list[str]
    metric: str
    baseline: str
    runs: list[SweepRun]
    block_overrides: list[str] = field(default_factory=list)

    def run_dir(self, run: SweepRun) -> Path:
        return self.folder / run.name

    def log_file(self, run: SweepRun) -> Path:
        return self.folder / "logs" / f"{run.name}.log"


def write_sweep(sweep: Sweep) -> None:
    """sweep.json, from which `read_sweep` gives the same again."""
    sweep.folder.mkdir(parents=True, exist_ok=True)
    write_json(sweep.folder / "sweep.json", {key: value for key, value in asdict(sweep).items() if key != "folder"})


def read_sweep(folder: Path) -> Sweep:
    """The sweep in a folder. Raises MedrlError where there is none, or its file is cut off."""
    path = folder / "sweep.json"
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        runs = [SweepRun(**run) for run in given.pop("runs")]
        return Sweep(folder=folder, runs=runs, **given)
    except FileNotFoundError:
        raise MedrlError(
            f"{folder}: no sweep here (no sweep.json). Expected a folder that `medrl sweep` made."
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise MedrlError(f"{path}: not readable as a sweep ({error}). Run the same `medrl sweep` again.") from None
