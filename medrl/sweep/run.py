"""Run what is missing of a sweep on this machine, several at once: each run is `medrl train …` in a process of its own.

A run that fails is noted with its reason and stops none of the others. SIGTERM or Ctrl-C lets the running ones save, then
ends. Should this process be killed, its runs save and end too, and a sweep started again waits for them and goes on.
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO, Protocol

from medrl.cluster.supervise import SWEEP_PID, signals_kept, stamp, write_summary
from medrl.sweep.journal import Journal
from medrl.sweep.layout import SweepRun
from medrl.sweep.locks import holder, sign, take
from medrl.sweep.plan import Plan
from medrl.sweep.reasons import reason_of
from medrl.sweep.shares import Share
from medrl.sweep.state import RETRIED, TO_DO, RunState, lock_file, note_attempt, read_json, state_of

TICK_S = 0.2
STOP_S = 600.0  # for the step that is running and the checkpoint; then a second SIGTERM
SECOND_STOP_S = 30.0  # after which they are killed
HELD_S = 900.0  # that a run of an earlier sweep may take to save and end


class Show(Protocol):
    """Who is told what happens; show.py has the one for people."""

    def started(self, run: SweepRun) -> None: ...
    def ended(self, run: SweepRun, state: RunState, seconds: float) -> None: ...
    def note(self, text: str) -> None: ...
    def look(self, running: Sequence["Worker"], waiting: int) -> None: ...


@dataclass
class Worker:
    """A run that is being made."""

    run: SweepRun
    process: subprocess.Popen[bytes]
    share: Share
    lock: int
    log: BinaryIO
    log_start: int  # bytes of earlier attempts
    journal: Journal
    before: dict[str, object]  # stamps of recipe.yaml and summary.json
    started: float = field(default_factory=time.monotonic)
    said: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def run_sweep(
    plan: Plan,
    runs: Sequence[SweepRun],
    each: Sequence[Share],
    show: Show,
    ended: Callable[[], None],
    retry: bool = False,
) -> int | None:
    """Make these runs, at most one to a share; `ended` is called after each. The signal that stopped it, or None."""
    queue, free, active = deque(runs), list(each), list[Worker]()
    held_since: dict[str, float] = {}
    with signals_kept() as asked:
        stopping = _Stopping()
        while (queue and not asked) or active:
            for _ in range(len(queue)):
                if not free or asked:
                    break
                run = queue.popleft()
                worker = _start(plan, run, free[0], retry)
                if isinstance(worker, Worker):
                    active.append(worker)
                    free.pop(0)
                    show.started(run)
                elif worker is None:  # an earlier sweep's process is still saving
                    if not _still_held(plan, run, held_since, show):
                        queue.append(run)
                else:
                    show.ended(run, worker, 0.0)
            stopping.press(asked, active)
            for worker in [one for one in active if one.process.poll() is not None]:
                active.remove(worker)
                free.append(worker.share)
                state = _end(plan, worker, bool(asked))
                show.ended(worker.run, state, time.monotonic() - worker.started)
                ended()
            for worker in active:
                worker.journal.look()
            show.look(active, len(queue))
            time.sleep(TICK_S)
        return asked[0] if asked else None


def _start(plan: Plan, run: SweepRun, share: Share, retry: bool) -> "Worker | RunState | None":
    """Start a run; its state instead when there is nothing to do any more, None while another process holds it."""
    sweep = plan.sweep
    lock = take(lock_file(sweep, run))
    if lock is None:
        return None
    state = state_of(sweep, run, locked=True)  # again, since it may have ended meanwhile
    if state.status not in (*TO_DO, *(RETRIED if retry else ())):
        os.close(lock)
        return state
    command, folder = plan.command(run), sweep.run_dir(run)
    log_file = sweep.log_file(run)
    log = log_file.open("ab")
    start = log.tell()
    log.write(f"$ medrl {shlex.join(command)}\n".encode())
    log.flush()
    environment = {**os.environ, **share.environment(), SWEEP_PID: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
    before = {name: stamp(folder / name) for name in ("recipe.yaml", "summary.json")}
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, share.cores)  # inherited by the child before it has threads of its own
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "medrl", *command], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,  # Ctrl-C on the terminal reaches this process alone, and the run once, through it
            pass_fds=[lock],
        )  # fmt: skip
    finally:
        os.sched_setaffinity(0, mine)
    sign(lock, f"pid {process.pid} on {socket.gethostname()}")
    journal = Journal(folder / "metrics.jsonl", plan.recipes[run.name], sweep.metric)
    worker = Worker(run, process, share, lock, log, start, journal, dict(before))
    note_attempt(sweep, run, command=shlex.join(["medrl", *command]), started=worker.said)
    return worker


def _end(plan: Plan, worker: Worker, asked: bool) -> RunState:
    """Note how a run ended, and close what was held for it."""
    sweep, run = plan.sweep, worker.run
    folder, code = sweep.run_dir(run), worker.process.returncode
    seconds = time.monotonic() - worker.started
    worker.journal.look()
    summed_up = stamp(folder / "summary.json") != worker.before["summary.json"]
    summary = read_json(folder / "summary.json") if summed_up else {}
    reason = None
    if summary.get("status") == "failed" or (code != 0 and summary.get("status") is None):
        reason = reason_of(code, summary, sweep.log_file(run), worker.log_start)
        if asked and (code < 0 or code > 128 or reason.startswith("KeyboardInterrupt")):
            reason = None  # before its first step, or in a hurry: as it was asked to
    opened = stamp(folder / "recipe.yaml") not in (None, worker.before["recipe.yaml"])
    if opened and not summed_up and reason:
        write_summary(folder, reason, seconds, plan.recipes[run.name].engine.name)
    command = shlex.join(["medrl", *plan.command(run)])
    # without a code where it was cut off by us: to be gone on with
    noted = {} if code != 0 and reason is None else {"code": code, "reason": reason}
    note_attempt(sweep, run, command=command, started=worker.said, seconds=round(seconds, 1), **noted)
    worker.log.close()
    os.close(worker.lock)
    return state_of(sweep, run, locked=True)


def _still_held(plan: Plan, run: SweepRun, since: dict[str, float], show: Show) -> bool:
    """Whether a run has been held by another process for too long; says so at the first look and at the last."""
    who = holder(lock_file(plan.sweep, run)) or "a process that has just ended"
    if run.name not in since:
        since[run.name] = time.monotonic()
        show.note(f"{run.name}: waiting for {who}, which is still at it")
    if time.monotonic() - since[run.name] < HELD_S:
        return False
    show.ended(run, RunState("running", f"{who} did not end within {HELD_S:g} s"), 0.0)
    return True


@dataclass
class _Stopping:
    """What has been done about the signals received."""

    level: int = 0  # 1: runs were asked to save and end, 2: to end at once, 3: killed
    next_at: float = float("inf")

    def press(self, asked: list[int], active: Sequence[Worker]) -> None:
        """Go one step further for a further signal, or when time is up."""
        wanted = min(len(asked), 3)
        if self.level and time.monotonic() >= self.next_at:
            wanted = max(wanted, min(self.level + 1, 3))
        while self.level < wanted:
            self.level += 1
            self.next_at = time.monotonic() + (STOP_S if self.level == 1 else SECOND_STOP_S)
            for worker in active:
                if self.level == 3:
                    with suppress(ProcessLookupError):
                        os.killpg(worker.process.pid, signal.SIGKILL)
                else:
                    worker.process.terminate()
