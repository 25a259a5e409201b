"""Why a call of a reward has no result, in one line that a journal and a person can read. Imports nothing heavy."""

import traceback
from pathlib import Path

TIMEOUT, DIED = "timeout after", "worker died"  # how the reasons of the scoring service begin
KILLED = "(killed)"  # how the reason ends when the worker had to be killed for it


class Failed(Exception):
    """A reason that is complete as it stands. `trace`: the traceback, where the reward itself raised."""

    def __init__(self, reason: str, trace: str = "") -> None:
        super().__init__(reason)
        self.trace = trace


def reason_of(error: BaseException) -> str:
    """What was raised, and the last line of code that it came from."""
    if isinstance(error, Failed):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name} line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {str(error)[:200]}{place}"


def trace_of(error: BaseException) -> str:
    """Its whole traceback, as Python prints it."""
    if isinstance(error, Failed):
        return error.trace or str(error)
    return "".join(traceback.format_exception(error))
