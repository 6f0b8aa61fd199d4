"""A run that a full disk halts waits in its place: it goes on from its last checkpoint once there is room, or when somebody lets it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import RunError
from workbench.settings import DISK_FLOOR_BYTES

if TYPE_CHECKING:
    from workbench.training.control import Control

PAUSED = "paused"
MORE_ROOM_BYTES = DISK_FLOOR_BYTES
"""How much more has to be free than when the disk was full, before the run tries again by itself."""


def with_room(
    work: Callable[[], dict[str, Any]], root: Path, control: Control, tell: Callable[..., None], *, waits: bool
) -> dict[str, Any]:
    """How `work` on a run ended, as the fields to set, done again for as long as it ends as paused.

    Args:
        root: data root, on whose disk there was no room.
        control: ends the wait: a resume at once, and a stop for good.
        tell: sets the run's fields while it waits; tried again where the full disk does not take them either.
        waits: else the run has failed, as for a command, whose person reads why and gives it again.
    """
    while (outcome := work())["status"] == PAUSED:
        if not waits:
            return outcome | {"status": "failed"}
        control.request_pause()
        free, told = shutil.disk_usage(root).free, False
        while control.pause_requested:
            with suppress(RunError):
                if not told:
                    tell(**outcome)
                    told = True
            control.wait()
            if shutil.disk_usage(root).free >= free + MORE_ROOM_BYTES:
                control.request_resume()
        if control.stop_requested:
            return outcome | {"status": "stopped"}
    return outcome
