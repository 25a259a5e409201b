"""What a person sees of a run: alarms stand out, once, and never as markup."""

import io

import pytest
from makers import recipe
from rich.console import Console

from medrl import terminal
from medrl.record.progress import TrainingProgress

TEXT = "95 % of [bold]the groups[/bold] had attempts (health.stop_on=[]); try …"
ALARM = {"name": "zero_spread", "value": 0.95, "limit": 0.9, "text": TEXT}
STEP = {"stage": "grpo", "reward/mean": 0.5, "rollout/length": 9.0, "time/step_s": 0.1}


def shown(tmp_path, *entries, quiet=False, colours=False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=400, force_terminal=colours, color_system="standard" if colours else None)
    with TrainingProgress(recipe(tmp_path), console, quiet=quiet) as progress:
        for entry in entries:
            progress.entry(entry)
    return out.getvalue()


def test_an_alarm_is_a_line_when_raised_and_another_when_cleared(tmp_path):
    entries = [{**STEP, "step": 1}, {**STEP, "step": 2, "alarms": [ALARM]}, {**STEP, "step": 3},
               {**STEP, "step": 4, "alarms_cleared": ["zero_spread"]}]  # fmt: skip
    alarms = [line for line in shown(tmp_path, *entries).splitlines() if "alarm" in line]
    assert alarms == [f"step 2: alarm zero_spread: {TEXT}", "step 4: alarm zero_spread has cleared"]
    assert shown(tmp_path, *entries, quiet=True) == ""
    assert f"\x1b[33mstep 2: alarm zero_spread: {TEXT}\x1b[0m" in shown(tmp_path, entries[1], colours=True)


@pytest.mark.parametrize(("standing", "steps"), [(True, "steps 2 to 4"), (False, "steps 2 to 4, then cleared")])
def test_the_end_of_a_run_tells_its_alarms_and_its_reason_as_they_are(tmp_path, monkeypatch, standing, steps):
    out = io.StringIO()
    monkeypatch.setattr(terminal, "console", Console(file=out, width=400))
    alarm = {**ALARM, "first_step": 2, "last_step": 4, "standing": standing}
    summary = {
        "status": "stopped",
        "reason": f"Alarm zero_spread: {TEXT}",
        "steps": 4,
        "seconds": 1.0,
        "alarms": [alarm],
    }
    terminal.report(summary, tmp_path, as_json=False)
    assert f"alarm zero_spread, {steps}: {TEXT}\n" in out.getvalue()
    assert f"Alarm zero_spread: {TEXT}\n" in out.getvalue()
    terminal.report({**summary, "alarms": []}, tmp_path, as_json=False)  # as of a run made before there were alarms
