"""The scoring service: calls of rewards answered by worker processes, each call within its deadline or not at all.

Whatever a reward does, the call ends in an Outcome: its result, or the reason why there is none. A worker that is silent
beyond a call's deadline is killed with all that it forked, and so is replaced, as is one that dies; no other call is lost
by that. Results belong to their calls, never to the order of arrival, so a run is the same with any number of workers.
"""

import atexit
import inspect
import math
import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medrl.errors import MedrlError
from medrl.recipe import Scoring
from medrl.scoring.failed import KILLED, TIMEOUT, Failed
from medrl.scoring.process import NO_RESULT, Died, Nursery, Silent, Worker
from medrl.scoring.wire import Job, Source

if TYPE_CHECKING:
    from medrl.scoring.rewards import LoadedReward

QUEUED = 4096  # calls that wait; whoever has more waits too
CHUNK, TOGETHER = 32, 64  # calls a worker is given at once: one after another, or all at the same time
GRACE_S, TOGETHER_GRACE_S = 0.1, 0.5  # beyond a deadline, for what is under way; coroutines are cancelled first
STARTS = 3  # times that a worker may fail to start before the service gives up


@dataclass(frozen=True)
class Outcome:
    """What became of a call: the reward's result or the exception in its place, and the seconds it took."""

    result: Any
    seconds: float


class Service:
    """Reward processes for the rewards of one recipe. Thread-safe; close it, or use it as a context."""

    def __init__(self, rewards: Sequence["LoadedReward"], workers: int, memory_mb: int = 2048) -> None:
        self._sources = tuple(source_of(reward) for reward in rewards)
        self._number = {reward.name: number for number, reward in enumerate(rewards)}
        self._concurrent = [inspect.iscoroutinefunction(reward.plugin.target) for reward in rewards]
        self._job = Job(self._sources, memory_mb)
        self._queue: deque[_Call] = deque()
        self._lock = threading.Lock()
        self._filled, self._drained = threading.Condition(self._lock), threading.Condition(self._lock)
        self._closed, self.replaced, self.workers = False, 0, workers
        self._nursery, self._starting = Nursery(self._job), threading.Lock()
        self._owner = os.getpid()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"scoring-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()
        atexit.register(self.close)

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ready(self) -> None:
        """Wait until the reward files are loaded; MedrlError when they do not load."""
        self._nursery.ready()

    def submit(self, calls: Iterable[tuple[str, Any]]) -> "Future[list[Outcome]]":
        """Call rewards by name with their arguments (a dict; for a reward of groups a list of them): outcomes in this order.

        Arguments are copied here and now, once for all calls in a row with the same object; each call gets its own.
        Waits while too many calls are queued.
        """
        batch = _Batch()
        last, copied = object(), b""
        for position, (name, given) in enumerate(calls):
            batch.outcomes.append(Outcome(None, 0.0))
            try:
                copied = copied if given is last else pickle.dumps(given, pickle.HIGHEST_PROTOCOL)
            except Exception as error:
                batch.started(1)
                what = f"its arguments cannot be sent to a reward process: {type(error).__name__}: {error}"
                batch.done(position, Outcome(Failed(what), 0.0))
                continue
            last = given
            with self._lock:
                while len(self._queue) >= QUEUED and not self._closed:
                    self._drained.wait()
                if self._closed:
                    raise MedrlError("the scoring service is closed")
                batch.started(1)
                self._queue.append(_Call(batch, position, self._number[name], copied))
                self._filled.notify()
        batch.sealed()
        return batch.future

    def close(self) -> None:
        """End all workers now; calls that are not answered fail."""
        if os.getpid() != self._owner:
            return  # a fork of the driver: the workers are not its own
        atexit.unregister(self.close)
        with self._lock:
            if self._closed:
                return
            self._closed = True
            left = list(self._queue)
            self._queue.clear()
            self._filled.notify_all()
            self._drained.notify_all()
        with self._starting:
            self._nursery.close()
        for call in left:
            call.fail("the scoring service was closed", 0.0)
        for thread in self._threads:
            thread.join()

    # ---- a thread for each worker

    def _run(self, number: int) -> None:
        worker: Worker | None = None
        while chunk := self._take():
            try:
                if worker and worker.gone:
                    worker = self._instead_of(worker)
                worker = worker or self._worker()
            except (MedrlError, OSError) as error:
                for call in chunk:
                    call.fail(f"no reward process could be started: {error}", 0.0)
                continue
            running = _Chunk(chunk, self._sources, self._concurrent[chunk[0].reward])
            fit = running.run(worker)
            if running.waiting:
                self._give_back(list(running.waiting.values()))
            if not fit:  # a new one at once, so that the next call need not wait
                worker = self._instead_of(worker)
        if worker:
            worker.kill()

    def _instead_of(self, worker: Worker) -> Worker | None:
        worker.kill()
        with self._lock:
            if self._closed:
                return None
            self.replaced += 1
        with suppress(MedrlError, OSError):  # told by the next call
            return self._worker()
        return None

    def _take(self) -> "list[_Call]":
        """Calls that go to a worker at once: the fewer the fewer there are, so that all workers end together."""
        while True:
            with self._lock:
                while not self._queue and not self._closed:
                    self._filled.wait()
                if self._closed:
                    return []
                chunk = [self._queue.popleft()]
                together, again = self._concurrent[chunk[0].reward], chunk[0].again
                part, most = (1, TOGETHER) if together else (8, CHUNK)
                share = 1 if again else min(most, math.ceil((len(self._queue) + 1) / (part * self.workers)))
                while self._queue and len(chunk) < share:
                    if self._concurrent[self._queue[0].reward] != together or self._queue[0].again:
                        break
                    chunk.append(self._queue.popleft())
                self._drained.notify_all()
            if wanted := [call for call in chunk if not call.batch.future.cancelled()]:
                return wanted

    def _give_back(self, calls: "list[_Call]") -> None:
        """Calls that a worker did not come to are the next ones."""
        with self._lock:
            if not self._closed:
                self._queue.extendleft(reversed(calls))
                self._filled.notify(len(calls))
                return
        for call in calls:
            call.fail("the scoring service was closed", 0.0)

    def _worker(self) -> Worker:
        """A new worker; of a new nursery where the old one is gone."""
        for attempt in range(STARTS):
            nursery = self._nursery
            try:
                return nursery.fork()
            except OSError:
                with self._starting:
                    if self._closed or attempt == STARTS - 1:
                        raise
                    if nursery is self._nursery:
                        nursery.close()
                        self._nursery = Nursery(self._job)
        raise AssertionError


class _Batch:
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
class _Call:
    """A call in the queue. `again`: it was under way, among others, when its worker died; it is tried once more, alone."""

    batch: _Batch
    position: int
    reward: int
    given: bytes
    again: bool = False

    def fail(self, reason: str, seconds: float, trace: str = "") -> None:
        self.batch.done(self.position, Outcome(Failed(reason, trace), seconds))


class _Chunk:
    """Calls on their way through a worker; afterwards those are `waiting` that it did not come to."""

    def __init__(self, calls: list[_Call], sources: Sequence[Source], together: bool) -> None:
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
            try:
                for message in worker.hear(self._due()):
                    if isinstance(message[0], str):
                        return message[0] == "done" and not self.waiting
                    if message[0] not in self.waiting:
                        worker.kill()
                        raise Died(NO_RESULT)
                    self._take(message)
            except Silent:
                worker.kill()
                self._out_of_time(worker.place)
                return False
            except Died as error:
                self._death(str(error), worker.place)
                return False

    def _due(self) -> float:
        """When the worker must have spoken: each call has its time from the moment that the one before it was answered."""
        running = list(self.waiting.values())
        if not self.together:
            running = running[:1]
        return self.since + self.grace_s + max((self.sources[call.reward].timeout_s for call in running), default=5.0)

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


@contextmanager
def open_service(scoring: Scoring, rewards: Sequence["LoadedReward"], share: int = 1) -> Iterator[Service | None]:
    """The service that the recipe asks for; None where rewards are called in this process (`scoring.workers=0`).

    `share`: how many processes of the run each open one, and divide the workers between them.
    """
    if scoring.workers == 0 or not rewards:
        yield None
        return
    wanted = default_workers() if scoring.workers is None else scoring.workers
    with Service(rewards, max(1, wanted // share), scoring.memory_mb) as service:
        yield service


def default_workers() -> int:
    """One for each CPU this process may use, eight at most."""
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def source_of(reward: "LoadedReward") -> Source:
    """A loaded reward as a reward process finds it again."""
    plugin = reward.plugin
    function = plugin.reference.partition(":")[2]
    return Source(
        reward.name, str(plugin.path), function, plugin.sha256, reward.of_group, reward.timeout_s, reward.kwargs
    )
