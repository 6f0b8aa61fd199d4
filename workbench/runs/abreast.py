"""The index, kept roughly abreast of a run's event log, which is the truth."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from workbench.errors import RunError
from workbench.runs.record import figures
from workbench.runs.store import RunStore

SECONDS_BETWEEN_WRITES = 1.0


class Abreast:
    """What the list of runs shows of one run at work. Owned by whoever carries the run out, used by one thread."""

    def __init__(self, store: RunStore, run_id: str) -> None:
        self._store, self._run_id = store, run_id
        self._last_write = 0.0

    def note(self, event: dict[str, Any]) -> None:
        """Takes in an event; steps are written at most once a second."""
        changes = self._changes(event)
        if changes:
            with contextlib.suppress(RunError):  # a disk that is full for a moment must not end a run over a figure in a list
                self._store.update(self._run_id, durable=False, **changes)

    def _changes(self, event: dict[str, Any]) -> dict[str, Any]:
        kind = event.get("kind")
        if kind == "plan":
            return {"total_steps": int(event.get("total_steps", 0))}
        if kind == "evaluation":
            return {"metrics": figures(event)}
        if kind == "train" and time.monotonic() - self._last_write > SECONDS_BETWEEN_WRITES:
            self._last_write = time.monotonic()
            return {"step": int(event.get("step", 0))}
        if kind == "progress":
            return {"step": int(event.get("done", 0)), "total_steps": int(event.get("total", 0))}
        return {}
