"""Why a run failed, in the words of whoever knows: its summary, the signal that killed it, or the end of its log."""

import re
import signal
from pathlib import Path
from typing import Any

TAIL_BYTES = 64_000
MOST = 2_000  # characters
OURS = re.compile(r"^medrl: ", re.MULTILINE)  # how a user's mistake is told


def reason_of(code: int, summary: dict[str, Any], log: Path, start: int) -> str:
    """`summary`: of this attempt, empty without one; `start`: where in the log, in bytes, this attempt begins."""
    if summary.get("reason"):
        return str(summary["reason"])
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = "; the kernel's out-of-memory killer does that too" if -code == signal.SIGKILL else ""
        return f"killed by {name}{hint}"
    return f"exit code {code}: {last_words(log, start)}"


def last_words(log: Path, start: int = 0) -> str:
    """The last `medrl: …` paragraph of a log, else its last line, which is where a traceback names its error."""
    with log.open("rb") as file:
        file.seek(max(start, file.seek(0, 2) - TAIL_BYTES))
        text = file.read().decode(errors="replace").rstrip()
    if found := list(OURS.finditer(text)):
        text = text[found[-1].end() :]
    else:
        text = text.rpartition("\n")[2] if not text.startswith("$ ") or "\n" in text else "nothing was printed"
    return text.strip() if len(text) <= MOST else text[:MOST].rstrip() + " …"
