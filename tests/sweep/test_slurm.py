"""A sweep as a job array of a real Slurm on this machine, and the command that submits it."""

import json
import subprocess

import pytest
from one_node_slurm import finished_tasks, one_node_slurm
from small_sweep import medrl, write_small

from medrl.sweep.plan import plan_sweep
from medrl.sweep.slurm import submission
from medrl.sweep.state import state_of

BROKEN = "rewards.answer.kwargs.broken"


def test_the_submission_names_the_missing_elements_and_the_command_of_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    overrides = ["sweep.seeds=4", "algorithm.group_size=4", "name=007"]
    plan = plan_sweep(write_small(tmp_path, {"seeds": 2}), overrides, given_as="mine.yaml")
    command = submission(plan.sweep, [0, 2], 2, ["--partition=gpu"], retry=False)
    assert command[:2] == ["sbatch", "--parsable"] and "--array=0,2%2" in command
    script = next(number for number, part in enumerate(command) if part.endswith("sweep.sbatch"))
    assert command[script - 1] == "--partition=gpu"
    assert command[script + 2 :] == [
        "-m", "medrl", "sweep", "mine.yaml", "algorithm.group_size=4", "sweep.seeds=4", "name='7'", "runs_dir=runs"
    ]  # fmt: skip
    again = plan_sweep(tmp_path / "mine.yaml", command[script + 6 :])
    assert again.sweep.folder == plan.sweep.folder
    assert (
        again.sweep.runs == plan.sweep.runs and len(again.sweep.runs) == 4
    )  # element i means the run that was planned


@pytest.mark.cluster
def test_the_script_is_clean_by_shellcheck():
    from medrl.plugin import find_file

    checked = subprocess.run(
        ["shellcheck", str(find_file("slurm/sweep.sbatch"))], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_an_array_of_four_completes_three_and_shows_why_one_failed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = {"list": [{"optimizer.lr": 1e-3}, {"optimizer.lr": 2e-3}, {BROKEN: True}, {"optimizer.lr": 3e-3}]}
    plan = plan_sweep(write_small(tmp_path, block))
    with one_node_slurm() as slurm:
        submitted = medrl("sweep", "mine.yaml", "--slurm", "--throttle", "2", "--partition", "test", "--json", **slurm)
        assert submitted.returncode == 0, submitted.stderr
        told = json.loads(submitted.stdout)
        assert told["elements"] == [0, 1, 2, 3]
        tasks, at_once = finished_tasks(told["job"], slurm, 400)
    assert tasks == {0: "COMPLETED", 1: "COMPLETED", 2: "FAILED", 3: "COMPLETED"} and at_once == 2
    found = [state_of(plan.sweep, run, plan.recipes[run.name]) for run in plan.sweep.runs]
    assert [state.status for state in found] == ["done", "done", "failed", "done"]
    assert "RuntimeError: the grader broke" in found[2].reason
    assert (plan.sweep.folder / "table.md").is_file()  # by whichever element ended last
    again = medrl("sweep", "mine.yaml", "--slurm", "--json", **slurm)  # nothing is missing, so nothing is submitted
    assert again.returncode == 1 and "job" not in json.loads(again.stdout)
