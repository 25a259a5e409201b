"""docs/advantages.md names every estimator there is with its kwargs, what is offered, and what the recipes set."""

import inspect
import re
from pathlib import Path

import pytest

from medrl.learning.estimator import BUILT_IN, OFFERED, load_estimator
from medrl.recipe import Algorithm
from medrl.recipe_faults import CHOICES
from medrl.recipe_file import raw_recipe

ROOT = Path(__file__).parents[3]


def rows(heading):
    """The cells of the table under a header row that begins with this."""
    lines = iter((ROOT / "docs" / "advantages.md").read_text(encoding="utf-8").splitlines())
    next(line for line in lines if line.startswith(f"| {heading} |"))
    next(lines)
    found = []
    for line in lines:
        if not line.startswith("|"):
            return found
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def test_every_estimator_is_listed_with_its_kwargs():
    listed = {name.strip("`"): (kwargs, source) for name, _, _, kwargs, source in rows("name")}
    assert list(listed) == list(BUILT_IN)
    for name, (kwargs, source) in listed.items():
        parameters = inspect.signature(load_estimator(Algorithm(advantage=name)).function).parameters
        own = {key.rstrip("_"): one.default for key, one in parameters.items() if key not in OFFERED}
        told = dict(pair.split(": ") for pair in re.findall(r"`([^`]+)`", kwargs))
        assert told.keys() == own.keys(), name
        for key, default in own.items():
            assert (told[key] if isinstance(default, str) else float(told[key])) == default, (name, key)
        assert "arXiv" in source and ("reconstructed" in source) == (name == "uadt")


def test_everything_offered_is_listed():
    listed = {name for cells in rows("parameter") for name in re.findall(r"`(\w+)`", cells[0])}
    assert listed == OFFERED.keys()


def test_the_keys_are_those_of_the_recipe():
    keys = {name.rpartition(".")[2] for cells in rows("key") for name in re.findall(r"`([\w.]+)`", cells[0])}
    assert keys <= set(Algorithm.__dataclass_fields__)
    told = {cells[0]: cells[1] for cells in rows("key")}
    for key in ("loss_aggregation", "ratio"):
        values = set(re.findall(r"`([\w-]+)`", told[f"`algorithm.{key}`"]))
        assert values == {value for value in CHOICES[f"algorithm.{key}"] if value}


@pytest.mark.parametrize(
    "cells", [cells for cells in rows("system") if cells[-1]], ids=lambda cells: cells[0].split(",")[0]
)
def test_the_recipes_set_what_was_published(cells):
    algorithm = raw_recipe(ROOT / cells[-1].strip("`"))[0]["algorithm"]
    found = {**{name: field.default for name, field in Algorithm.__dataclass_fields__.items()}, **algorithm}
    names = ("clip_low", "clip_high", "kl_coef", "group_size")
    assert [found[name] for name in names] == [float(cell) for cell in cells[1:5]]
    assert bool(found["mask_over_turns"]) == ("masking" in cells[0])
