"""What the page and the command line see of a run, and the event log it is read from."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.recipe import Recipe
from workbench.runs.record import RunRecord


@dataclass(frozen=True)
class RunSummary:
    """A line in the list of runs. `created` is Unix time in seconds."""

    id: str
    name: str
    status: str
    created: float
    metrics: dict[str, Any]
    method: str
    model: str
    step: int
    total_steps: int
    kind: str = "train"


@dataclass(frozen=True)
class RunView:
    """A run as it stands. `events` are those numbered `since` and up; `next` is the `since` to ask with next time.

    A resumed run drops the events after its checkpoint and counts on from the highest number, so nothing is missed; steps that come a
    second time replace the first.
    """

    id: str
    name: str
    status: str
    recipe: Recipe
    created: float
    step: int
    total_steps: int
    seconds_left: float | None
    metrics: dict[str, Any]
    events: list[dict[str, Any]]
    next: int
    error: dict[str, Any] | None = None
    kind: str = "train"


@dataclass
class _Log:
    file: int = 0
    size: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)


class EventReader:
    """Event logs, read from where the last read ended. Owned by a service; safe to use from several threads."""

    def __init__(self) -> None:
        self._logs: dict[Path, _Log] = {}
        self._guard = threading.Lock()

    def read(self, path: Path) -> list[dict[str, Any]]:
        """All whole events of a log, oldest first; a torn last line waits for its rest. Empty when there is no log."""
        with self._guard:
            log = self._logs.setdefault(path, _Log())
            try:
                status = path.stat()
            except OSError:
                self._logs.pop(path)
                return []
            if status.st_ino != log.file or status.st_size < log.size:  # cut back to a checkpoint
                log.file, log.size, log.events = status.st_ino, 0, []
            if status.st_size > log.size:
                with open(path, "rb") as handle:
                    handle.seek(log.size)
                    fresh = handle.read()
                whole = fresh[: fresh.rfind(b"\n") + 1]
                log.events = [*log.events, *_parse(whole)]
                log.size += len(whole)
            return log.events

    def forget(self, path: Path) -> None:
        """Drops what is remembered of a log."""
        with self._guard:
            self._logs.pop(path, None)


def last(events: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The newest event of a kind, or an empty one."""
    return next((event for event in reversed(events) if event.get("kind") == kind), {})


def _parse(lines: bytes) -> list[dict[str, Any]]:
    events = []
    for line in lines.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and isinstance(event.get("seq"), int):
            events.append(event)
    return events


def summary_of(record: RunRecord) -> RunSummary:
    """The line for a record of the index."""
    return RunSummary(
        id=record.id,
        name=record.name,
        status=record.status,
        created=record.created,
        metrics=record.metrics,
        method=record.method,
        model=record.model,
        step=record.step,
        total_steps=record.total_steps,
        kind=record.kind,
    )
