"""Work as a person watches it: which stage, how much of it, the time left, and a way to stop; of a download its bytes, and what has
arrived is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tqdm.std import tqdm

from workbench.errors import ModelError

SECONDS_BETWEEN_REPORTS = 0.2
DOWNLOAD = "download"


class Stage(str):
    """The name of a stage of loading or of other work, with its figures beside it.

    Attributes:
        done, total: bytes; 0 for stages that move none.
        seconds_left: an estimate from the rate so far, or None.
    """

    done: int = 0
    total: int = 0
    seconds_left: float | None = None


Progress = Callable[[str, float | None], None]


def untold(*told: Any) -> None:
    """What work that nobody watches tells of its progress."""


class TimedStage:
    """A stage of which the share done is known. Tells its progress a few times a second, with the time left; owned by whoever does it.

    Args:
        stage: its name.
        progress: what it raises ends the work.
    """

    def __init__(self, stage: str, progress: Progress) -> None:
        self._stage, self._progress = stage, progress
        self._started, self._told = time.monotonic(), 0.0

    def __call__(self, share: float) -> None:
        """So much of it is done, from 0 to 1."""
        now = time.monotonic()
        if now - self._told < SECONDS_BETWEEN_REPORTS and share < 1:
            return
        self._told = now
        stage = Stage(self._stage)
        if share > 0:
            stage.seconds_left = (now - self._started) / share * (1 - share)
        self._progress(stage, share)


class CancelledError(ModelError):
    """The person does not want the model any more."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Loading '{name}' was cancelled.", fix="Load it again to go on: what has arrived is kept.")


class Transfer:
    """The bytes of one model on their way, here or into another form. Owned by one call of `fetch`, or one conversion.

    Args:
        total: bytes of all files.
        progress: called a few times a second with a `Stage` and a share of 1; what it raises ends the work.
        stage: its name.
    """

    def __init__(self, total: int, progress: Progress | None, stage: str = DOWNLOAD) -> None:
        self.total, self.done, self._progress, self._stage = total, 0, progress, stage
        self._fresh = 0
        self._started, self._told = time.monotonic(), 0.0

    def add(self, count: int, *, fresh: bool = True) -> None:
        """Counts bytes that arrived just now, or lay here already."""
        self.done += count
        self._fresh += count if fresh else 0
        now = time.monotonic()
        if self._progress is None or (now - self._told < SECONDS_BETWEEN_REPORTS and self.done < self.total):
            return
        self._told = now
        stage = Stage(self._stage)
        stage.done, stage.total = self.done, self.total
        if self._fresh:
            stage.seconds_left = (now - self._started) / self._fresh * max(0, self.total - self.done)
        self._progress(stage, min(1.0, self.done / self.total) if self.total else None)

    def bar(self) -> type[tqdm]:
        """A progress bar class for the hub's client that draws nothing and counts here."""
        transfer = self

        class Bar(tqdm):
            def __init__(self, *args: Any, **options: Any) -> None:
                options.pop("name", None)
                super().__init__(*args, **{**options, "disable": True})
                if options.get("initial"):
                    transfer.add(int(options["initial"]), fresh=False)

            def update(self, n: float | None = 1) -> bool | None:
                transfer.add(int(n or 0))
                return None

        return Bar
