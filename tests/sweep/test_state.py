"""What is read of a run's directory, of its last attempt and of its lock."""

import os

import pytest
from small_sweep import write_small

from medrl.recipe import to_yaml
from medrl.record.files import write_json
from medrl.sweep.journal import Journal
from medrl.sweep.layout import read_sweep, write_sweep
from medrl.sweep.locks import take
from medrl.sweep.plan import plan_sweep
from medrl.sweep.reasons import last_words, reason_of
from medrl.sweep.shares import default_at_once, shares
from medrl.sweep.show import summary_line
from medrl.sweep.state import lock_file, note_attempt, state_of, unlisted

SIGNAL = "SIGTERM after the step that was running; resume with the same command"


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return plan_sweep(write_small(tmp_path, {"seeds": 1, "list": [{"algorithm.kwargs.lambda": 0.5}]}))


@pytest.mark.parametrize(
    "attempt, opened, summary, expected",
    [
        (None, False, None, "new"),
        ({}, False, None, "new"),  # killed with the sweep before it had a directory
        ({"code": 2, "reason": "no data"}, False, None, "failed"),
        (None, True, None, "interrupted"),
        ({}, True, None, "interrupted"),
        ({}, True, {"status": "failed", "reason": "old"}, "interrupted"),  # that was the attempt before
        ({"code": 1, "reason": "new"}, True, {"status": "failed", "reason": "new"}, "failed"),
        (None, True, {"status": "failed", "reason": "by hand"}, "failed"),
        ({"code": 0, "reason": None}, True, {"status": "stopped", "reason": SIGNAL}, "interrupted"),
        ({"code": 0, "reason": None}, True, {"status": "stopped", "reason": "entropy_collapse"}, "stopped"),
        ({"code": 2, "reason": "no data"}, True, {"status": "completed", "reason": None}, "done"),  # by hand since
    ],
)
def test_state(plan, attempt, opened, summary, expected):
    run = plan.sweep.runs[0]
    folder = plan.sweep.run_dir(run)
    if attempt is not None:
        note_attempt(plan.sweep, run, command="medrl train", started="now", **attempt)
    if opened:
        folder.mkdir(parents=True)
        (folder / "recipe.yaml").write_text(to_yaml(plan.recipes[run.name]))
    if summary:
        write_json(folder / "summary.json", summary)
    found = state_of(plan.sweep, run, plan.recipes[run.name])
    assert found.status == expected
    if expected == "failed":
        assert found.reason == ((attempt or {}).get("reason") or summary["reason"])


def test_a_run_of_another_recipe_is_not_taken_for_this_one(plan, tmp_path):
    run = plan.sweep.runs[0]
    folder = plan.sweep.run_dir(run)
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(to_yaml(plan.recipes[run.name]).replace("lr: 0.001", "lr: 0.002"))
    write_json(folder / "summary.json", {"status": "completed"})
    found = state_of(plan.sweep, run, plan.recipes[run.name])
    assert found.status == "other" and "optimizer.lr: 0.002 -> 0.001" in found.reason
    (folder / "recipe.yaml").write_text(to_yaml(plan.recipes[run.name]).replace("keep: 2", "keep: 3"))
    assert state_of(plan.sweep, run, plan.recipes[run.name]).status == "done"  # changes nothing of what was computed


def test_a_locked_run_is_running_and_the_holder_is_named(plan):
    run = plan.sweep.runs[0]
    lock = take(lock_file(plan.sweep, run), "pid 5 on node7")
    assert state_of(plan.sweep, run).reason == "pid 5 on node7" and take(lock_file(plan.sweep, run)) is None
    os.close(lock)
    assert state_of(plan.sweep, run).status == "new"


def test_runs_that_are_no_longer_listed_are_named_and_a_sweep_is_read_as_written(plan):
    (plan.sweep.folder / "lambda=9,seed=0").mkdir(parents=True)
    (plan.sweep.folder / "lambda=9,seed=0" / "recipe.yaml").write_text("")
    assert unlisted(plan.sweep) == ["lambda=9,seed=0"]
    write_sweep(plan.sweep)
    assert read_sweep(plan.sweep.folder) == plan.sweep


@pytest.mark.parametrize(
    "code, summary, log, expected",
    [
        (1, {"reason": "RuntimeError: spread"}, "", "RuntimeError: spread"),
        (-9, {}, "", "killed by SIGKILL; the kernel's out-of-memory killer does that too"),
        (-6, {}, "", "killed by SIGABRT"),
        (2, {}, "GRPO 1/2\nmedrl: a.png: cut off.\nMend it.\n", "exit code 2: a.png: cut off.\nMend it."),
        (1, {}, "Traceback\n  File x\nImportError: no x\n", "exit code 1: ImportError: no x"),
        (1, {}, "", "exit code 1: nothing was printed"),
    ],
)  # fmt: skip
def test_reasons(tmp_path, code, summary, log, expected):
    (tmp_path / "log").write_text("medrl: what an attempt before said\n" + "$ medrl train\n" + log)
    assert reason_of(code, summary, tmp_path / "log", 35) == expected


def test_last_words_of_a_long_log_are_short(tmp_path):
    (tmp_path / "log").write_text("x" * 200_000)
    assert len(last_words(tmp_path / "log")) < 2100


def test_a_journal_is_followed_and_begun_again_where_it_was_cut(plan, tmp_path):
    path = tmp_path / "metrics.jsonl"
    journal = Journal(path, plan.recipes[plan.sweep.runs[0].name], "val/reward")
    journal.look()
    assert (journal.done, journal.total, journal.value, journal.left_s()) == (0, 1, None, None)
    path.write_text('{"stage": "grpo", "step": 0, "val/reward": 0.25}\n{"stage": "grpo", "st')
    journal.look()
    assert (journal.done, journal.value) == (0, 0.25)
    with path.open("a") as file:
        file.write('ep": 1, "val/reward": 0.5}\n')
    journal.look()
    assert (journal.done, journal.value, journal.left_s()) == (1, 0.5, 0)
    path.write_text('{"stage": "grpo", "step": 0, "val/reward": 0.25}\n')
    journal.look()
    assert (journal.done, journal.value) == (0, 0.25)


def test_cores_and_gpus_are_shared_fairly(plan, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    found = shares(3, cores=range(8), gpus=["0", "1", "2", "5"])
    assert [share.cores for share in found] == [(0, 1, 2), (3, 4, 5), (6, 7)]
    assert [share.gpus for share in found] == [("0", "1"), ("2",), ("5",)]
    assert found[0].environment() == {"OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "0,1"}
    assert [share.cores for share in shares(3, cores=[4, 6], gpus=[])] == [(4,), (6,), (4,)]
    assert shares(1, cores=[0], gpus=[])[0].environment() == {"OMP_NUM_THREADS": "1"}


def test_as_many_at_once_as_the_cores_have_threads_for(plan, monkeypatch):
    recipe = next(iter(plan.recipes.values()))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    recipe.engine.threads = 2
    assert default_at_once([recipe] * 9) == 4 and default_at_once([recipe] * 3) == 3
    recipe.engine.threads = None  # torch takes them all
    assert default_at_once([recipe] * 9) == 1
    recipe.engine.threads, recipe.engine.device = 1, "auto"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert default_at_once([recipe] * 9) == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert default_at_once([recipe] * 9) == 8
    recipe.engine.name = "verl"
    assert default_at_once([recipe] * 9) == 1


def test_what_would_be_run_is_counted(plan):
    from medrl.sweep.state import RunState

    states = dict(zip("abcd", map(RunState, ("done", "failed", "new", "interrupted"))))
    line = summary_line(states, retry=False, at_once=4)
    assert line.startswith("4 runs: 1 done, 1 failed, 1 interrupted, 1 new; 2 would run, 2 at once. --retry")
    assert "3 would run" in summary_line(states, retry=True, at_once=1)
