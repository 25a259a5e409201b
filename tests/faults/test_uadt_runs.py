"""Whole runs of engine `local` under uadt: with lambda 0 it is grpo to the last bit, and a killed run goes on as if it were not."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch
from test_resume import journal, run_here, weights

from medrl.learning.state import read_trainer

SMALL = {
    "sft": {"steps": 1}, "data": {"train_options": {"n": 16}, "val_options": {"n": 2}, "demonstration_options": {"n": 8}},
    "val": {"every": 9}, "checkpoint": {"every": 1, "keep": 9}, "training": {"steps": 2},
}  # fmt: skip


def shaped(lambda_: float) -> dict:
    return {"advantage": "uadt", "kwargs": {"lambda": lambda_, "scale": "std"}}


def run(folder: Path, name: str, algorithm: dict, **more) -> Path:
    return run_here(folder, name, **{**SMALL, "algorithm": algorithm, **more})


def same_weights(one: Path, other: Path, step: int) -> bool:
    ours, theirs = weights(one, step), weights(other, step)
    assert ours.keys() == theirs.keys()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("minibatches", [1, 2])
def test_lambda_zero_is_grpo_to_the_last_bit(tmp_path, minibatches):
    training = {"training": {"steps": 2, "minibatches": minibatches}, "checkpoint": {"every": 2}}
    plain = run(tmp_path, "grpo", {"advantage": "grpo"}, **training)
    unshaped = run(tmp_path, "zero", shaped(0.0), **training)
    assert same_weights(plain, unshaped, 2)
    assert any(
        not torch.equal(first, last) for first, last in zip(weights(plain, 0).values(), weights(plain, 2).values())
    )
    theirs = [{k: v for k, v in entry.items() if not k.startswith("advantage/")} for entry in journal(unshaped)]
    assert theirs == journal(plain) and "advantage/reference" in journal(unshaped)[-1]
    if minibatches == 2:  # where the measured log-probabilities are used besides
        other = run(tmp_path, "more", shaped(0.9), **training)
        assert not same_weights(plain, other, 2), "lambda 0.9 changes nothing; then 0 cannot either"


def test_a_killed_run_goes_on_with_the_reference_it_had(tmp_path):
    """Killed once step 2 is written down and before it is saved: step 2 is done again from what step 1 left."""
    three = {"training": {"steps": 3}}
    unbroken = run(tmp_path / "unbroken", "test", shaped(0.9), **three)
    child = multiprocessing.get_context("fork").Process(target=killed_at, args=(2, tmp_path / "killed", three))
    child.start()
    child.join(120)
    killed = tmp_path / "killed" / "test"
    assert child.exitcode == -signal.SIGKILL and journal(killed)[-1]["step"] == 2
    newest = sorted(path.name for path in (killed / "checkpoints").glob("global_step_*"))[-1]
    assert newest == "global_step_1" and read_trainer(killed / "checkpoints" / newest)["advantage"].keys() == {
        "mu",
        "variance",
    }
    run(tmp_path / "killed", "test", shaped(0.9), **three)
    assert journal(killed) == journal(unbroken) and journal(killed)[-1]["advantage/weight_max"] > 0
    assert same_weights(killed, unbroken, 3)
    states = [read_trainer(unbroken / "checkpoints" / f"global_step_{step}") for step in range(4)]
    assert states[0]["advantage"] == {} and states[3] == read_trainer(killed / "checkpoints" / "global_step_3")
    assert len({state["advantage"]["mu"] for state in states[1:]}) == 3


def killed_at(step: int, folder: Path, changes: dict) -> None:
    def look(entry: dict) -> None:
        if entry["stage"] == "grpo" and entry["step"] == step:
            os.kill(os.getpid(), signal.SIGKILL)

    run(folder, "test", shaped(0.9), observe=look, **changes)
