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
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

from medrl.errors import MedrlError
from medrl.recipe import Scoring
from medrl.scoring.loaded import LoadedReward
from medrl.scoring.workers.chunk import Batch, Call, Chunk, Outcome
from medrl.scoring.workers.failed import Failed
from medrl.scoring.workers.process import Nursery, Worker
from medrl.scoring.workers.wire import Job, Source

QUEUED = 4096  # calls that wait; whoever has more waits too
CHUNK, TOGETHER = 32, 64  # calls a worker is given at once: one after another, or all at the same time
STARTS = 3  # times that a worker may fail to start before the service gives up


class Service:
    """Reward processes for the rewards of one recipe. Thread-safe; close it, or use it as a context."""

    def __init__(self, rewards: Sequence[LoadedReward], workers: int, memory_mb: int = 2048) -> None:
        self._sources = tuple(source_of(reward) for reward in rewards)
        self._number = {reward.name: number for number, reward in enumerate(rewards)}
        self._concurrent = [inspect.iscoroutinefunction(reward.plugin.target) for reward in rewards]
        self._job = Job(self._sources, memory_mb)
        self._queue: deque[Call] = deque()
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
        batch, ready = Batch(), []
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
            ready.append(Call(batch, position, self._number[name], copied))
            if len(ready) == CHUNK:
                self._enqueue(batch, ready)
                ready = []
        self._enqueue(batch, ready)
        batch.sealed()
        return batch.future

    def _enqueue(self, batch: Batch, calls: list[Call]) -> None:
        with self._lock:
            while len(self._queue) >= QUEUED and not self._closed:
                self._drained.wait()
            if self._closed:
                raise MedrlError("the scoring service is closed")
            batch.started(len(calls))
            self._queue.extend(calls)
            self._filled.notify(len(calls))

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
            running = Chunk(chunk, self._sources, self._concurrent[chunk[0].reward])
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

    def _take(self) -> list[Call]:
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

    def _give_back(self, calls: list[Call]) -> None:
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


@contextmanager
def open_service(scoring: Scoring, rewards: Sequence[LoadedReward], share: int = 1) -> Iterator[Service | None]:
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


def source_of(reward: LoadedReward) -> Source:
    """A loaded reward as a reward process finds it again."""
    plugin = reward.plugin
    function = plugin.reference.partition(":")[2]
    return Source(
        reward.name, str(plugin.path), function, plugin.sha256, reward.of_group, reward.timeout_s, reward.kwargs
    )
