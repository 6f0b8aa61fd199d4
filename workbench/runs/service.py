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

import contextlib
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.access import Principal, Role, acting_as, refuse_visitors
from workbench.errors import ProcessLost, RunError, WorkbenchError
from workbench.prompts.cards import card_from
from workbench.recipe import Recipe
from workbench.runs.answers import Answers, check_trainable
from workbench.runs.compare import annotations
from workbench.runs.demo import check_demo, refuse_second_run
from workbench.runs.faults import ended_as_sentence
from workbench.runs.isolation import Isolation, run_isolated
from workbench.runs.lab import Lab
from workbench.runs.labelling import Labelling
from workbench.runs.record import figures
from workbench.runs.store import ACTIVE, RunStore, read_json
from workbench.runs.trackers import NONE, check_tracker
from workbench.runs.tracking import tracked
from workbench.runs.view import EventReader, RunSummary, RunView, summary_of

if TYPE_CHECKING:
    from workbench.models.pool import ModelPool
    from workbench.serving.generator import Generator
    from workbench.serving.predictor import Predictor
    from workbench.training.control import Control

SECONDS_BETWEEN_INDEX_WRITES = 1.0
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

    def __init__(
        self, root: str | Path, *, writable: bool = True, adopt_queue: bool = True, isolation: Isolation | None = None
    ) -> None:
        self.store = RunStore(root, writable=writable)
        self.root = self.store.root
        self._changed = threading.Condition()
        self._mine: set[str] | None = None if adopt_queue else set()
        self._active: tuple[str, Control] | None = None
        self._closing = False
        self._isolation = isolation
        self._worker: threading.Thread | None = None
        self._events = EventReader()
        self._outcomes: dict[str, dict[str, Any]] = {}
        self._last_index_write = 0.0
        self._answers = Answers(self.store, self._events)
        self.lab = Lab(self.root, lambda: self.pool)
        self.labelling = Labelling(self.root)
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

    def read(self, run_id: str, since: int = 0) -> RunView:
        """A run as it stands, with its events numbered `since` and up.

        Raises:
            RunError: there is no such run.
        """
        record = self.store.record(run_id)
        log = self._events.read(self.store.folder(run_id) / "events.jsonl")
        plan, step, progress, events = log.last("plan"), log.last("train"), log.last("progress"), log.since(since)
        return RunView(
            id=run_id,
            name=record.name,
            status=record.status,
            recipe=self.store.recipe(run_id),
            created=record.created,
            step=int(progress.get("done", step.get("step", record.step))),
            total_steps=int(progress.get("total", plan.get("total_steps", record.total_steps))),
            seconds_left=(progress or step).get("seconds_left") if record.status in ACTIVE else None,
            metrics=record.metrics,
            error=record.error,
            kind=record.kind,
            tracker=record.tracker,
            warning=record.warning,
            events=events,
            next=max(since, events[-1]["seq"] + 1 if events else 0),
            log=log,
        )

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
            if record.status not in ("queued", *ACTIVE) or (left is not None and left <= 0):
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
        self._refuse_when_reading()
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
            refuse_second_run(self.store.records())
            if alone:
                self._refuse_twin(recipe)
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
        self._refuse_when_reading()
        with self._changed:
            status = self.store.record(run_id).status
            if status == "paused" and self._is_active(run_id):
                self._active[1].request_resume()
                self._set(run_id, status="running")
            elif status in ("stopped", "interrupted", "failed"):
                self.store.enqueue(run_id)
                self._claim(run_id)
            elif status == "queued":
                self._claim(run_id)

    def stop(self, run_id: str) -> None:
        """Ends the run at the end of its step, with a checkpoint; a waiting run leaves the queue. Asking again does nothing."""
        self._refuse_when_reading()
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
        self._refuse_when_reading()
        refuse_visitors("delete runs")
        with self._changed:
            if self.store.record(run_id).status in ACTIVE or self._is_active(run_id):
                raise RunError(f"Run {run_id} is running.", fix="Stop it first.")
            self.store.remove(run_id)
            self._changed.notify_all()
        self._events.forget(self.store.folder(run_id) / "events.jsonl")
        self._answers.forget(run_id)

    def annotate(self, run_id: str, *, tags: str | None = None, note: str | None = None, archived: bool | None = None) -> None:
        """Writes what a person says about a run; what is None stays as it was.

        Raises:
            RunError: there is no such run, or the text is longer than a note.
        """
        self._refuse_when_reading()
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
        from workbench.training.control import Control

        while True:
            with self._changed:
                while not self._closing and self._next() is None:
                    self._changed.wait()
                if self._closing:
                    return
                run_id = self._next()
                self._active = (run_id, Control())
            outcome = self._do(run_id, self._active[1])
            self._settle(run_id, outcome)
            self._answers.forget(run_id)

    def _settle(self, run_id: str, outcome: dict[str, Any]) -> None:
        """Writes down how a run ended, again and again while the disk does not take it: the queue must not end with one run."""
        with self._changed:
            while True:
                if self._closing and outcome["status"] == "stopped":
                    outcome["status"] = "interrupted"
                self._active = None
                try:
                    self._set(run_id, **outcome)
                    return
                except RunError:
                    if self._closing:  # the next process finds it interrupted
                        return
                    self._changed.wait(SECONDS_BETWEEN_TRIES)

    def _do(self, run_id: str, control: Control) -> dict[str, Any]:
        """Takes one run to its end, whatever its kind, and says how it ended: the fields to set."""
        ended: dict[str, Any] = {}

        def mistake(error: WorkbenchError) -> None:
            status = "interrupted" if isinstance(error, ProcessLost) else "failed"
            ended.update(status=status, error={"message": error.message, "fix": error.fix, "error_id": None})

        def bug(error_id: str) -> None:
            message = f"Something broke in the workbench during this run (error {error_id})."
            ended.update(
                status="failed",
                error={"message": message, "fix": "The log in the data folder has the details.", "error_id": error_id},
            )

        result: dict[str, Any] = {}
        with ended_as_sentence(self.root, f"run {run_id}", mistake, bug):
            result = self._carry_out(run_id, control)
        if ended:
            return ended
        self._outcomes[run_id] = result
        if result.get("cards"):
            self._keep_cards(run_id, result["cards"])
        view = self.read(run_id)
        return {
            "status": result.get("status", "finished"),
            "metrics": figures(result.get("metrics") or {}),
            "step": view.step,
            "total_steps": view.total_steps,
        }

    def _carry_out(self, run_id: str, control: Control) -> dict[str, Any]:
        """What the run's job answers, done here or in a process of its own."""
        from workbench.models.pool import ModelPool
        from workbench.runs.jobs import run_job

        with self._changed:
            self._set(run_id, status="running", error=None, warning="")
        recipe, folder = self.store.recipe(run_id), self.store.folder(run_id)
        with tracked(self.store, run_id, recipe) as tracking:

            def note(event: dict[str, Any]) -> None:
                self._note(run_id, event)
                tracking.event(event)

            if self._isolation is not None:
                return tracking.outcome(run_isolated(folder, control, self._isolation, on_event=note))
            return tracking.outcome(run_job(recipe, folder, control, ModelPool(), on_event=note))

    def _keep_cards(self, run_id: str, cards: list[dict[str, Any]]) -> None:
        """A search's candidates become cards of the prompt lab, for whoever started it."""
        with acting_as(Principal(self.store.record(run_id).owner, Role.OWNER)):
            self.lab.keep(self.store.recipe(run_id), [card_from(card) for card in cards])

    def _note(self, run_id: str, event: dict[str, Any]) -> None:
        """Keeps the index roughly abreast of the event log, which is the truth, at most once a second."""
        with contextlib.suppress(RunError):  # a disk that is full for a moment must not end a run over a figure in a list
            self._note_in_index(run_id, event)

    def _note_in_index(self, run_id: str, event: dict[str, Any]) -> None:
        kind = event.get("kind")
        if kind == "plan":
            self.store.update(run_id, durable=False, total_steps=int(event.get("total_steps", 0)))
        elif kind == "evaluation":
            self.store.update(run_id, durable=False, metrics=figures(event))
        elif kind == "train" and time.monotonic() - self._last_index_write > SECONDS_BETWEEN_INDEX_WRITES:
            self._last_index_write = time.monotonic()
            self.store.update(run_id, durable=False, step=int(event.get("step", 0)))
        elif kind == "progress":
            self.store.update(run_id, durable=False, step=int(event.get("done", 0)), total_steps=int(event.get("total", 0)))

    # -- inside

    def _claim(self, run_id: str) -> None:
        if self._mine is not None:
            self._mine.add(run_id)
        self._start_worker()
        self._changed.notify_all()

    def _start_worker(self) -> None:
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name="runs", daemon=True)
            self._worker.start()

    def _next(self) -> str | None:
        return next((run_id for run_id in self.store.next_queued() if self._mine is None or run_id in self._mine), None)

    def _refuse_twin(self, recipe: Recipe) -> None:
        for record in self.store.records():
            if record.status in ("queued", *ACTIVE) and self.store.recipe(record.id) == recipe:
                fix = "Watch that run, stop it, or change the recipe."
                raise RunError(f"This recipe is being trained already, as run {record.id}.", fix=fix)

    def _is_active(self, run_id: str) -> bool:
        return self._active is not None and self._active[0] == run_id

    def _set(self, run_id: str, **changes: Any) -> None:
        self.store.update(run_id, **changes)
        self._changed.notify_all()

    def _refuse_when_reading(self) -> None:
        if not self.store.writable:
            raise RunError("These runs are open for reading only.", fix="Open the data folder for writing.")
