"""One writer per data root, held by the operating system so that it is gone when its process is, however it ended."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import IO

from workbench.errors import RunError

LOCK_FILE = "writer.lock"


class RootLock:
    """An exclusive lock on a data root; owned by the process's one writing `RunStore`, lives until `release` or the process's end."""

    def __init__(self, root: Path) -> None:
        self._path = root / LOCK_FILE
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Takes the lock.

        Raises:
            RunError: another process holds it.
        """
        handle = open(self._path, "a+", encoding="ascii")  # noqa: SIM115  held open for as long as the lock
        for _ in range(10):  # a reader that asks `is_held` has the lock for an instant
            if _lock(handle):
                break
            time.sleep(0.05)
        else:
            handle.seek(0)
            owner = handle.read().strip() or "unknown"
            handle.close()
            raise RunError(
                f"Another workbench (process {owner}) is already using {self._path.parent} for writing.",
                fix="Use its page, close it first, or give another folder with --runs.",
            )
        handle.seek(0)
        handle.truncate()
        handle.write(str(os.getpid()))
        handle.flush()
        self._file = handle

    def release(self) -> None:
        """Gives the lock back; calling it twice does no harm."""
        if self._file is not None:
            self._file.close()
            self._file = None


def is_held(root: Path) -> bool:
    """Whether a live process holds the lock of this data root."""
    path = root / LOCK_FILE
    if not path.is_file():
        return False
    try:
        with open(path, "r+", encoding="ascii") as handle:
            return not _lock(handle)
    except PermissionError:
        return True


def _lock(handle: IO[str]) -> bool:
    try:
        import fcntl
    except ImportError:
        return _lock_windows(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_windows(handle: IO[str]) -> bool:
    import msvcrt

    handle.seek(1 << 20)  # a byte past the text, so that others can still read the owner's number
    try:
        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True
