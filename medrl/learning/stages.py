"""The stages of a curriculum: which training samples each holds, in which order, and what a recipe asks that cannot be.

A recipe without `curriculum.stages` is one stage. The band of pass rates and the order hold in every stage.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medrl.data.sample import Sample
from medrl.recipe import Recipe

Rates = Mapping[str, float | None]  # sample id to measured pass rate


@dataclass(frozen=True)
class Stage:
    """Steps `first` to `end`, the latter not included, and the indices of its samples: in data order, or from easy to hard."""

    first: int
    end: int
    pool: list[int]
    name: str = "all"


def stages_of(recipe: Recipe, samples: Sequence[Sample], rates: Rates | None = None) -> list[Stage]:
    """One after the other, together all steps of the run."""
    given, steps = recipe.curriculum.stages or [{}], recipe.training.steps
    stages: list[Stage] = []
    for stage in given:
        first = stages[-1].end if stages else 0
        pool = [
            index
            for index, sample in enumerate(samples)
            if _belongs(sample, stage, recipe) and (rates is None or _where(sample, recipe, rates) == "in")
        ]
        if rates is not None and recipe.curriculum.order:
            sign = -1 if recipe.curriculum.order == "easy_to_hard" else 1
            pool.sort(key=lambda index: sign * (rates[samples[index].id] or 0.0))  # stable: ties stay in data order
        stages.append(Stage(first, first + stage["steps"] if "steps" in stage else steps, pool, _name(stage)))
    return stages


def stage_faults(recipe: Recipe, samples: Sequence[Sample], rates: Rates | None = None) -> list[str]:
    """What the data do not have: a kind, a source or a slice that no sample is of, and too few samples for a batch."""
    problems = []
    there: dict[str, Counter[str]] = {
        key: Counter(_value(sample, key, recipe) for sample in samples) for key in ("kinds", "data_source", "slices")
    }
    for number, stage in enumerate(recipe.curriculum.stages):
        for key, known in there.items():
            if unknown := [name for name in _listed(stage, key) if name not in known]:
                told = ", ".join(sorted(known)[:12])
                problems.append(
                    f"curriculum.stages[{number}].{key}: no training sample is of {', '.join(unknown)}; they are of {told}"
                )
    if problems:
        return problems
    size = recipe.training.prompts_per_step
    for number, one in enumerate(stages_of(recipe, samples, rates)):
        if len(one.pool) < size:
            of = f"curriculum.stages[{number}] ({one.name}): " if recipe.curriculum.stages else "curriculum: "
            problems.append(
                f"{of}{len(one.pool)} of {len(samples)} samples are left{_band(recipe)}, fewer than "
                f"training.prompts_per_step={size}. Widen the band, lower prompts_per_step or add data."
            )
    return problems


def told_of(recipe: Recipe, samples: Sequence[Sample], rates: Rates | None = None) -> list[str]:
    """What the curriculum leaves of the data, as sentences for `medrl check` and the run's notes."""
    lines = []
    if rates is not None:
        where = Counter(_where(sample, recipe, rates) for sample in samples)
        out = {
            "below": "right too rarely", "above": "right too often", "unknown": "without a rate, since none could be graded"
        }  # fmt: skip
        left_out = "; ".join(f"{where[key]} {words}" for key, words in out.items() if where[key])
        lines.append(
            f"curriculum: {where['in']} of {len(samples)} training samples{_band(recipe)}"
            + (f"; left out: {left_out}" if left_out else "")
        )
    if recipe.curriculum.stages:
        for number, one in enumerate(stages_of(recipe, samples, rates), start=1):
            lines.append(
                f"curriculum: stage {number} is steps {one.first + 1} to {one.end}, {len(one.pool)} samples: {one.name}"
            )
    return lines


def _where(sample: Sample, recipe: Recipe, rates: Rates) -> str:
    rate = rates[sample.id]
    if rate is None:
        return "unknown"
    if rate < recipe.curriculum.min_pass_rate:
        return "below"
    return "above" if rate > recipe.curriculum.max_pass_rate else "in"


def _belongs(sample: Sample, stage: Mapping[str, Any], recipe: Recipe) -> bool:
    return all(
        not (wanted := _listed(stage, key)) or _value(sample, key, recipe) in wanted
        for key in ("kinds", "data_source", "slices")
    )


def _value(sample: Sample, key: str, recipe: Recipe) -> str:
    if key == "slices":
        return sample.slice_of(recipe.data.slice_by)
    return str(sample.kind if key == "kinds" else sample.data_source)


def _listed(stage: Mapping[str, Any], key: str) -> list[str]:
    value = stage.get(key, [])
    return [value] if isinstance(value, str) else list(value)


def _name(stage: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {' '.join(_listed(stage, key))}" for key in stage if key != "steps") or "all"


def _band(recipe: Recipe) -> str:
    low, high = recipe.curriculum.min_pass_rate, recipe.curriculum.max_pass_rate
    return "" if recipe.curriculum.pass_rates is None else f" with a pass rate from {low:g} to {high:g}"
