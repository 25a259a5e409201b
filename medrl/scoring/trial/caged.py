"""Call a reward file in a process of its own, each call with a deadline: for trying files nobody trusts yet.

Nothing of the user's file is imported by the caller. A call that hangs or kills the process is told as such, and the
next one finds a fresh process. Replies are given one by one; training has its own pool of workers.
"""

import asyncio
import copy
import inspect
import multiprocessing
import os
import pickle
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from medrl.errors import MedrlError
from medrl.plugin import load_plugin
from medrl.scoring.returned import entries_of, numbers_of
from medrl.scoring.signature import ARGUMENTS, NAMES, asked_for, scores_groups
from medrl.scoring.workers.failed import reason_of

START_S = 60.0  # to import the file
MAX_HANGS = 2  # then the rest is not tried: every one costs a deadline
Call = (
    dict[str, Any] | list[dict[str, Any]]
)  # verl's arguments for one rollout, or those of a group: the first is meant


@dataclass(frozen=True)
class Outcome:
    """What became of one call: `entries` are its named floats, None for the `reason`. `wrote`: it changed what it got."""

    entries: dict[str, float] | None
    seconds: float = 0.0
    reason: str = ""
    wrote: bool = False

    @property
    def score(self) -> float | None:
        return None if self.entries is None else self.entries["score"]


@dataclass(frozen=True)
class Facts:
    """What the file says of itself: `parameters` are those of the function, `example` its EXAMPLE or None."""

    path: Path
    name: str
    parameters: tuple[str, ...]
    signature: str
    of_group: bool
    is_async: bool
    can_travel: str  # why the function cannot be pickled; empty when it can
    example: Any
    needs_images: bool  # its module says NEEDS_IMAGES = True
    misfit: str  # why it cannot be called with the arguments and kwargs it will get; empty when it can


class Cage:
    """A reward in its own process. `facts` are read at the start; MedrlError when the file cannot be loaded in time."""

    def __init__(
        self, reference: str, kwargs: dict[str, Any] | None = None, beside: Path | None = None, timeout_s: float = 10.0
    ) -> None:
        self.reference, self.kwargs, self.beside, self.timeout_s = reference, kwargs or {}, beside, timeout_s
        self._process: Any = None
        self._connection: Any = None
        self.facts: Facts = self._start()

    def __call__(self, calls: Iterable[Call]) -> list[Outcome]:
        """The outcome of every call, in order."""
        outcomes: list[Outcome] = []
        hangs = 0
        for call in calls:
            if hangs == MAX_HANGS:
                outcomes.append(Outcome(None, 0.0, f"not tried: {MAX_HANGS} replies before it ran out of time"))
                continue
            if self._process is None:
                self._start()
            try:
                self._connection.send(call)
                answered = self._connection.poll(self.timeout_s)
                outcomes.append(self._connection.recv() if answered else Outcome(None, self.timeout_s, self._overdue()))
            except (EOFError, OSError):
                answered = True
                self._process.join(5)
                reason = f"its process died (exit code {self._process.exitcode})"
                outcomes.append(Outcome(None, 0.0, reason))
                self.close()
            if not answered:
                hangs += 1
                self.close()
        return outcomes

    def __enter__(self) -> "Cage":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def restart(self, kwargs: dict[str, Any]) -> None:
        """Go on in a fresh process, with these keyword arguments."""
        self.close()
        self.kwargs = kwargs
        self.facts = self._start()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None

    def _overdue(self) -> str:
        return f"no answer within {self.timeout_s:g} s"

    def _start(self) -> Facts:
        spawn = multiprocessing.get_context("spawn")  # a new interpreter: its own hash seed, nothing inherited
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(
            target=_serve, args=(theirs, self.reference, self.kwargs, self.beside), daemon=True
        )
        self._process.start()
        theirs.close()
        try:
            found = self._connection.recv() if self._connection.poll(START_S) else f"no import within {START_S:g} s"
        except EOFError:
            self._process.join(5)
            found = f"its process died while it was imported (exit code {self._process.exitcode})"
        if isinstance(found, Facts):
            return found
        self.close()
        raise MedrlError(found if self.reference in found else f"{self.reference}: {found}")


def once(function: Callable[..., Any], kwargs: dict[str, Any], call: Call) -> Outcome:
    """Call the reward; whatever it does short of ending the process becomes an Outcome."""
    given = copy.deepcopy(call)
    begin = time.perf_counter()
    try:
        result = function(given, **kwargs) if isinstance(given, list) else function(**given, **kwargs)
        if inspect.isawaitable(result):
            result = asyncio.run(_awaited(result))
        seconds = time.perf_counter() - begin
        pickle.dumps(result)
        mine = entries_of(result, len(given))[0] if isinstance(given, list) else result
        return Outcome(numbers_of(mine), seconds, wrote=not _same(given, call))
    except Exception as error:  # the boundary: a user's reward may raise anything
        return Outcome(None, time.perf_counter() - begin, reason_of(error), wrote=not _same(given, call))


def here(function: Callable[..., Any], **kwargs: Any) -> Callable[[Iterable[Call]], list[Outcome]]:
    """As a Cage, for a function that is trusted: in this process, without deadlines."""
    return lambda calls: [once(function, kwargs, call) for call in calls]


async def _awaited(result: Any) -> Any:
    return await result


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except ValueError:  # an array was put in
        return False


def _serve(connection: Connection, reference: str, kwargs: dict[str, Any], beside: Path | None) -> None:
    """The process: says what the file is, then answers calls until it is ended."""
    os.dup2(2, 1)  # what a reward prints must not end up in the command's result
    try:
        plugin = load_plugin(reference, NAMES, beside)
        facts = _facts(plugin.path, plugin.target, reference, kwargs, beside)
    except MedrlError as error:
        connection.send(str(error))
        return
    connection.send(facts)
    try:
        while True:
            connection.send(once(plugin.target, kwargs, connection.recv()))
    except (EOFError, KeyboardInterrupt):
        return


def _facts(path: Path, function: Any, reference: str, kwargs: dict[str, Any], beside: Path | None) -> Facts:
    if not callable(function):
        raise MedrlError(f"{reference}: a {type(function).__name__}, expected a function.")
    name = getattr(function, "__name__", type(function).__name__)
    signature = inspect.signature(function)
    of_group = scores_groups(function)
    each = {} if of_group else dict.fromkeys(ARGUMENTS)
    misfit = ""
    try:
        signature.bind(*(["group"] if of_group else []), **each, **kwargs)
    except TypeError as error:
        misfit = str(error)
    return Facts(
        path, name, tuple(signature.parameters), f"{name}{signature}", of_group,
        inspect.iscoroutinefunction(function), _why_not_pickled(function), _example(path, name),
        "images" in asked_for(function), misfit,
    )  # fmt: skip


def _why_not_pickled(thing: Any) -> str:
    try:
        pickle.dumps(thing)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:160]}"
    return ""


def _example(path: Path, name: str) -> Any:
    """The file's EXAMPLE; one that maps functions to examples gives that of this function."""
    try:
        example = load_plugin(f"{path}:EXAMPLE", "EXAMPLE").target
    except MedrlError:
        return None
    if isinstance(example, dict) and "ground_truth" not in example:
        example = example.get(name)
    if reason := _why_not_pickled(example):
        raise MedrlError(f"{path}: EXAMPLE cannot leave its process ({reason}). Write it in plain values.")
    return example
