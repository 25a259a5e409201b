"""Real runs: one that fails stops none of the others, a sweep killed half-way does only what is missing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_sweep import REWARD, medrl, write_small

from medrl.errors import MedrlError
from medrl.sweep.locks import take
from medrl.sweep.plan import plan_sweep
from medrl.sweep.run import run_sweep
from medrl.sweep.shares import shares
from medrl.sweep.state import lock_file, state_of

BROKEN = "rewards.answer.kwargs.broken"


class Seen:
    """Keeps what it is told; `act` is called with the workers at each look."""

    def __init__(self, act=lambda running: None):
        self.act, self.begun, self.states, self.notes = act, [], {}, []

    def started(self, run):
        self.begun.append(run.name)

    def ended(self, run, state, seconds):
        self.states[run.name] = state

    def note(self, text):
        self.notes.append(text)

    def look(self, running, waiting):
        self.act(running)


@pytest.fixture
def two_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return plan_sweep(write_small(tmp_path, {"seeds": 2}), given_as="mine.yaml")


def states(plan):
    return [state_of(plan.sweep, run, plan.recipes[run.name]).status for run in plan.sweep.runs]


@pytest.mark.cluster
def test_one_run_fails_with_its_reason_and_the_other_is_done(tmp_path, monkeypatch):
    """By the command itself, each run in a process of its own; a second call starts nothing."""
    monkeypatch.chdir(tmp_path)
    plan = plan_sweep(write_small(tmp_path, {"grid": {BROKEN: [False, True]}}))
    ended = medrl("sweep", "mine.yaml", "--at-once", "2")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert states(plan) == ["done", "failed"], ended.stdout
    assert "broken=true,seed=0: failed after" in ended.stdout and "RuntimeError: the grader broke" in ended.stdout
    summary = json.loads((tmp_path / "runs/mine/broken=false,seed=0/summary.json").read_text())
    card = json.loads((tmp_path / "runs/mine/broken=false,seed=0/card.json").read_text())
    assert summary["status"] == "completed"
    expected = f"medrl train mine.yaml {BROKEN}=false seed=0 runs_dir=runs/mine name=broken=false,seed=0"
    assert card["command"] == expected
    logs = {path.name for path in (tmp_path / "runs/mine/logs").glob("*.log")}
    assert logs == {"broken=false,seed=0.log", "broken=true,seed=0.log"}
    again = medrl("sweep", "mine.yaml", "--json")
    told = json.loads(again.stdout.splitlines()[-1])["runs"]
    assert again.returncode == 1 and "the grader broke" in told["broken=true,seed=0"]["reason"]
    assert (tmp_path / "runs/mine/logs/broken=true,seed=0.log").read_text().count("$ medrl train") == 1


def test_a_run_that_cannot_even_start_tells_why(two_runs, tmp_path):
    (tmp_path / "mine.yaml").unlink()
    seen, calls = Seen(), []
    assert run_sweep(two_runs, two_runs.sweep.runs, shares(2), seen, lambda: calls.append(1)) is None
    assert len(calls) == 2 and states(two_runs) == ["failed", "failed"]
    assert all("exit code 2: mine.yaml: no such recipe" in state.reason for state in seen.states.values())


def test_a_killed_run_is_failed_and_the_next_one_starts(two_runs):
    def kill(running):
        for worker in running:
            worker.process.kill()

    seen = Seen(kill)
    run_sweep(two_runs, two_runs.sweep.runs, shares(1), seen, lambda: None)
    assert seen.begun == ["recipe,seed=0", "recipe,seed=1"]
    assert [state.reason for state in seen.states.values()] == [
        "killed by SIGKILL; the kernel's out-of-memory killer does that too"
    ] * 2
    seen = Seen(kill)  # without retry a failed one is left alone
    run_sweep(two_runs, two_runs.sweep.runs, shares(1), seen, lambda: None)
    assert seen.begun == []
    run_sweep(two_runs, two_runs.sweep.runs[:1], shares(1), seen, lambda: None, retry=True)
    assert seen.begun == ["recipe,seed=0"]


def test_asked_to_stop_it_starts_no_more_and_a_run_that_had_not_begun_is_not_failed(two_runs):
    def interrupt(running):
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)  # ignored where the tests run in the background
    seen = Seen(interrupt)
    assert run_sweep(two_runs, two_runs.sweep.runs, shares(1), seen, lambda: None) == signal.SIGINT
    assert seen.begun == ["recipe,seed=0"] and states(two_runs) == ["new", "new"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_that_another_process_holds_is_waited_for(two_runs):
    held = take(lock_file(two_runs.sweep, two_runs.sweep.runs[0]), "pid 1 on elsewhere")
    assert states(two_runs) == ["running", "new"]
    looks = []

    def let_go(running):
        looks.append(len(running))
        for worker in running:
            worker.process.kill()
        if len(looks) == 5:
            os.close(held)

    seen = Seen(let_go)
    run_sweep(two_runs, two_runs.sweep.runs, shares(1), seen, lambda: None)
    assert seen.begun == ["recipe,seed=1", "recipe,seed=0"]
    assert seen.notes == ["recipe,seed=0: waiting for pid 1 on elsewhere, which is still at it"]


def test_each_run_has_its_cores_to_itself(two_runs):
    found = {}

    def look(running):
        for worker in running:
            found[worker.run.name] = os.sched_getaffinity(worker.process.pid)
            worker.process.kill()

    cores = sorted(os.sched_getaffinity(0))[:2]
    run_sweep(two_runs, two_runs.sweep.runs, shares(2, cores), Seen(look), lambda: None)
    assert list(found.values()) == [{core} for core in cores] and os.sched_getaffinity(0) >= set(cores)


def test_two_sweeps_in_one_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_small(tmp_path, {"seeds": 2})
    held = take(tmp_path / "runs/mine/.sweep.lock", "pid 77 on here")
    for more in ((), ("--only", "0")):
        refused = medrl("sweep", "mine.yaml", *more)
        assert refused.returncode == 2 and "another sweep is at work there, pid 77 on here" in refused.stderr
    os.close(held)
    assert not list((tmp_path / "runs/mine").glob("recipe*"))


def test_a_folder_that_is_something_else_is_refused(two_runs, tmp_path):
    from medrl.commands.sweep import _refuse_foreign

    run = two_runs.sweep.runs[0]
    folder = two_runs.sweep.run_dir(run)
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(MedrlError, match="exists and is not a run of medrl"):
        _refuse_foreign(two_runs, {run.name: state_of(two_runs.sweep, run, two_runs.recipes[run.name])})


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_killed_half_way_and_started_again_it_does_only_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    training = {"steps": 12, "prompts_per_step": 2}
    plan = plan_sweep(
        write_small(tmp_path, {"seeds": 3}, training=training, checkpoint={"every": 2}, val={"every": 50})
    )
    folders = [plan.sweep.run_dir(run) for run in plan.sweep.runs]
    first = subprocess.Popen([sys.executable, "-m", "medrl", "sweep", "mine.yaml", "--at-once", "1"])
    _wait(lambda: states(plan)[0] == "done" and _steps(folders[1]) >= 3)
    first.send_signal(signal.SIGKILL)
    first.wait()
    done = (folders[0] / "summary.json").stat().st_mtime_ns
    again = medrl("sweep", "mine.yaml", "--at-once", "2")
    assert again.returncode == 0, again.stdout + again.stderr
    assert states(plan) == ["done"] * 3 and (folders[0] / "summary.json").stat().st_mtime_ns == done
    assert "seed=0: started" not in again.stdout
    for folder in folders:  # resumed, not begun again, and by one process at a time
        steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert steps == list(range(13))
    log = (tmp_path / "runs/mine/logs/recipe,seed=1.log").read_text()
    assert (
        log.count("$ medrl train") == 2 and (tmp_path / "runs/mine/logs/recipe,seed=0.log").read_text().count("$") == 1
    )


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_a_stopped_sweep_saves_and_a_mended_run_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = {"grid": {BROKEN: [False, True]}}
    plan = plan_sweep(write_small(tmp_path, block, training={"steps": 400, "prompts_per_step": 2}, val={"every": 500}))
    sweep = subprocess.Popen([sys.executable, "-m", "medrl", "sweep", "mine.yaml", "--at-once", "2"])
    _wait(lambda: states(plan)[1] == "failed" and _steps(plan.sweep.folder / "broken=false,seed=0") >= 2)
    sweep.terminate()
    assert sweep.wait(60) == 128 + signal.SIGTERM and states(plan) == ["interrupted", "failed"]
    (tmp_path / "reward.py").write_text(REWARD.replace("if broken or", "if"))
    reached = _steps(plan.sweep.folder / "broken=false,seed=0")
    write_small(tmp_path, block, training={"steps": 400, "prompts_per_step": 2}, val={"every": 500})
    (tmp_path / "reward.py").write_text(REWARD.replace("if broken or", "if"))
    again = subprocess.Popen([sys.executable, "-m", "medrl", "sweep", "mine.yaml", "--at-once", "2", "--retry"])
    _wait(lambda: all(_steps(plan.sweep.run_dir(run)) > reached for run in plan.sweep.runs))
    again.send_signal(signal.SIGINT)
    assert again.wait(60) == 128 + signal.SIGINT and states(plan) == ["interrupted", "interrupted"]


def _steps(folder: Path) -> int:
    try:
        return len((folder / "metrics.jsonl").read_text().splitlines()) - 1
    except FileNotFoundError:
        return -1


def _wait(ready, timeout_s: float = 200.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < deadline, f"not so within {timeout_s:g} s"
        time.sleep(0.2)
