"""The one door to runs: a queue, a worker thread that takes them one after the other, and reading them at any time.

A run trains its recipe, or does the job that its recipe asks for (`workbench.runs.jobs`); the rest is the same for both.

    submit -> queued -> running <-> paused
                           |-> finished
                           |-> stopping -> stopped        -> resume -> queued
                           |-> failed                     -> resume -> queued
              (process dies, or closes) -> interrupted    -> resume -> queued

Nothing here imports torch until a run is trained or asked for an answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.access import Principal, Role, acting_as, refuse_visitors
from workbench.errors import RunError, WorkbenchError
from workbench.prompts.cards import card_from
from workbench.recipe import Recipe
from workbench.runs.abreast import Abreast
from workbench.runs.answers import Answers, check_trainable
from workbench.runs.boards import BoardModels
from workbench.runs.compare import annotations
from workbench.runs.demo import check_demo, refuse_second_run, without_room
from workbench.runs.faults import ended_as_sentence, log_bug
from workbench.runs.full_disk import with_room
from workbench.runs.isolation import Isolation, run_isolated
from workbench.runs.lab import Lab
from workbench.runs.labelling import Labelling
from workbench.runs.queue import Queue
from workbench.runs.record import ACTIVE, UNFINISHED, ended_by_bug, ended_by_mistake, figures
from workbench.runs.room import Room
from workbench.runs.store import RunStore, read_json
from workbench.runs.trackers import NONE, check_tracker
from workbench.runs.tracking import tracked
from workbench.runs.view import EventReader, RunSummary, RunView, last_events, seconds_left_of, steps_of, summary_of

if TYPE_CHECKING:
    from workbench.models.pool import ModelPool
    from workbench.serving.generator import Generator
    from workbench.serving.predictor import Predictor
    from workbench.training.control import Control

SECONDS_BETWEEN_TRIES = 0.5


class RunService:
    """Runs of one data root. Owned by the process (page or command); lives until `close`.

    Args:
        root: data root.
        writable: False reads beside another process that trains; what changes runs is then refused.
        adopt_queue: also train runs that an earlier process left in the queue.
        isolation: work on every run in a process of its own; None in a thread of this one.

    Raises:
        RunError: another process writes here.
    """

    def __init__(self, root: str | Path, *, writable: bool = True, adopt_queue: bool = True, isolation: Isolation | None = None) -> None:
        self.store = RunStore(root, writable=writable)
        self.root = self.store.root
        self._changed = threading.Condition()
        self.queue = Queue(self.store, self._changed, self._is_active)
        self._mine: set[str] | None = None if adopt_queue else set()
        self._active: tuple[str, Control] | None = None
        self._closing = False
        self._isolation = isolation
        self._worker: threading.Thread | None = None
        self._events = EventReader()
        self._outcomes: dict[str, dict[str, Any]] = {}
        self._answers = Answers(self.store, self._events)
        self.lab = Lab(self.root, lambda: self.pool)
        self.labelling = Labelling(self.root)
        self.boards = BoardModels()
        self.room = Room(self._answers.let_go, self.lab.let_go, self.boards.let_go)
        if writable and adopt_queue and self.store.next_queued():
            self._start_worker()

    # -- reading

    @property
    def pool(self) -> ModelPool:
        """Models for looking and answering. Training loads its own, so an answer never meets half-tuned weights."""
        return self._answers.pool

    def predictor(self, run_id: str, *, base: bool = False) -> Predictor:
        """What answers for a run: its tuned model, or the untouched one it started from; RunError when nothing is tuned yet."""
        return self._answers.predictor(run_id, base=base)

    def generator(self, run_id: str, *, base: bool = False) -> Generator:
        """What writes for a generation run: its tuned model, or the untouched one it started from; RunError for other runs."""
        return self._answers.generator(run_id, base=base)

    def labels(self, run_id: str) -> tuple[str, ...]:
        """The labels in the order of the run's probabilities."""
        self.store.record(run_id)
        return self._answers.labels(run_id)

    def tuned_folder(self, run_id: str) -> Path:
        """The folder with the run's tuned weights; RunError when there are none yet."""
        self.store.record(run_id)
        return self._answers.tuned_folder(run_id)

    def resolve(self, prefix: str) -> str:
        """The id that is, or alone begins with, `prefix`; RunError otherwise."""
        return self.store.resolve(prefix)

    def runs(self) -> list[RunSummary]:
        """Every run, newest first."""
        return [summary_of(record) for record in self.store.records()]

    def readable(self, where: Callable[[RunSummary], bool] = lambda run: True) -> Iterator[tuple[RunSummary, Recipe]]:
        """The runs `where` this holds whose recipe can be read, newest first, with it: a damaged run hides no other."""
        return self.store.readable(filter(where, self.runs()))

    def read(self, run_id: str, since: int = 0) -> RunView:
        """A run as it stands, with its events numbered `since` and up.

        Raises:
            RunError: there is no such run.
        """
        record = self.store.record(run_id)
        log = self._events.read(self.store.folder(run_id) / "events.jsonl")
        events, (step, total) = log.since(since), steps_of(log, record)
        return RunView(
            id=run_id,
            name=record.name,
            status=record.status,
            recipe=self.store.recipe(run_id),
            created=record.created,
            step=step,
            total_steps=total,
            seconds_left=seconds_left_of(log, record),
            metrics=record.metrics,
            error=record.error,
            kind=record.kind,
            tracker=record.tracker, warning=record.warning, tags=record.tags, note=record.note,
            events=events,
            next=max(since, events[-1]["seq"] + 1 if events else 0),
            log=log,
        )  # fmt: skip

    def result(self, run_id: str) -> dict[str, Any]:
        """The figures of a run that has ended, as the command line prints them; empty before the end."""
        self.store.record(run_id)
        return self._outcomes.get(run_id) or read_json(self.store.folder(run_id) / "result.json")

    def wait(self, run_id: str, timeout: float | None = None) -> RunSummary:
        """The run once it neither waits nor trains, or as it stands after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            record = self.store.record(run_id)
            left = None if deadline is None else deadline - time.monotonic()
            if record.status not in UNFINISHED or (left is not None and left <= 0):
                return summary_of(record)
            with self._changed:
                # Woken by every change of status; half a second covers a change between the look and the wait.
                self._changed.wait(0.5 if left is None else min(0.5, left))

    # -- changing

    def submit(self, recipe: Recipe, *, key: str | None = None, alone: bool = False, tracker: str = NONE) -> str:
        """Checks a recipe and puts it in the queue; returns the run's id.

        Args:
            key: idempotency key; the same key gives the same run, however often and at once it is sent.
            alone: refuse a recipe that is waiting or being trained already: a second click, a second tab, a request sent again.
            tracker: where the run's figures go besides its own log; of the run and not of the recipe, see `workbench.runs.trackers`.

        Raises:
            WorkbenchError: the recipe cannot be trained, is being trained, or not by the one who asks; no run is made.
        """
        self.store.refuse_when_reading()
        known = self.store.with_key(key) if key else None
        if known:
            return known
        check_demo(recipe)
        check_tracker(tracker)
        check_trainable(recipe)
        with self._changed:
            known = self.store.with_key(key) if key else None
            if known:
                return known
            refuse_second_run(self.store)
            if alone:
                self.queue.refuse_twin(recipe)
            run_id = self.store.add(recipe, key, tracker)
            self._claim(run_id)
        return run_id

    def pause(self, run_id: str) -> None:
        """Halts the run at the end of its step; nothing happens to a run that is not running."""
        with self._changed:
            if self.store.record(run_id).status == "running" and self._is_active(run_id):
                self._active[1].request_pause()
                self._set(run_id, status="paused")

    def resume(self, run_id: str) -> None:
        """Lets a paused run go on, and puts a stopped, interrupted or failed one back in the queue. A finished run stays finished."""
        self.store.refuse_when_reading()
        with self._changed:
            status = self.store.record(run_id).status
            if status == "paused" and self._is_active(run_id):
                self._active[1].request_resume()
                self._set(run_id, status="running")
            elif status in ("stopped", "interrupted", "failed"):
                refuse_second_run(self.store)
                self.store.enqueue(run_id)
                self._claim(run_id)
            elif status == "queued":
                self._claim(run_id)

    def stop(self, run_id: str) -> None:
        """Ends the run at the end of its step, with a checkpoint; a waiting run leaves the queue. Asking again does nothing."""
        self.store.refuse_when_reading()
        with self._changed:
            status = self.store.record(run_id).status
            if self._is_active(run_id):
                self._active[1].request_stop()
                if status in ("running", "paused"):
                    self._set(run_id, status="stopping")
            elif status == "queued":
                self._set(run_id, status="stopped")

    def delete(self, run_id: str) -> None:
        """Removes a run and its files for good.

        Raises:
            RunError: it is running, or there is no such run.
            AccessError: a visitor asks.
        """
        self.store.refuse_when_reading()
        refuse_visitors("delete runs")
        with self._changed:
            if self.store.record(run_id).status in ACTIVE or self._is_active(run_id):
                raise RunError(f"Run {run_id} is running.", fix="Stop it first.")
            self.store.remove(run_id)
            self._changed.notify_all()
            self._outcomes.pop(run_id, None)
        folder = self.store.folder(run_id)
        self._events.forget(folder / "events.jsonl")
        self._answers.forget(run_id)
        self.boards.forget(folder)

    def annotate(self, run_id: str, *, tags: str | None = None, note: str | None = None, archived: bool | None = None) -> None:
        """Writes what a person says about a run; what is None stays as it was.

        Raises:
            RunError: there is no such run, or the text is longer than a note.
        """
        self.store.refuse_when_reading()
        changes = annotations(tags=tags, note=note, archived=archived)
        with self._changed:
            self.store.record(run_id)
            if changes:
                self.store.update(run_id, **changes)

    def close(self, timeout: float = 60.0) -> None:
        """Stops the active run with a checkpoint (it will be offered as interrupted), ends the worker and gives the data root back."""
        with self._changed:
            self._closing = True
            if self._active is not None:
                self._active[1].request_stop()
            self._changed.notify_all()
        if self._worker is not None:
            self._worker.join(timeout)
        self.store.close()

    # -- the worker

    def _work(self) -> None:
        """Takes runs one after another until the service closes; what breaks between two of them is logged and tried again."""
        said = ""

        def log(error: WorkbenchError) -> None:
            nonlocal said
            if str(error) != said:  # once, however often it is tried
                said = str(error)
                log_bug(self.root, error, "looking for the next run")

        while not self._closing:
            with ended_as_sentence(self.root, "working on the queue", log, lambda error_id: None):
                self._take_next()
                said = ""
                continue
            with self._changed:
                self._active = None
                self._changed.wait(SECONDS_BETWEEN_TRIES)

    def _take_next(self) -> None:
        """Waits for a run and takes it to its end; returns without one when the service closes."""
        from workbench.training.control import Control

        with self._changed:
            while not self._closing and (run_id := self._next()) is None:
                self._changed.wait()
            if self._closing:
                return
            control = Control()
            self._active = (run_id, control)
        outcome = with_room(
            lambda: self._do(run_id, control), self.root, control, lambda **fields: self._set(run_id, **fields), waits=self._mine is None
        )
        self._settle(run_id, outcome)
        self._answers.forget(run_id)
        with self._changed:
            for needless in without_room(self.store, run_id):
                self.delete(needless)

    def _settle(self, run_id: str, outcome: dict[str, Any]) -> None:
        """Writes down how a run ended, or that it is gone with its folder, until the disk takes it: the queue must not end with one run."""
        with self._changed:
            while True:
                if self._closing and outcome["status"] == "stopped":
                    outcome["status"] = "interrupted"
                self._active = None
                try:
                    if self.store.folder(run_id).exists():
                        self._set(run_id, **outcome)
                    else:
                        self.store.remove(run_id)
                        self._outcomes.pop(run_id, None)
                    return
                except RunError:
                    if self._closing:  # the next process finds it interrupted
                        return
                    self._changed.wait(SECONDS_BETWEEN_TRIES)

    def _do(self, run_id: str, control: Control) -> dict[str, Any]:
        """Takes one run to its end, whatever its kind, and says how it ended: the fields to set."""
        ended: dict[str, Any] = {}

        told = (lambda error: ended.update(ended_by_mistake(error)), lambda error_id: ended.update(ended_by_bug(error_id)))
        with ended_as_sentence(self.root, f"run {run_id}", *told):
            result = self._outcomes[run_id] = self._carry_out(run_id, control)
            if result.get("cards"):
                self._keep_cards(run_id, result["cards"])
            step, total = steps_of(last_events(self.store.folder(run_id) / "events.jsonl"), self.store.record(run_id))
            measured = figures(result.get("metrics") or {})
            return {"status": result.get("status", "finished"), "metrics": measured, "step": step, "total_steps": total}
        return ended

    def _carry_out(self, run_id: str, control: Control) -> dict[str, Any]:
        """What the run's job answers, done here or in a process of its own."""
        from workbench.models.pool import ModelPool
        from workbench.runs.jobs import run_job

        self._set(run_id, status="running", error=None, warning="")
        recipe, folder = self.store.recipe(run_id), self.store.folder(run_id)
        abreast = Abreast(self.store, run_id)
        with tracked(self.store, run_id, recipe) as tracking:

            def note(event: dict[str, Any]) -> None:
                abreast.note(event)
                tracking.event(event)

            def work() -> dict[str, Any]:
                if self._isolation is not None:
                    return run_isolated(folder, control, self._isolation, on_event=note)
                return run_job(recipe, folder, control, ModelPool(), on_event=note)

            return tracking.outcome(self.room.given(work, lambda said: self.store.update(run_id, warning=said)))

    def _keep_cards(self, run_id: str, cards: list[dict[str, Any]]) -> None:
        """A search's candidates become cards of the prompt lab, for whoever started it."""
        with acting_as(Principal(self.store.record(run_id).owner, Role.OWNER)):
            self.lab.keep(self.store.recipe(run_id), [card_from(card) for card in cards])

    # -- inside

    def _claim(self, run_id: str) -> None:
        if self._mine is not None:
            self._mine.add(run_id)
        self._start_worker()
        self._changed.notify_all()

    def _start_worker(self) -> None:
        if self._worker is None or not self._worker.is_alive():
            self._worker = threading.Thread(target=self._work, name="runs", daemon=True)
            self._worker.start()

    def _next(self) -> str | None:
        return next((run_id for run_id in self.store.next_queued() if self._mine is None or run_id in self._mine), None)

    def _is_active(self, run_id: str) -> bool:
        return self._active is not None and self._active[0] == run_id

    def _set(self, run_id: str, **changes: Any) -> None:
        with self._changed:
            self.store.update(run_id, **changes)
            self._changed.notify_all()
