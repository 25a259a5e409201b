"""Calls on their way through a worker: who is waiting for them, and which call is at fault when the worker falls silent or dies."""

import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from medrl.scoring.workers.failed import KILLED, TIMEOUT, Failed
from medrl.scoring.workers.process import NO_RESULT, Died, Silent, Worker
from medrl.scoring.workers.wire import Source

GRACE_S, TOGETHER_GRACE_S = 0.1, 0.5  # beyond a deadline, for what is under way; coroutines are cancelled first


@dataclass(frozen=True)
class Outcome:
    """What became of a call: the reward's result or the exception in its place, and the seconds it took."""

    result: Any
    seconds: float


class Batch:
    """Calls that were submitted together."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.future: Future[list[Outcome]] = Future()
        self._open, self._lock = 1, threading.Lock()  # one more than the calls until all are submitted

    def started(self, calls: int) -> None:
        with self._lock:
            self._open += calls

    def done(self, position: int, outcome: Outcome) -> None:
        self.outcomes[position] = outcome
        self.sealed()

    def sealed(self) -> None:
        with self._lock:
            self._open -= 1
            if self._open:
                return
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(self.outcomes)


@dataclass
class Call:
    """A call in the queue. `again`: it was under way, among others, when its worker died; it is tried once more, alone."""

    batch: Batch
    position: int
    reward: int
    given: bytes
    again: bool = False

    def fail(self, reason: str, seconds: float, trace: str = "") -> None:
        self.batch.done(self.position, Outcome(Failed(reason, trace), seconds))


class Chunk:
    """Calls on their way through a worker; afterwards those are `waiting` that it did not come to."""

    def __init__(self, calls: list[Call], sources: Sequence[Source], together: bool) -> None:
        self.given, self.sources, self.together = calls, sources, together and len(calls) > 1
        self.grace_s = TOGETHER_GRACE_S if together else GRACE_S
        self.waiting = dict(enumerate(calls))
        self.since = 0.0

    def run(self, worker: Worker) -> bool:
        """Whether the worker can take another chunk."""
        with suppress(OSError):  # dead or stuck: what is heard of it decides
            worker.give([(call.reward, call.given) for call in self.given], self.together)
        self.since = time.monotonic()
        while True:
            place = worker.place
            try:
                for message in worker.hear(self._due(place)):
                    if message[0] in self.waiting:
                        self._take(message)
                    elif message[0] == "retire" or (message[0] == "done" and not self.waiting):
                        return message[0] == "done"
                    else:
                        worker.kill()
                        raise Died(NO_RESULT)
            except Silent:
                if worker.place != place and not self.together:
                    continue  # quick calls were answered in the meantime, and another one runs
                worker.kill()
                self._out_of_time(place)
                return False
            except Died as error:
                self._death(str(error), worker.place)
                return False

    def _due(self, place: int) -> float:
        """When the worker must have spoken: a call has its time from the moment that the one before it was answered."""
        running = self.waiting if self.together else [one for one in (place, *self.waiting) if one in self.waiting][:1]
        within_s = (self.sources[self.waiting[one].reward].timeout_s for one in running)
        return self.since + self.grace_s + max(within_s, default=5.0)

    def _take(self, message: list[Any]) -> None:
        position, seconds, result, reason, trace = message
        call = self.waiting.pop(position)
        if not self.together:
            self.since = time.monotonic()
        if reason is None:
            call.batch.done(call.position, Outcome(result, seconds))
        else:
            call.fail(reason, seconds, trace or "")

    def _out_of_time(self, place: int) -> None:
        """Fail the call that was running. Of several at a time one is to blame: each is tried alone."""
        if self.together:
            self._alone(self.waiting)
        elif self.waiting:
            place = place if place in self.waiting else min(self.waiting)
            call = self.waiting.pop(place)
            reason = f"{TIMEOUT} {self.sources[call.reward].timeout_s:g} s {KILLED}"
            call.fail(reason, time.monotonic() - self.since)

    def _death(self, reason: str, place: int) -> None:
        """Fail the call that the worker died of, when there is but one that this can be."""
        suspects = [one for one in self.waiting if self.together or one <= place] or sorted(self.waiting)[:1]
        if len(suspects) == 1:
            self.waiting.pop(suspects[0]).fail(reason, time.monotonic() - self.since)
        else:
            self._alone(suspects)

    def _alone(self, places: Iterable[int]) -> None:
        for place in places:
            self.waiting[place].again = True
