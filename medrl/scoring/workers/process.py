"""The driver's ends of the reward processes: the nursery, and a worker that is given calls and heard until a moment."""

import json
import mmap
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from medrl.errors import MedrlError
from medrl.scoring.workers.failed import DIED
from medrl.scoring.workers.wire import MAX_RESULT, PLACE, Job, read_line, send_frame

LOAD_S = 300.0  # until the reward files are loaded
END_S = 5.0
SEND_S = 10.0  # until a worker has read what it is sent
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from medrl.scoring.workers.nursery import main; main()"
)
NO_RESULT = f"{DIED}: sent what is no result"
# many small processes: each with one thread, and with sets in the same order in every run
SETTINGS = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Died(Exception):
    """A worker that ended by itself, and how."""


class Silent(Exception):
    """A worker that said nothing until the moment it was waited for."""


class Nursery:
    """The process that workers are forked from. It loads the reward files while the driver goes on."""

    def __init__(self, job: Job) -> None:
        self.control, theirs = socket.socketpair()
        self._lock, self._is_ready, self._fault = threading.Lock(), False, ""
        path = [part or str(Path.cwd()) for part in sys.path]
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", START, json.dumps(path), str(theirs.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            env={**SETTINGS, **os.environ, "PYTHONHASHSEED": "0"},
            start_new_session=True,  # Ctrl-C is for the driver, who asks for the step's last scores
        )
        theirs.close()
        assert self.process.stdin
        with suppress(BrokenPipeError):  # what it died of is told by `ready`
            self.process.stdin.write(pickle.dumps(job))
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def ready(self) -> None:
        """Wait until the reward files are loaded; MedrlError when they are not."""
        with self._lock:
            if not self._is_ready and not self._fault:
                self._fault = self._first_words()
                self._is_ready = not self._fault
            if self._fault:
                raise MedrlError(self._fault)

    def _first_words(self) -> str:
        """Empty when it is ready, else why it will never be."""
        self.control.settimeout(LOAD_S)
        try:
            heard = read_line(self.control)
        except TimeoutError:
            return f"the reward files were not loaded within {LOAD_S:.0f} s"
        if heard:
            return "" if heard[0] == "ready" else str(heard[1])
        with suppress(subprocess.TimeoutExpired):
            return f"{DIED}: {_how(self.process.wait(END_S))} while it loaded the reward files"
        return "the process that loads the reward files does not answer"

    def fork(self) -> "Worker":
        """A new worker; MedrlError when it cannot load the reward files, OSError when the nursery is gone."""
        self.ready()
        data, theirs = socket.socketpair()
        status, report = socket.socketpair()
        shared = os.memfd_create("medrl-reward")
        os.ftruncate(shared, PLACE.size)
        progress = mmap.mmap(shared, PLACE.size)
        try:
            with theirs, report, self._lock:
                socket.send_fds(self.control, [b"+"], [theirs.fileno(), report.fileno(), shared])
        except OSError:
            for mine in (data, status, progress):
                mine.close()
            raise
        finally:
            os.close(shared)
        return Worker(data, status, progress)

    def close(self) -> None:
        """End it and all workers."""
        with suppress(OSError):
            self.control.shutdown(socket.SHUT_RDWR)  # wakes whoever waits for it, which closing does not
        self.control.close()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Worker:
    """A reward process. Closing `status` is what kills it."""

    def __init__(self, data: socket.socket, status: socket.socket, progress: mmap.mmap) -> None:
        self.data, self.status, self.progress, self.rest = data, status, progress, b""
        data.settimeout(SEND_S)
        try:
            heard: list[list[Any]] = []
            while not heard:
                heard = list(self.hear(time.monotonic() + LOAD_S))
        except (Died, Silent) as error:
            self.kill()
            raise OSError(f"a reward process did not start: {error}") from None
        if heard[0][0] == "broken":
            self.kill()
            raise MedrlError(heard[0][1])

    @property
    def gone(self) -> bool:
        """Whether it has ended although it was given nothing to do."""
        waiting = select.poll()
        waiting.register(self.data, select.POLLIN)
        return bool(waiting.poll(0))

    def give(self, calls: Sequence[tuple[int, bytes]], together: bool) -> None:
        """Send a chunk of calls; OSError when the worker is gone."""
        self.progress[:] = PLACE.pack(0)
        send_frame(self.data, (calls, together))

    @property
    def place(self) -> int:
        """Of the call in its chunk that runs, or ran last."""
        return int(PLACE.unpack(self.progress[:])[0])

    def hear(self, until: float) -> Iterator[list[Any]]:
        """Its messages, one or more. Silent when there is none at that moment, Died when it has ended."""
        waiting = select.poll()
        waiting.register(self.data, select.POLLIN)
        if not waiting.poll(max(0.0, until - time.monotonic()) * 1000):
            raise Silent
        try:
            data = self.data.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            raise Died(self._how())
        *lines, self.rest = (self.rest + data).split(b"\n")
        if len(self.rest) > 2 * MAX_RESULT:
            raise Died(NO_RESULT)
        for one in lines:
            yield _message(one)

    def kill(self) -> None:
        for mine in (self.status, self.data):
            mine.close()

    def _how(self) -> str:
        """How it ended, as the nursery says."""
        self.status.settimeout(END_S)
        with suppress(OSError, ValueError):
            while message := read_line(self.status):
                if message[0] == "ended":
                    return f"{DIED}: {_how(message[1])}"
        return f"{DIED}: the process that watched it is gone"


def _message(data: bytes) -> list[Any]:
    """Checked, since a reward is in the same process as the worker: a word first, or a call's number and what became of it."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        raise Died(NO_RESULT) from None
    if isinstance(message, list) and [type(one) for one in message[:1]] == [str]:
        return message
    if not isinstance(message, list) or len(message) != 5:
        raise Died(NO_RESULT)
    position, seconds, _, reason, trace = message
    if (
        type(position) is not int
        or type(seconds) is not float
        or not all(one is None or isinstance(one, str) for one in (reason, trace))
    ):
        raise Died(NO_RESULT)
    return message


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"killed by signal {-code} ({signal.Signals(-code).name})"
    return f"killed by signal {-code}"
