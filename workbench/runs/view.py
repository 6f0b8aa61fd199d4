"""What the page and the command line see of a run, and the event log it is read from."""

from __future__ import annotations

import json
import os
import threading
from array import array
from bisect import bisect_left
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.recipe import Recipe
from workbench.runs.record import ACTIVE, RunRecord

LOGS_KEPT = 32
END_BYTES = 1_000_000


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
    tags: str = ""
    note: str = ""
    archived: bool = False


@dataclass
class Events:
    """A log in memory, by kind and by number, so that a look at a long run costs what is new in it and no more. It only grows.

    Attributes:
        curve: step and loss of every training step, as arrays of whole and of real numbers.
    """

    file: int = 0
    size: int = 0
    all: list[dict[str, Any]] = field(default_factory=list)
    by_kind: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    curve: tuple[array[int], array[float]] = field(default_factory=lambda: (array("q"), array("d")))

    def extend(self, events: list[dict[str, Any]]) -> None:
        """Takes in newer events."""
        steps, losses = self.curve
        for event in events:
            self.by_kind.setdefault(str(event.get("kind")), []).append(event)
            if event.get("kind") == "train" and isinstance(event.get("step"), int) and isinstance(event.get("loss"), float):
                losses.append(event["loss"])
                steps.append(event["step"])
        self.all.extend(events)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Every event of a kind, oldest first."""
        return self.by_kind.get(kind, [])

    def last(self, kind: str) -> dict[str, Any]:
        """The newest event of a kind, or an empty one."""
        found = self.by_kind.get(kind)
        return found[-1] if found else {}

    def since(self, number: int) -> list[dict[str, Any]]:
        """Events numbered `number` and up."""
        return self.all[bisect_left(self.all, number, key=lambda event: event["seq"]) :]


@dataclass(frozen=True)
class RunView:
    """A run as it stands. `events` are those numbered `since` and up; `next` is the `since` to ask with next time.

    `log` has them all, by kind. A resumed run drops the events after its checkpoint and counts on from the highest number, so nothing is
    missed; steps that come a second time replace the first.
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
    tracker: str = "none"
    warning: str = ""
    tags: str = ""
    note: str = ""
    log: Events = field(default_factory=Events, repr=False, compare=False)


def best_evaluation(log: Events) -> dict[str, Any]:
    """The evaluation whose weights are kept so far; empty before there is one."""
    return next((event for event in reversed(log.of("evaluation")) if event.get("best")), {})


class EventReader:
    """Event logs, read from where the last read ended; the newest few that were asked for stay in memory. Owned by a service; safe to use
    from several threads."""

    def __init__(self) -> None:
        self._logs: OrderedDict[Path, Events] = OrderedDict()
        self._guard = threading.Lock()

    def read(self, path: Path) -> Events:
        """All whole events of a log; a torn last line waits for its rest. Empty when there is no log."""
        with self._guard:
            log = self._logs.get(path) or Events()
            try:
                status = path.stat()
            except OSError:
                self._logs.pop(path, None)
                return Events()
            if status.st_ino != log.file or status.st_size < log.size:  # cut back to a checkpoint
                log = Events(file=status.st_ino)
            self._logs[path] = log
            self._logs.move_to_end(path)
            while len(self._logs) > LOGS_KEPT:
                self._logs.popitem(last=False)
            if status.st_size > log.size:
                with open(path, "rb") as handle:
                    handle.seek(log.size)
                    fresh = handle.read()
                whole = fresh[: fresh.rfind(b"\n") + 1]
                log.extend(_parse(whole))
                log.size += len(whole)
            return log

    def forget(self, path: Path) -> None:
        """Drops what is remembered of a log."""
        with self._guard:
            self._logs.pop(path, None)


def last_events(path: Path) -> Events:
    """The newest whole events of a log, as many as stand in its last megabyte, and nothing remembered; none when there is no log."""
    log = Events()
    with suppress(OSError), open(path, "rb") as handle:
        handle.seek(max(0, handle.seek(0, os.SEEK_END) - END_BYTES))
        log.extend(_parse(handle.read()))
    return log


def steps_of(log: Events, record: RunRecord) -> tuple[int, int]:
    """The step that a run has come to and the number of all its steps: as its log says, else as the index."""
    plan, step, progress = log.last("plan"), log.last("train"), log.last("progress")
    at, total = progress.get("done", step.get("step", record.step)), progress.get("total", plan.get("total_steps", record.total_steps))
    return int(at), int(total)


def seconds_left_of(log: Events, record: RunRecord) -> float | None:
    """What a job, a training or the model's download that goes on said last; None for what rests or has ended."""
    told = log.last("progress") or log.last("train") or log.last("loading")
    return told.get("seconds_left") if record.status in ACTIVE else None


def _parse(lines: bytes) -> list[dict[str, Any]]:
    events = []
    for line in lines.splitlines():
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
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
        tags=record.tags,
        note=record.note,
        archived=bool(record.archived),
    )
