"""What goes between the driver and a reward process, and how.

Calls go out pickled: they are ours. What comes back was made beside a user's code and is read as JSON, a line for each
message, so nothing that a reward returns can run anything here. Numbers survive to the last bit.
"""

import json
import pickle
import socket
import struct
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

HEAD = struct.Struct(">Q")
PLACE = struct.Struct(">Q")  # the running call's place in its chunk, in memory that driver and worker share
MAX_RESULT = 1 << 20  # bytes of one result


@dataclass(frozen=True)
class Source:
    """A reward as another process finds it again. `function`: its name in the file, empty for the usual names."""

    name: str
    path: str
    function: str
    sha256: str
    of_group: bool = False
    timeout_s: float = 10.0
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """What the reward processes of one service are for."""

    rewards: tuple[Source, ...]
    memory_mb: int
    load_late: bool = False  # each worker loads the files itself


def send_frame(channel: socket.socket, content: Any) -> None:
    """One pickled object with its length before it."""
    data = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    channel.sendall(HEAD.pack(len(data)) + data)


def read_frame(channel: socket.socket) -> Any:
    """The next object, None at the end of the stream. For what this program itself has sent."""
    head = _exactly(channel, HEAD.size)
    data = head and _exactly(channel, HEAD.unpack(head)[0])
    return pickle.loads(data) if data else None


def line(message: Any) -> bytes:
    """One message as a line of JSON."""
    return json.dumps(message).encode() + b"\n"


def read_line(channel: socket.socket) -> list[Any]:
    """One such line, read byte by byte since descriptors may travel behind it; empty at the end of the stream."""
    data = b""
    while not data.endswith(b"\n"):
        part = channel.recv(1)
        if not part:
            return []
        data += part
    return list(json.loads(data))


def plain(value: Any) -> Any:
    """A copy of what a reward returned in JSON's own types; what is none of them becomes its text, which is no score.

    >>> plain({"score": 1, "box": (0.5, True), "why": b"x"})
    {'score': 1, 'box': [0.5, True], 'why': "b'x'"}
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    if isinstance(value, Real):  # numpy's too
        return float(value)
    if isinstance(value, dict):
        return {key if isinstance(key, str) else repr(key)[:200]: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # numpy's bool, a tensor without dimensions
        return plain(value.item())
    return repr(value)[:200]


def _exactly(channel: socket.socket, size: int) -> bytes:
    """`size` bytes, or nothing where the stream ends before."""
    parts, missing = [], size
    while missing:
        part = channel.recv(min(missing, 1 << 20))
        if not part:
            return b""
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
