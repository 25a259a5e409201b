"""A reward process: calls what it is sent, one call after another, and answers each call as soon as it is done.

It needs neither torch nor transformers. It has its own process group and a limit on its memory, and it dies with the
nursery it was forked from; deadlines are kept by the driver, who can end it at any time.
"""

import asyncio
import ctypes
import inspect
import mmap
import os
import pickle
import random
import resource
import signal
import socket
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from medrl.errors import MedrlError
from medrl.plugin import load_plugin
from medrl.scoring.signature import NAMES
from medrl.scoring.workers.failed import TIMEOUT, Failed, reason_of, trace_of
from medrl.scoring.workers.wire import MAX_RESULT, PLACE, Job, Source, line, plain, read_frame

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
HOLD_S = 0.005  # how long an answer may wait for the next one
CANCEL_S = 0.2  # what a coroutine has to end in once it is cancelled
Call = tuple[int, bytes]  # which reward; its pickled arguments


def load(job: Job) -> list[Callable[..., Any]]:
    """The rewards' functions; MedrlError where a file is not the one that the run was started with."""
    found = []
    for source in job.rewards:
        plugin = load_plugin(f"{source.path}:{source.function}" if source.function else source.path, NAMES)
        if plugin.sha256 != source.sha256:
            raise MedrlError(f"rewards.{source.name}: {source.path} has changed since the run was started; run again.")
        found.append(plugin.target)
    return found


def serve(
    channel: socket.socket, progress: mmap.mmap, job: Job, functions: Sequence[Callable[..., Any]] | None
) -> None:
    """Answer calls until the channel is closed. Without `functions` the files are loaded here.

    `progress` is memory shared with the driver: the place in its chunk of the call that is running.
    """
    try:
        calling = _Calling(channel, progress, job.rewards, load(job) if functions is None else functions)
        _confine(job.memory_mb)
    except MedrlError as error:
        channel.sendall(line(["broken", str(error)]))
        return
    channel.sendall(line(["ready"]))
    with asyncio.Runner() as runner:  # one loop for good, so that a reward may keep a client that belongs to it
        while (chunk := read_frame(channel)) is not None:
            calls, together = chunk
            try:
                if together:
                    runner.run(calling.together(calls))
                else:
                    for position, call in enumerate(calls):
                        calling.alone(runner, position, call)
            except _Unfit:
                calling.flush(["retire"])
                return
            calling.flush(["done"])


def prctl(option: int, value: int) -> None:
    """Linux's own; elsewhere nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


class _Unfit(Exception):
    """This process should answer no more calls."""


class _Calling:
    """The functions, and where their results go."""

    def __init__(
        self,
        channel: socket.socket,
        progress: mmap.mmap,
        sources: Sequence[Source],
        functions: Sequence[Callable[..., Any]],
    ) -> None:
        self.channel, self.progress, self.sources, self.functions = channel, progress, sources, functions
        self.answers, self.flushed = b"", 0.0
        self.process, self.forked = os.getpid(), False
        # a child of a reward must not answer in our place, nor hold the channel open when we are dead
        os.register_at_fork(before=self._forking, after_in_child=self._forked)

    def alone(self, runner: asyncio.Runner, position: int, call: Call) -> None:
        """One call, its result sent."""
        self.progress[:] = PLACE.pack(position)
        _seed(call)
        begun = time.perf_counter()
        try:
            result = self._start(call)
            if inspect.isawaitable(result):
                result = runner.run(self._awaited(call, result))
            self._answer(position, begun, plain(result))
        except BaseException as error:  # the boundary: a user's reward may raise anything, SystemExit too
            self._refuse(position, begun, error)

    def flush(self, word: list[str] | None = None) -> None:
        """Send the answers that are there, and a word."""
        self.channel.sendall(self.answers + (line(word) if word else b""))
        self.answers, self.flushed = b"", time.perf_counter()

    async def together(self, calls: Sequence[Call]) -> None:
        """All of these calls at the same time; every result is sent when it is there."""
        _seed(calls[0])
        ends = await asyncio.gather(*(self._one_of(position, call) for position, call in enumerate(calls)))
        if not all(ends):
            raise _Unfit

    async def _one_of(self, position: int, call: Call) -> bool:
        """Whether the process can go on after it."""
        begun = time.perf_counter()
        try:
            result = self._start(call)
            self._answer(position, begun, plain(await self._awaited(call, result)))
        except BaseException as error:
            try:
                self._refuse(position, begun, error)
            except _Unfit:
                return False
        return True

    async def _awaited(self, call: Call, result: Any) -> Any:
        """The coroutine's result. One that its deadline cannot cancel makes the process unfit once it is told."""
        if not inspect.isawaitable(result):
            return result
        task, within_s = asyncio.ensure_future(result), self.sources[call[0]].timeout_s
        done, _ = await asyncio.wait({task}, timeout=within_s)
        if done:
            return task.result()
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=CANCEL_S)
        late = Failed(f"{TIMEOUT} {within_s:g} s")
        if not done:
            late.__cause__ = _Unfit()
        raise late

    def _start(self, call: Call) -> Any:
        index, given = call
        source, function, arguments = self.sources[index], self.functions[index], pickle.loads(given)
        return function(arguments, **source.kwargs) if source.of_group else function(**arguments, **source.kwargs)

    def _answer(self, position: int, begun: float, result: Any) -> None:
        seconds = time.perf_counter() - begun
        if self._left_children():
            raise Failed("forked a child process and left it behind; a reward must wait for its children") from _Unfit()
        message = line([position, seconds, result, None, None])
        if len(message) > MAX_RESULT:
            raise Failed(f"returned {len(message) / 1e6:.1f} MB; expected a number, or a dict of a few")
        self._send(message)

    def _refuse(self, position: int, begun: float, error: BaseException) -> None:
        reason, seconds = reason_of(error), time.perf_counter() - begun
        unfit = self._left_children() or isinstance(error, MemoryError) or isinstance(error.__cause__, _Unfit)
        if isinstance(error, MemoryError):
            reason += ": needs more than scoring.memory_mb allows"
        self._send(line([position, seconds, None, reason[:2000], trace_of(error)[-8000:]]))
        if unfit:
            raise _Unfit

    def _send(self, message: bytes) -> None:
        """Quick calls share a message to the driver, which cost more than they do; none waits longer than HOLD_S."""
        self.answers += message
        if time.perf_counter() - self.flushed > HOLD_S:
            self.flush()

    def _left_children(self) -> bool:
        """Whether the reward has forked and not waited. A child that it let return to us ends here."""
        if os.getpid() != self.process:
            os._exit(0)
        if not self.forked:
            return False
        self.forked = False
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return True

    def _forking(self) -> None:
        self.forked = True

    def _forked(self) -> None:
        self.channel.close()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the nursery's handlers: see there
            signal.signal(number, signal.SIG_DFL)


def _confine(memory_mb: int) -> None:
    """Limit what may be allocated beyond what is there already, and offer this process first when memory runs out."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return
    # RLIMIT_DATA and not RLIMIT_AS: CUDA and memory maps reserve addresses by the terabyte and use little
    pages = int(Path("/proc/self/statm").read_text().split()[5])  # data and stack
    most = pages * resource.getpagesize() + memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    Path("/proc/self/oom_score_adj").write_text("900")


def _seed(call: Call) -> None:
    """A reward that draws numbers draws the same for the same call, whichever process it is in and whatever came before."""
    seed = zlib.crc32(call[1])
    random.seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed)
