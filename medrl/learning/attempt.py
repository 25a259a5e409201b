"""One attempt at a run, whichever engine does the steps: it ends with a true summary and a report, whatever happened."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from medrl.errors import MedrlError
from medrl.recipe import Recipe
from medrl.record.health import Health
from medrl.record.loggers import ExternalLoggers
from medrl.record.report import write_report
from medrl.record.run import Run


@dataclass
class StopRequest:
    """Set by SIGTERM, Ctrl-C or an alarm; the engine looks at it between steps, saves, and returns."""

    reason: str | None = None
    signalled: bool = False


def attempt(run: Run, wanted: int, engine: str, steps: Callable[[StopRequest], Iterator[int]]) -> dict[str, Any]:
    """Draw step counts from `steps` until it ends, which should be at `wanted`; returns summary.json. Leaves a summary also
    when it raises."""
    started, status, reason, done = time.perf_counter(), "failed", None, 0
    stop = StopRequest()
    try:
        with stop_on_signal(stop):
            for count in steps(stop):
                done = count
        status, reason = ("stopped", stop.reason) if done < wanted else ("completed", None)
    except BaseException as error:
        reason = str(error) if isinstance(error, MedrlError) else f"{type(error).__name__}: {error}"
        raise
    finally:
        summary = run.write_summary(
            status=status,
            reason=reason,
            engine=engine,
            steps=done,
            seconds=time.perf_counter() - started,
            val_first=run.read_eval(0),
            val_last=run.last_eval(),
        )
        write_report(run.folder)
    return summary


def recorder(
    recipe: Recipe, run: Run, loggers: ExternalLoggers, observe: Callable[[dict[str, Any]], None], stop: StopRequest
) -> Callable[[dict[str, Any]], None]:
    """What both engines give a step's entry to: alarms are judged and put into it, then journal, loggers and display have
    it. An alarm of `health.stop_on` asks to stop after this step."""
    health = Health(recipe, run.journal)

    def log(entry: dict[str, Any]) -> None:
        entry = {**entry, **health.judge(entry)}
        run.log(entry)
        loggers.log(entry)
        observe(entry)
        stop.reason = stop.reason or health.stop

    return log


@contextmanager
def stop_on_signal(stop: StopRequest) -> Iterator[None]:
    """SIGTERM or Ctrl-C: finish the step, save, write the summary. A second one ends at once."""

    def ask(number: int, frame: object) -> None:
        if stop.signalled:
            raise KeyboardInterrupt
        stop.signalled = True
        stop.reason = (
            stop.reason
            or f"{signal.Signals(number).name} after the step that was running; resume with the same command"
        )

    if threading.current_thread() is not threading.main_thread():  # whoever runs us there handles signals
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
