"""A job at work: cells that are done once, progress with the time left, and a control that reaches into every training."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import RunError, WorkbenchError
from workbench.recipe import Recipe
from workbench.runs.jobs import RESULT, OnEvent, Work
from workbench.training.control import Control
from workbench.training.events import ALIVE, EventLog
from workbench.training.faults import plain_disk_errors, plain_memory_errors
from workbench.training.folder import replace_file
from workbench.training.run_files import SECONDS_BETWEEN_SIGNS

if TYPE_CHECKING:
    from workbench.models.pool import ModelPool

CELL = "cell.json"
CELL_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")
SECONDS_BETWEEN_REPORTS = 0.5
Then = Callable[[Path, dict[str, Any]], dict[str, Any]]


class JobStopped(Exception):
    """Stop was asked for; finished cells stay. Raised through a job's function, which lets it pass."""


class Job:
    """One job from its first cell to its result. Used once, by one thread.

    Args:
        recipe: what was asked for; `options` are its job's, checked.
        folder: the run's own folder.
        control: read between cells, and at every step of a training.
        pool: where models come from.
        on_event: called with every event after it was written to events.jsonl.
    """

    def __init__(
        self, recipe: Recipe, options: Any, folder: Path, control: Control, pool: ModelPool, on_event: OnEvent | None = None
    ) -> None:
        with plain_disk_errors():
            folder.mkdir(parents=True, exist_ok=True)
        self.recipe, self.options, self.folder, self.control, self.pool = recipe, options, folder, control, pool
        self.done, self.total, self.seconds = 0, 0, 0.0
        self._log = EventLog(folder / "events.jsonl")
        self._on_event = on_event
        self._fresh: list[float] = []
        self._reported, self._sign = 0.0, time.monotonic()

    def work(self, function: Work) -> dict[str, Any]:
        """The job's result, kept in result.json; without its figures when it was stopped.

        Raises:
            WorkbenchError: it cannot start or go on; an "error" event says the same. Finished cells stay.
        """
        try:
            with plain_memory_errors(), plain_disk_errors():
                result = self._result_of(function)
                self.emit("status", status=result["status"])
            return result
        except WorkbenchError as error:
            with contextlib.suppress(OSError):  # a full disk must not hide the reason
                self.emit("error", message=error.message, fix=error.fix, error_id=None)
            raise
        finally:
            self._log.close()

    def plan(self, total: int) -> None:
        """Says how many cells there will be; may be said again when it turns out differently."""
        self.total = total
        self.emit("plan", total_steps=total)
        self._report("")

    def cell(
        self, name: str, make: Callable[[Path], dict[str, Any]], *, text: str = "", keep: bool = False, seconds: float = 0.0
    ) -> dict[str, Any]:
        """What `make` returned for this cell, now or in an earlier life of the job.

        Args:
            name: of lower-case letters, digits, dots, hyphens and underscores; one name, one content.
            make: called with the cell's folder, which exists and may hold what an interrupted call left there; returns JSON.
            text: shown while it works and kept in the progress; `name` when empty.
            keep: leave the cell's subfolders (weights) for later cells; otherwise they go once the cell is done.
            seconds: spent on it before `make` is called.

        Raises:
            JobStopped: stop was asked for before or during the cell.
        """
        if not CELL_NAME.fullmatch(name):
            raise ValueError(f"'{name}' is not a cell name")
        folder = self.folder / "cells" / name
        known = _read(folder / CELL)
        if known is None:
            self.halt()
            self._report(text or name)
            known = self._make(folder, make, seconds)
            self._fresh.append(known["seconds"])
        if not keep:
            for child in folder.iterdir():
                if child.is_dir():
                    shutil.rmtree(child, ignore_errors=True)
        self.done += 1
        self.seconds += known["seconds"]
        self._report(text or name)
        return known["content"]

    def forget(self, name: str, when: Callable[[dict[str, Any]], bool]) -> None:
        """Lets a cell of an earlier life of the job be made anew where `when` says so of its content."""
        file = self.folder / "cells" / name / CELL
        known = _read(file)
        if known is not None and when(known["content"]):
            file.unlink()

    def has(self, name: str) -> bool:
        """Whether this cell is done."""
        return _read(self.folder / "cells" / name / CELL) is not None

    def receive(self, name: str, content: dict[str, Any], *, seconds: float = 0.0, text: str = "") -> dict[str, Any]:
        """A cell whose content was made elsewhere; that of an earlier life of the job stays what it is.

        Args:
            seconds: what the job has waited for it.
        """
        return self.cell(name, lambda folder: content, text=text, seconds=seconds)

    def train(self, name: str, recipe: Recipe, then: Then | None = None, *, text: str = "", keep: bool = False) -> dict[str, Any]:
        """A cell that trains a recipe; its content is the training's result, or what `then(folder, result)` makes of it.

        Args:
            recipe: trained as it is; a `job` or `pet` part in it is left out.
            then: called while the cell's `final/` holds the best weights.
            keep: leave `final/` there.
        """
        return self.run(name, recipe.replace({"job": None, "pet": None}), then, text=text, keep=keep)

    def run(self, name: str, recipe: Recipe, then: Then | None = None, *, text: str = "", keep: bool = False) -> dict[str, Any]:
        """A cell that does whatever a recipe asks for, a job within this job or a training; arguments and answer as `train`."""
        from workbench.runs.jobs import run_job

        def make(folder: Path) -> dict[str, Any]:
            result = run_job(recipe, folder, self.control, self.pool, on_event=lambda event: self.heard(event, text or name))
            if result["status"] != "finished":
                raise JobStopped
            return then(folder, result) if then else result

        return self.cell(name, make, text=text, keep=keep)

    def cell_folder(self, name: str) -> Path:
        """Where a cell that was made with `keep` has its files."""
        folder = self.folder / "cells" / name
        if _read(folder / CELL) is None:
            raise RunError(f"The job's part '{name}' is not there.", fix="Delete the run and start it again.")
        return folder

    def halt(self) -> None:
        """Waits while the run is paused; raises JobStopped when stop was asked for."""
        if self.control.pause_requested:
            self.emit("status", status="paused")
            self.control.wait_while_paused()
            if not self.control.stop_requested:
                self.emit("status", status="running")
        if self.control.stop_requested:
            raise JobStopped

    def say(self, text: str) -> None:
        """Progress within a cell; at most a few a second are written."""
        if time.monotonic() - self._reported >= SECONDS_BETWEEN_REPORTS:
            self._report(text)

    def note(self, text: str) -> None:
        """A sentence for the person, kept in the log."""
        self.emit("note", text=text)

    def alive(self) -> None:
        """Tells whoever listens, every few seconds at most, that work goes on; the log does not keep it."""
        now = time.monotonic()
        if self._on_event is not None and now - self._sign >= SECONDS_BETWEEN_SIGNS:
            self._sign = now
            self._on_event({"kind": ALIVE})

    def between(self) -> None:
        """Between two batches that are only read: tells that work goes on; raises JobStopped when stop was asked for."""
        self.alive()
        if self.control.stop_requested:
            raise JobStopped

    def heard(self, event: dict[str, Any], text: str) -> None:
        """Passes on what a cell tells of its own training or job; `text` says which cell."""
        if event.get("kind") == "train":
            self.say(f"{text}: step {event['step']}, loss {event['loss']:.4f}")
        elif event.get("kind") == "loading":
            self.say(f"{text}: {event['text']}")
        elif event.get("kind") == "progress":
            self.say(f"{text}: {event['done']}/{event['total']} {event['text']}")
        elif event.get("kind") == "status" and event.get("status") in ("paused", "running"):
            self.emit("status", status=event["status"])
        elif event.get("kind") == ALIVE:
            self.alive()

    def emit(self, kind: str, **content: Any) -> None:
        """Writes an event and hands it on."""
        event = self._log.append(kind, **content)
        if self._on_event is not None:
            self._on_event(event)

    def _result_of(self, function: Work) -> dict[str, Any]:
        if not (self.folder / "recipe.yaml").exists():
            replace_file(self.folder / "recipe.yaml", self.recipe.to_yaml())
        self.emit("status", status="running")
        try:
            answer = function(self)
        except JobStopped:
            return {"status": "stopped", "kind": self.recipe.kind, "seconds": round(self.seconds, 3)}
        result = {"status": "finished", "kind": self.recipe.kind, **answer, "seconds": round(self.seconds, 3)}
        self._log.flush()
        replace_file(self.folder / RESULT, json.dumps(result, ensure_ascii=False, indent=1, allow_nan=False))
        return result

    def _make(self, folder: Path, make: Callable[[Path], dict[str, Any]], seconds: float) -> dict[str, Any]:
        started = time.perf_counter()
        folder.mkdir(parents=True, exist_ok=True)
        content = make(folder)
        known = {"content": content, "seconds": round(seconds + time.perf_counter() - started, 3)}
        replace_file(folder / CELL, json.dumps(known, ensure_ascii=False, allow_nan=False))
        # Through JSON, so that a fresh cell and a remembered one are the same to the job.
        return json.loads(json.dumps(known))

    def _report(self, text: str) -> None:
        self._reported = time.monotonic()
        left = None
        if self._fresh:
            left = round(sum(self._fresh) / len(self._fresh) * max(self.total - self.done, 0), 1)
        self.emit("progress", done=self.done, total=max(self.total, self.done), seconds_left=left, text=text)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return known if isinstance(known, dict) and {"content", "seconds"} <= known.keys() else None
