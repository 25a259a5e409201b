"""An alarm may end a run: saved, with its reason, and gone on with as if nothing had been."""

import json
import os
import signal
from pathlib import Path

import pytest
from makers import recipe
from test_resume import journal, same_run

from medrl.errors import MedrlError
from medrl.learning.attempt import StopRequest, stop_on_signal

FLAT = {"flat": {"use": str(Path(__file__).with_name("flat_reward.py"))}}

SMALL = {
    "sft": {"steps": 0}, "val": {"every": 100, "max_samples": 1}, "checkpoint": {"every": 100}, "algorithm": {"group_size": 2},
    "training": {"prompts_per_step": 1}, "sampling": {"max_new_tokens": 4},
}  # fmt: skip


def run_here(runs_dir: Path, **health) -> tuple[Path, dict]:
    """Train a run whose reward is the same for every reply, so that `zero_spread` is raised at the end of step 2."""
    from medrl import preflight
    from medrl.learning.train import train
    from medrl.record.run import Run

    limits = {"window": 2, "truncated": 1.0, **health}
    settings = recipe(runs_dir, rewards=FLAT, health=limits, **SMALL)
    plan = preflight.check(settings)
    run = Run.open(settings)
    summary = train(plan, run)
    assert summary == json.loads((run.folder / "summary.json").read_text())
    return run.folder, summary


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> tuple[Path, dict]:
    return run_here(tmp_path_factory.mktemp("unbroken"))


def test_an_alarm_alone_ends_nothing_and_is_in_journal_summary_and_report(unbroken):
    folder, summary = unbroken
    assert (summary["status"], summary["steps"], summary["reason"]) == ("completed", 4, None)
    (alarm,) = summary["alarms"]
    assert (alarm["name"], alarm["first_step"], alarm["last_step"], alarm["standing"]) == ("zero_spread", 2, 4, True)
    assert [[one["name"] for one in entry.get("alarms", ())] for entry in journal(folder)] == [
        [],
        [],
        ["zero_spread"],
        [],
        [],
    ]
    assert alarm["text"] in (folder / "report.html").read_text()


def test_stop_on_ends_the_run_saved_and_it_goes_on_as_an_unbroken_one(unbroken, tmp_path):
    folder, summary = run_here(tmp_path, stop_on=["missing", "zero_spread"])
    assert (summary["status"], summary["steps"]) == ("stopped", 2)
    assert summary["reason"].startswith("Alarm zero_spread: 100 %") and "health.stop_on=[]" in summary["reason"]
    assert (folder / "checkpoints" / "latest").read_text().strip() == "global_step_2"

    folder, summary = run_here(tmp_path, stop_on=["zero_spread"])  # unchanged: one step, and the limit is passed again
    assert (summary["status"], summary["steps"]) == ("stopped", 3)

    folder, summary = run_here(tmp_path, stop_on=[])
    assert (summary["status"], summary["steps"], summary["reason"]) == ("completed", 4, None)
    assert summary["alarms"] == unbroken[1]["alarms"], "told again, or forgotten, after a resume"
    same_run(unbroken[0], folder, step=4)


def test_an_alarm_of_the_last_step_leaves_the_run_completed(tmp_path):
    _, summary = run_here(tmp_path, window=4, stop_on=["zero_spread"])
    assert (summary["status"], summary["steps"], summary["reason"]) == ("completed", 4, None)
    assert [alarm["first_step"] for alarm in summary["alarms"]] == [4]


def test_a_signal_while_an_alarm_is_stopping_the_run_lets_it_save():
    stop = StopRequest("Alarm zero_spread: …")
    with stop_on_signal(stop):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.reason == "Alarm zero_spread: …"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_other_keys_still_may_not_change(unbroken):
    from medrl.record.run import Run

    with pytest.raises(MedrlError, match=r"Changed:\n  optimizer.lr: 0.001 -> 0.5\nGive"):
        limits = {"window": 3, "stop_on": ["missing"]}
        Run.open(recipe(unbroken[0].parent, rewards=FLAT, health=limits, optimizer={"lr": 0.5}, **SMALL))
