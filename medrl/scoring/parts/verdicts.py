"""Verdicts of a judge, kept as JSON lines: one file that many processes read and add to, and that replays without network.

A line is written whole under a lock and never changed; a line cut short by a crash is skipped. What stands in the file is
the key, the verdict and what the judge said: no API key, and nothing of the request but its hash.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows has no fcntl; its appends are not locked
    fcntl = None  # type: ignore[assignment]


def key_of(request: Mapping[str, Any]) -> str:
    """The hash under which a verdict is kept: of all that the judge is asked, model and seed included.

    >>> key_of({"b": 1, "a": 2}) == key_of({"a": 2, "b": 1}), len(key_of({}))
    (True, 64)
    """
    return hashlib.sha256(json.dumps(request, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


class Verdicts:
    """Key to verdict. With a path, what other processes have written is seen too, at the next miss."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._known: dict[str, int] = {}
        self._read_to = 0

    def get(self, key: str) -> int | None:
        """The verdict kept under this key, or None."""
        if key not in self._known:
            self._read_more()
        return self._known.get(key)

    def put(self, key: str, verdict: int, said: str) -> None:
        """Keep a verdict, and in the file what the judge said."""
        self._known[key] = verdict
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"key": key, "verdict": verdict, "said": said}).encode() + b"\n"
        with self.path.open("ab") as file:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX)  # given back on closing
            if file.tell() and not _ends_line(self.path):  # a writer that died in the middle
                line = b"\n" + line
            file.write(line)
            file.flush()

    def _read_more(self) -> None:
        """Take in the whole lines that were added since the last look."""
        if self.path is None or not self.path.is_file():
            return
        with self.path.open("rb") as file:
            file.seek(self._read_to)
            added = file.read()
        whole = added.rfind(b"\n") + 1
        self._read_to += whole
        for line in added[:whole].splitlines():
            try:
                held = json.loads(line)
                key, verdict = held["key"], held["verdict"]
            except (ValueError, TypeError, KeyError):  # cut short, or not ours
                continue
            if isinstance(key, str) and isinstance(verdict, int) and not isinstance(verdict, bool):
                self._known[key] = verdict


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
