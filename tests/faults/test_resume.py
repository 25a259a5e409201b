"""A run killed at any moment and resumed leaves the journal and the weights of one that was not."""

import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from makers import recipe


def run_here(runs_dir: Path, name: str = "test", observe=lambda entry: None, **changes) -> Path:
    """Train the small recipe in this process, as `medrl train` does, and return its directory."""
    from medrl import preflight
    from medrl.learning.train import train
    from medrl.record.run import Run

    rewards = {"spread": {"use": str(Path(__file__).with_name("spread_reward.py"))}}
    settings = recipe(runs_dir, name, rewards=rewards, **changes)
    plan = preflight.check(settings)
    run = Run.open(settings)
    train(plan, run, observe)
    return run.folder


def journal(folder: Path) -> list[dict]:
    """metrics.jsonl without the times, which are nobody's to repeat."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if not key.startswith("time/")} for line in lines]


def weights(folder: Path, step: int) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "checkpoints" / f"global_step_{step}" / "model" / "model.safetensors")


def same_run(one: Path, other: Path, step: int) -> None:
    assert journal(one) == journal(other)
    ours, theirs = weights(one, step), weights(other, step)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    for kind in ("rollouts", "eval"):
        for path in (one / kind).iterdir():
            assert path.read_bytes() == (other / kind / path.name).read_bytes()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    return run_here(tmp_path_factory.mktemp("unbroken"))


def test_two_runs_with_one_seed_are_identical_and_learn_something(unbroken, tmp_path):
    same_run(unbroken, run_here(tmp_path), step=4)
    first, last = weights(unbroken, 2), weights(unbroken, 4)
    # a run whose rewards are all equal changes nothing and would pass any determinism test
    assert any(not torch.equal(first[name], last[name]) for name in first)
    assert any(line.get("group/zero_spread", 1) < 1 for line in journal(unbroken))


def test_another_seed_is_another_run(unbroken, tmp_path):
    assert journal(run_here(tmp_path, seed=1)) != journal(unbroken)


@pytest.mark.parametrize("kills", [6, pytest.param(20, marks=pytest.mark.cluster)])  # twenty take a minute
def test_killed_many_times_and_resumed_equals_unbroken(unbroken, tmp_path, kills):
    """Children are forked with everything imported; each is killed at a random moment, saves included, until one finishes."""
    context = multiprocessing.get_context("fork")
    pool = {"scoring": {"workers": 1}}  # in a process of its own, while the unbroken run called its rewards itself
    started = time.monotonic()
    probe = context.Process(target=run_here, args=(tmp_path / "timing",), kwargs=pool)
    probe.start()
    probe.join()
    assert probe.exitcode == 0
    whole_s = time.monotonic() - started
    chance = random.Random(0)
    reached = [0]
    folder = tmp_path / "killed" / "test"
    for number in range(kills):
        child = context.Process(target=run_here, args=(tmp_path / "killed",), kwargs=pool)
        child.start()
        # every other one gets to write something, however slow the machine is just now
        while number % 2 and child.is_alive() and len(journal_if_any(folder)) <= reached[-1]:
            time.sleep(0.005)
        child.join(chance.uniform(0.0, 0.4) * whole_s)
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            child.join()
        reached.append(len(journal_if_any(folder)))
    final = context.Process(target=run_here, args=(tmp_path / "killed",), kwargs=pool)
    final.start()
    final.join()
    assert final.exitcode == 0
    assert len(set(reached)) > 2, f"every kill fell before or after the run: {reached}"
    same_run(unbroken, tmp_path / "killed" / "test", step=4)
    summary = json.loads((tmp_path / "killed" / "test" / "summary.json").read_text())
    assert summary["status"] == "completed" and summary["steps"] == 4


def journal_if_any(folder: Path) -> list[dict]:
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def test_a_resume_with_a_changed_recipe_lists_what_changed(unbroken):
    from medrl.errors import MedrlError

    before = {path: path.read_bytes() for path in unbroken.rglob("*") if path.is_file()}
    with pytest.raises(MedrlError, match=r"optimizer\.lr: 0\.001 -> 0\.5"):
        run_here(unbroken.parent, optimizer={"lr": 0.5})
    assert {path: path.read_bytes() for path in unbroken.rglob("*") if path.is_file()} == before


def test_sigterm_stops_after_the_step_and_the_resume_completes(unbroken, tmp_path):
    context = multiprocessing.get_context("fork")
    child = context.Process(target=run_here, args=(tmp_path,), kwargs={"checkpoint": {"every": 100}})
    child.start()
    folder = tmp_path / "test"
    deadline = time.monotonic() + 60
    while not any(line["stage"] == "grpo" and line["step"] >= 1 for line in journal_if_any(folder)):
        assert time.monotonic() < deadline and child.is_alive()
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGTERM)
    child.join(60)
    summary = json.loads((folder / "summary.json").read_text())
    assert child.exitcode == 0 and summary["status"] == "stopped" and "SIGTERM" in summary["reason"]
    run_here(tmp_path, checkpoint={"every": 2})
    assert journal(folder) == journal(unbroken)
