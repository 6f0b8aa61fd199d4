"""Input and output that fails, or kills the process, at its n-th call.

Python announces every open, rename, mkdir, link, remove and rmdir to audit hooks before it does them, and an exception from the hook
becomes that call's own failure. Flushing to disk and safetensors' writing (in Rust) are announced by wrappers put in their place.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import workbench.methods.attached
import workbench.methods.lora
import workbench.training.checkpoint

EVENTS = ("open", "os.rename", "os.mkdir", "os.link", "os.remove", "os.rmdir", "fsync", "write")
WRITERS = (workbench.methods.attached, workbench.methods.lora, workbench.training.checkpoint)
Call = tuple[str, str]


class Calls:
    """Watches the calls that touch paths under a folder. One per process: audit hooks cannot be taken away."""

    def __init__(self) -> None:
        self.folder = ""
        self.seen: list[Call] = []
        self.act: Callable[[int, Call], None] | None = None
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.folder or event not in EVENTS or not isinstance(arguments[0], (str, os.PathLike)):
            return
        path = os.fspath(arguments[-3] if event == "os.rename" else arguments[0])
        if str(path).startswith(self.folder):
            call = (event, str(path)[len(self.folder) + 1 :])
            self.seen.append(call)
            if self.act is not None:
                self.act(len(self.seen), call)


_CALLS: list[Calls] = []


@contextlib.contextmanager
def watched(folder: Path, act: Callable[[int, Call], None] | None = None) -> Iterator[list[Call]]:
    """Within it every call under `folder` is listed, and `act(number, call)` is asked first; what it raises, the call raises.

    Numbers count from 1. A call is (event, path relative to the folder); of a rename, the new name.
    """
    if not _CALLS:
        _CALLS.append(Calls())
    calls = _CALLS[0]
    real_sync, real_writers = os.fsync, [module.save_file for module in WRITERS]

    def sync(descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        sys.audit("fsync", os.readlink(f"/proc/self/fd/{number}"))
        real_sync(number)

    def write(tensors: Any, path: Any, **options: Any) -> None:
        try:
            sys.audit("write", path)
        finally:
            real_writers[0](tensors, path, **options)
            if sys.exc_info()[0] is not None:
                os.truncate(path, os.path.getsize(path) // 2)  # the disk took half of it

    os.fsync = sync
    for module in WRITERS:
        module.save_file = write
    calls.folder, calls.seen, calls.act = str(folder), [], act
    try:
        yield calls.seen
    finally:
        calls.folder, calls.act, os.fsync = "", None, real_sync
        for module, writer in zip(WRITERS, real_writers, strict=True):
            module.save_file = writer


def failing_at(number: int, code: int, times: int = 1) -> Callable[[int, Call], None]:
    """An act that lets the calls `number` to `number + times - 1` fail with an errno."""

    def act(place: int, call: Call) -> None:
        if number <= place < number + times:
            raise OSError(code, os.strerror(code))

    return act
