"""Who is at work: one sweep at a time in a folder, one process at a time on a run. Locks end with the process, also by kill -9.

A run's lock is handed on to the process that makes it: when the sweep is killed and its runs are still saving, a sweep that
is started again sees it and waits.
"""

import errno
import fcntl
import os
import socket
from pathlib import Path

from medrl.errors import MedrlError

UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


def take(path: Path, who: str = "", shared: bool = False) -> int | None:
    """The lock as a file descriptor, to be closed or handed on; None while another process holds it. Does not wait.

    Raises MedrlError where the file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        if error.errno in UNSUPPORTED:
            raise MedrlError(
                f"{path}: this file system has no locks ({error.strerror}), so two sweeps could write into one another. Give a "
                "folder on another one (runs_dir=…), or mount it with locks (Lustre: -o flock)."
            ) from None
        raise
    sign(descriptor, who or f"pid {os.getpid()} on {socket.gethostname()}")
    return descriptor


def sign(descriptor: int, who: str) -> None:
    """Write who holds the lock, for `holder`."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, who.encode(), 0)


def holder(path: Path) -> str | None:
    """Who holds the lock; None when nobody does."""
    if not path.exists():
        return None
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
    finally:
        os.close(descriptor)
    return None
