"""What machines run out of, as sentences."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import safetensors

from workbench.errors import MEMORY_FIX, DiskError, DiskFull, OutOfMemory, TrainingError
from workbench.models.shortage import is_shortage

FULL = (errno.ENOSPC, errno.EDQUOT)
FREE_SPACE = "Free disk space, then resume; the run goes on from its last checkpoint."


@contextmanager
def plain_memory_errors() -> Iterator[None]:
    """Raises OutOfMemory, saying what to lower, where memory ran out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_shortage(error):
            raise OutOfMemory("There is not enough memory for this run.", fix=MEMORY_FIX) from error
        raise


@contextmanager
def plain_disk_errors() -> Iterator[None]:
    """Raises DiskError where the run folder could not be written or read, DiskFull where there was no room."""
    try:
        yield
    except (OSError, safetensors.SafetensorError) as error:
        reason = getattr(error, "strerror", None) or "the disk did not take the weights"
        # safetensors writes in Rust, whose errors have no number but the one in their text.
        full = getattr(error, "errno", None) in FULL or any(f"os error {number}" in str(error) for number in FULL)
        raise (DiskFull if full else DiskError)(f"The run's files could not be written: {reason}.", fix=FREE_SPACE) from error


def refuse_full_disk(folder: Path, needed_bytes: int, *, goes_on: bool = False) -> None:
    """Raises TrainingError, with both figures, when there is less room than `needed_bytes`; DiskFull where a run `goes_on`."""
    free = shutil.disk_usage(folder).free
    if free >= needed_bytes:
        return
    said = f"The run needs {needed_bytes / 1e6:,.0f} MB on the disk for its checkpoints and {free / 1e6:,.0f} MB are free."
    if goes_on:
        raise DiskFull(said, fix=FREE_SPACE)
    raise TrainingError(said, fix="Free disk space or choose a method that tunes fewer weights, such as lora.")
