"""The list of a sweep's runs stays readable in a narrow terminal."""

import io

import pytest
from rich.console import Console
from small_sweep import write_small

from medrl.sweep.plan import plan_sweep
from medrl.sweep.show import folded, print_plan
from medrl.sweep.state import RunState


@pytest.mark.parametrize("width", [80, 200])
def test_a_name_is_folded_at_its_commas_only(tmp_path, monkeypatch, width):
    monkeypatch.chdir(tmp_path)
    grid = {"algorithm.advantage": ["dr_grpo"], "training.prompts_per_step": [2], "sampling.temperature": [0.75, 1]}
    plan = plan_sweep(write_small(tmp_path, {"grid": grid, "seeds": [123]}))
    text = io.StringIO()
    states = {run.name: RunState("new") for run in plan.sweep.runs}
    print_plan(plan, states, False, 1, Console(file=text, width=width))
    shown = text.getvalue()
    for run in plan.sweep.runs:
        assert all(part in shown for part in run.name.split(",")), shown
    assert "(baseline)" in shown and max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize("name", ["a=1,b=2,seed=0", "a=1", "x=a-long-value-without-commas,seed=1 (baseline)"])
def test_folding_loses_nothing(name):
    assert folded(name, 8).replace("\n", "") == name and folded(name, 99) == name
