"""One run on a real cluster that loses an FSDP worker, then its vLLM engine, then its driver, each by SIGKILL.

Every time it must end within a minute, name the cause, leave nothing behind, and go on from its last checkpoint when the
same command is given again.
"""

import os
import signal
import time
from pathlib import Path

import pytest
from cluster_runs import SMALL, below, finish, start, steps, summary, traces, wait_for_step

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]
TO_A_STEP_S, END_WITHIN_S = 400, 60
VICTIMS = {  # what to kill, how to find it, what the summary must say of it
    "FSDP worker": ("ray::WorkerDict", "FSDP worker"),
    "vLLM engine": ("VLLM::EngineCore", "vLLM"),
    "driver": (" -m medrl train", "SIGKILL"),
}


def test_each_kill_ends_the_run_with_its_cause_and_the_same_command_completes_it(tmp_path: Path):
    run, total = tmp_path / "killed", 9
    settings = (*SMALL, f"training.steps={total}")
    before = traces()
    done = 0
    for name, (pattern, cause) in VICTIMS.items():
        process = start(run, *settings)
        wait_for_step(process, run, done + 2, TO_A_STEP_S)
        family = below(process.pid)
        victim = next(pid for pid, command in family.items() if pattern in command)
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        code = finish(process, END_WITHIN_S + 30)
        took_s = time.monotonic() - killed
        ended = summary(run)
        assert took_s < END_WITHIN_S, f"{name}: {took_s:.0f} s"
        assert code != 0 and ended["status"] == "failed", name
        assert cause in ended["reason"] and "\n  File" not in ended["reason"], f"{name}: {ended['reason']}"
        assert not [pid for pid in family if Path(f"/proc/{pid}").exists()], f"{name}: processes left"
        assert traces() <= before, f"{name}: {traces() - before} left"
        done = max(steps(run)) - 1  # the step that was being saved may be lost
        assert done < total - 2
    process = start(run, *settings)
    assert finish(process, TO_A_STEP_S) == 0
    assert summary(run)["status"] == "completed" and summary(run)["steps"] == total
    assert steps(run) == list(range(total + 1)), "every step once"
    assert traces() <= before
