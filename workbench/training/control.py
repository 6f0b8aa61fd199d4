"""Pause, resume and stop: flags that other threads set and the trainer reads at every step."""

from __future__ import annotations

import threading
import time


class Control:
    """Owned by whoever started the run; safe to use from any thread. A stop wins over a pause and is final."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pause = False
        self._stop = False
        self.waited_seconds = 0.0
        """What pauses have come to."""

    def request_pause(self) -> None:
        """The training waits before its next step, until resumed or stopped."""
        self._set(pause=True)

    def request_resume(self) -> None:
        """Ends a pause; without one nothing happens."""
        self._set(pause=False)

    def request_stop(self) -> None:
        """The training ends at its next step with a checkpoint; this cannot be taken back."""
        self._set(stop=True)

    @property
    def stop_requested(self) -> bool:
        """Whether somebody asked for a stop, which no request takes back."""
        return self._stop

    @property
    def pause_requested(self) -> bool:
        """Whether to wait; never once a stop was asked for."""
        return self._pause and not self._stop

    @property
    def state(self) -> str:
        """running, paused or stopping."""
        return "stopping" if self._stop else "paused" if self._pause else "running"

    def wait_while_paused(self) -> None:
        """Blocks until resumed or stopped."""
        while self.pause_requested:
            self.wait()

    def wait(self) -> None:
        """Blocks for half a second of a pause, or less when it ends; not at all outside of one."""
        with self._changed:
            if self.pause_requested:
                started = time.perf_counter()
                self._changed.wait(0.5)
                self.waited_seconds += time.perf_counter() - started

    def _set(self, *, pause: bool | None = None, stop: bool = False) -> None:
        with self._changed:
            self._pause = self._pause if pause is None else pause
            self._stop = self._stop or stop
            self._changed.notify_all()
