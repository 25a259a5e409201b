"""The process that reward workers are forked from: it has loaded the reward files, so a new worker is there in milliseconds.

Started by the driver once per service, with one socket to it. It watches its workers, tells how each ended, and kills a
worker's whole process group, forks and their forks included. It ends, and everything below it, when the driver does.
"""

import mmap
import os
import pickle
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from medrl.errors import MedrlError
from medrl.scoring.workers.wire import PLACE, Job, line
from medrl.scoring.workers.worker import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, load, prctl, serve

LOOK_S = 1.0  # how often it looks whether the driver is there: a fork of the driver may hold the socket open
END_S = 3.0
IGNORED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
)  # sent to every process of a job, whose driver finishes its step


def main() -> None:
    """`sys.argv[-1]`: the file descriptor of the socket to the driver; the Job is on the standard input."""
    for number in IGNORED:  # a handler and not SIG_IGN, which a reward's own subprocesses would inherit
        signal.signal(number, _nothing)
    control = socket.socket(fileno=int(sys.argv[-1]))
    job: Job = pickle.loads(sys.stdin.buffer.read())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what rewards print must not get between the driver's own output
    functions = None
    if not job.load_late:
        try:
            functions = load(job)
        except MedrlError as error:
            control.sendall(line(["broken", str(error)]))
            return
        if _threads() > 1:
            _start_over(replace(job, load_late=True))  # threads do not survive a fork, nor what they held
    with suppress(BrokenPipeError):  # the driver ended meanwhile
        control.sendall(line(["ready"]))
        _Nursery(control, job, functions).run()


class _Nursery:
    """Workers by process id, each with the socket on which the driver hears of it; closing that socket ends the worker."""

    def __init__(self, control: socket.socket, job: Job, functions: list[Callable[..., Any]] | None) -> None:
        self.control, self.job, self.functions = control, job, functions
        self.own, self.driver = os.getpid(), os.getppid()
        self.workers: dict[int, socket.socket] = {}
        self.selector = selectors.DefaultSelector()
        self.bell, ringing = socket.socketpair()
        ringing.setblocking(False)
        self.bell.setblocking(False)
        self.ringing = ringing
        signal.signal(signal.SIGCHLD, _nothing)
        signal.set_wakeup_fd(ringing.fileno(), warn_on_full_buffer=False)
        self.selector.register(control, selectors.EVENT_READ, self._start)
        self.selector.register(self.bell, selectors.EVENT_READ, self._rung)
        prctl(PR_SET_CHILD_SUBREAPER, 1)  # what a worker's children leave behind becomes ours to end

    def run(self) -> None:
        try:
            while self.control.fileno() >= 0 and os.getppid() == self.driver:
                for key, _ in self.selector.select(LOOK_S):
                    key.data()
        finally:
            self._end()

    def _start(self) -> None:
        """Fork a worker that answers on the first socket sent; the second is for what becomes of it, the third its progress."""
        try:
            request, sockets, _, _ = socket.recv_fds(self.control, 1, 3)
        except OSError:  # reset: the driver ended with something unread
            request = b""
        if not request:
            self.selector.unregister(self.control)
            self.control.close()
            return
        channel, status = (socket.socket(fileno=number) for number in sockets[:2])
        pid = os.fork()
        if pid == 0:
            self._become_worker(channel, status, sockets[2])
        _own_group(pid)
        channel.close()
        os.close(sockets[2])
        self.workers[pid] = status
        self.selector.register(status, selectors.EVENT_READ, lambda: self._kill(pid))
        _tell(status, ["pid", pid])

    def _become_worker(self, channel: socket.socket, status: socket.socket, shared: int) -> None:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _own_group(0)
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self.own:
                return
            for other in (self.control, self.bell, self.ringing, status, *self.workers.values()):
                other.close()
            self.selector.close()
            progress = mmap.mmap(shared, PLACE.size)
            os.close(shared)
            serve(channel, progress, self.job, self.functions)
        except OSError:
            pass  # the driver is gone
        finally:
            os._exit(0)

    def _rung(self) -> None:
        """A child ended, or a signal came."""
        with suppress(BlockingIOError):
            while self.bell.recv(4096):
                pass
        self._reap()

    def _reap(self) -> None:
        """Take leave of every child that has ended; with a worker goes its group, whose number is still its own."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            if (status := self.workers.pop(ended.si_pid, None)) is not None:
                _kill_group(ended.si_pid)
                _, code = os.waitpid(ended.si_pid, 0)
                _tell(status, ["ended", os.waitstatus_to_exitcode(code)])
                self._drop(status)
            else:
                os.waitpid(ended.si_pid, 0)
            self._kill_strays()

    def _kill(self, pid: int) -> None:
        """The driver wants no more of this worker."""
        if (status := self.workers.get(pid)) is not None:
            self.selector.unregister(status)
            _kill_group(pid)

    def _drop(self, status: socket.socket) -> None:
        if status in self.selector.get_map():
            self.selector.unregister(status)
        status.close()

    def _kill_strays(self) -> None:
        """What has no parent any more and left its group."""
        for pid in _children():
            if pid not in self.workers:
                _kill_one(pid)

    def _end(self) -> None:
        for pid in self.workers:
            _kill_group(pid)
        until = time.monotonic() + END_S
        while time.monotonic() < until:
            self._reap()
            if not self.workers and not _children():
                return
            time.sleep(0.005)


def _start_over(job: Job) -> None:
    """The same program anew, for workers that load the files themselves."""
    memory = os.memfd_create("medrl-rewards")
    os.write(memory, pickle.dumps(job))
    os.lseek(memory, 0, os.SEEK_SET)
    os.dup2(memory, 0)
    os.execv(sys.executable, sys.orig_argv)


def _threads() -> int:
    folder = Path("/proc/self/task")
    return len(list(folder.iterdir())) if folder.is_dir() else 1


def _children() -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return []


def _own_group(pid: int) -> None:
    with suppress(OSError):  # by parent and child, so that it is done before either relies on it
        os.setpgid(pid, pid)


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        _kill_one(pid)


def _kill_one(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _tell(status: socket.socket, message: list[Any]) -> None:
    with suppress(OSError):  # the driver may not listen any more
        status.sendall(line(message))


def _nothing(number: int, frame: object) -> None: ...
