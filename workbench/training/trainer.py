"""The training loop of every task (see objective.py), made to be killed.

    setup -> evaluate (zero-shot) -> [ step -> evaluate -> checkpoint ]* -> finish -> result.json

Nothing that a step does depends on the steps before it except weights and optimizer state: batches and learning rate are functions
of the step, and random numbers (dropout) are seeded at every step. So on one CPU a run that was killed and resumed gives the same
losses and the same bytes as one that was not. A non-finite loss stops the run at that step; a stock trainer logs it as 0.0 and goes on.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from workbench.errors import TrainingError, WorkbenchError
from workbench.methods import attach, check_method
from workbench.models.mode import checkpoint_gradients
from workbench.models.transfer import DOWNLOAD
from workbench.recipe import Recipe, recipe_from
from workbench.serving.batches import Pace, evaluated_at_once
from workbench.serving.tuned import Tuned
from workbench.training.checkpoint import Checkpoint, recipe_key
from workbench.training.control import Control
from workbench.training.faults import plain_disk_errors, plain_memory_errors
from workbench.training.metrics import only_class
from workbench.training.objective import make_objective
from workbench.training.optim import load_optimizer_state, optimizer_state
from workbench.training.plan import make_schedule
from workbench.training.precision import autocast, compute_dtype, memory_bytes, peak_memory_bytes
from workbench.training.processes import group
from workbench.training.progress import Progress
from workbench.training.result import make_result, read_result
from workbench.training.rows_to_ask import ROWS_KEPT
from workbench.training.run_files import SECONDS_BETWEEN_SIGNS, RunFiles, SeenFiles
from workbench.training.stepper import Stepper, refuse_non_finite, seed_everything

if TYPE_CHECKING:
    from workbench.models.pool import ModelPool

__all__ = ["Control", "train_along", "train_run"]

OnEvent = Callable[[dict[str, Any]], None]
LARGEST_CHECKPOINT_SHARE = 0.1
ROWS_LOOKED_AT = 16
RECENT_STEPS = 20


def train_run(recipe: Recipe, folder: Path, control: Control, pool: ModelPool, *, on_event: OnEvent | None = None) -> dict[str, Any]:
    """Trains a recipe in a run folder, or goes on from the newest whole checkpoint there; a finished run answers and trains nothing.

    Args:
        folder: the run's own folder; made when it is not there.
        control: read at every step.
        pool: where the model comes from. The run takes a copy of its own, so nobody else ever sees half-tuned weights.
        on_event: called with every event after it was written to events.jsonl.

    Returns:
        status (finished or stopped), metrics (of the best evaluation; None without validation rows), steps, best_step, seconds,
        examples_per_second, peak_memory_bytes, trainable_parameters, total_parameters.

    Raises:
        WorkbenchError: the run cannot start or go on; an "error" event says the same. Checkpoints stay where they are.
    """
    finished = read_result(Path(folder))
    if finished is not None:
        return finished
    folder = Path(folder).resolve()
    with group().training({"recipe": recipe.model_dump(mode="json"), "folder": str(folder)}):
        return _train(recipe, folder, control, pool, on_event)


def train_along(call: dict[str, Any]) -> None:
    """This process's part in a training that the leading process has called for; raises as `train_run`."""
    from workbench.models.pool import ModelPool

    recipe, folder = recipe_from(call["recipe"], source="the leading process"), Path(call["folder"])
    with group().training(call):
        _train(recipe, folder, Control(), ModelPool(), None)


def _train(recipe: Recipe, folder: Path, control: Control, pool: ModelPool, on_event: OnEvent | None) -> dict[str, Any]:
    trainer = Trainer(recipe, folder, control, pool, on_event)
    try:
        with plain_memory_errors():
            try:
                trainer.setup()
            except StopAsked:
                return trainer.stop_before_it_began()
            with plain_disk_errors():
                return trainer.train()
    except KeyboardInterrupt:
        trainer.emit("status", status="interrupted")
        raise
    except WorkbenchError as error:
        with contextlib.suppress(OSError):  # a full disk must not hide the reason
            trainer.emit("error", message=error.message, fix=error.fix, error_id=None)
        raise
    finally:
        trainer.close()


class StopAsked(Exception):
    """Stop was asked for while rows were read; what was being worked on is done anew when the run goes on."""


class Trainer:
    """One run from setup to close; used once, by one thread."""

    def __init__(self, recipe: Recipe, folder: Path, control: Control, pool: ModelPool, on_event: OnEvent | None) -> None:
        self.recipe, self.control, self.pool, self.group = recipe, control, pool, group()
        self.files = (RunFiles if self.group.leads else SeenFiles)(folder, on_event, self.group)
        self.emit = self.files.emit
        self.progress = Progress()
        self._recent: deque[tuple[int, float]] = deque(maxlen=RECENT_STEPS)
        self._may_stop = False
        self._told_loading = 0.0
        self._written_step = -1
        self._written_at, self._write_seconds = 0.0, 0.0

    def setup(self) -> None:
        """Data, model, method, optimizer, and the place to go on from."""
        recipe = self.recipe
        options = check_method(recipe.method)
        self.objective = make_objective(recipe)
        self.loaded = self.pool.fresh(self.group.place(recipe.model), self._loading)
        self.device = self.loaded.device
        seed_everything(recipe.training.seed, 0)
        attached = attach(self.loaded, options, keep_original=False, prompt=recipe.prompt, reads=self.objective.reads)
        products = compute_dtype(recipe.training.precision, self.device)
        attached.train_in_float32(products)
        if recipe.training.gradient_checkpointing:
            checkpoint_gradients(self.loaded.model)
        self.objective.folder, self.objective.group = self.files.folder, self.group
        self.read_rows, read_tokens = evaluated_at_once(recipe)
        self.objective.pace = Pace(read_tokens, halves=self.group.size == 1, between=self._between)
        with autocast(self.device, products):
            self.objective.bind(self.loaded, attached)
        self.data_digest = self.objective.digest()
        self.tuned = Tuned(attached, self.objective.classifier)
        self.stepper = Stepper(recipe.training, self.objective, self.tuned, self.group)
        self.schedule = make_schedule(recipe.training, self.stepper.batches.steps_per_epoch)
        with plain_disk_errors():
            self._go_on()

    def _loading(self, stage: Any, share: float | None) -> None:
        """While the model comes: says that the run is alive and how far a download is, and lets a stop end that.

        Raises:
            StopAsked: what has arrived is kept; not where other processes wait for the same model.
        """
        self.files.alive()
        if stage == DOWNLOAD and self.group.size == 1 and self.control.stop_requested:
            raise StopAsked
        total, now = getattr(stage, "total", 0), time.perf_counter()
        if total and now - self._told_loading >= SECONDS_BETWEEN_SIGNS:
            self._told_loading = now
            text = f"Download: {stage.done / 1e9:.2f} of {total / 1e9:.2f} GB."
            with contextlib.suppress(OSError):  # the log's trouble is told once the run begins
                self.emit("loading", text=text, share=share, seconds_left=stage.seconds_left)

    def stop_before_it_began(self) -> dict[str, Any]:
        """The result of a run that was stopped while its model came."""
        self.emit("status", status="stopped")
        return make_result("stopped", self.progress, None)

    def _go_on(self) -> None:
        """Puts the run folder and the model into the state of the newest whole checkpoint, or of a run that has not begun."""
        checkpoint, notes = self.files.newest(self.recipe, self.tuned)
        if checkpoint is not None:
            self._adopt(checkpoint)
            if checkpoint.processes != self.group.size:
                notes.append(
                    f"The run goes on in {self.group.size} instead of {checkpoint.processes} processes: the batches stay what they were, "
                    "but dropout and the order of sums differ."
                )
        self.files.go_on_from(checkpoint)
        self.emit("status", status="running")
        for note in notes:
            self.emit("note", text=note)
        if checkpoint is None:
            self._emit_plan()

    def _adopt(self, checkpoint: Checkpoint) -> None:
        if checkpoint.recipe_key != recipe_key(self.recipe):
            raise TrainingError("The run's checkpoints were made with another recipe.", fix="Start a new run with this recipe.")
        if checkpoint.fingerprint != self.loaded.fingerprint:
            raise TrainingError("The model is not the one this run was started with.", fix="Put the former model back, or start a new run.")
        if checkpoint.data_digest not in ("", self.data_digest):
            raise TrainingError(
                "The rows to train on are not those that this run was started with.",
                fix="Put the former data file back, then resume; or start a new run with this recipe.",
            )
        state = checkpoint.restore(self.tuned)
        load_optimizer_state(self.stepper.optimizer, self.tuned.parameters(), state)
        self.progress = checkpoint.progress
        self._written_step = checkpoint.progress.step

    def _emit_plan(self) -> None:
        self.emit(
            "plan",
            total_steps=self.schedule.total_steps,
            steps_per_epoch=self.stepper.batches.steps_per_epoch,
            trainable_parameters=self.tuned.trainable_parameters,
            total_parameters=self.tuned.total_parameters,
            labels=list(self.objective.labels),
            train_rows=self.objective.train_rows,
            validation_rows=self.objective.validation_rows,
            learning_rate=self.stepper.rate,
            data=self.data_digest,
            notes=[*self.objective.notes, *self.tuned.notes, *self._group_notes()],
        )

    def _group_notes(self) -> list[str]:
        if self.group.size == 1:
            return []
        return [f"{self.group.size} processes share every batch of {self.recipe.training.batch_size} rows."]

    def train(self) -> dict[str, Any]:
        """Steps until the end, an early stop or a request; returns the run's result."""
        self._may_stop = True
        try:
            status = self._take_steps()
        except StopAsked:
            status = "stopped"
        self._may_stop = False
        self.save_checkpoint()
        return self.finish(status)

    def _take_steps(self) -> str:
        """Steps, evaluations and checkpoints until the last one; how it ended: finished or stopped."""
        progress, schedule = self.progress, self.schedule
        self._written_at = time.perf_counter()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        if progress.evaluation_due or (progress.step == 0 and progress.best_step is None):
            self.evaluate()
        self.tuned.train()
        while progress.step < schedule.total_steps and not progress.stopped_early:
            if self._halted():
                return "stopped"
            self._step()
            if schedule.evaluates(progress.step):
                self.evaluate()
            if schedule.checkpoints(progress.step) and self._worth_a_checkpoint():
                self.save_checkpoint()
        if progress.stopped_early:
            self.emit("note", text=f"Stopped early at step {progress.step}: no better evaluation since step {progress.best_step}.")
        return "finished"

    def _between(self) -> None:
        """Between two batches that are only read: says now and then that the run is alive, and lets a stop through at once.

        Raises:
            StopAsked: the step or evaluation that was begun has changed nothing yet; not where other processes are in the midst of it too.
        """
        self.files.alive()
        if self._may_stop and self.group.size == 1 and self.control.stop_requested:
            raise StopAsked

    def _halted(self) -> bool:
        """Waits while a pause is on; says whether to stop."""
        state = self.group.decide(self.control.state)
        if state == "paused":
            self.save_checkpoint()
            self.emit("status", status="paused")
            while state == "paused":
                self.control.wait()
                state = self.group.decide(self.control.state)
            if state == "running":
                self.emit("status", status="running")
        return state == "stopping"

    def _worth_a_checkpoint(self) -> bool:
        """Checkpoints at automatic times may take a tenth of the time: a whole model is heavy to write, an adapter is not."""
        if self.recipe.training.checkpoint_every != "auto":
            return True
        worth = (time.perf_counter() - self._written_at) * LARGEST_CHECKPOINT_SHARE >= self._write_seconds
        return self.group.decide("write" if worth else "") == "write"

    def _step(self) -> None:
        started = time.perf_counter()
        progress = self.progress
        figures = self.stepper.step(progress.step, self.schedule.total_steps)
        progress.step += 1
        progress.examples += figures.rows
        seconds = time.perf_counter() - started
        progress.seconds += seconds
        self._recent.append((figures.rows, seconds))
        self.emit(
            "train",
            step=progress.step,
            epoch=round(progress.step / self.stepper.batches.steps_per_epoch, 4),
            loss=figures.loss,
            learning_rate=figures.learning_rate,
            gradient_norm=figures.gradient_norm,
            examples_per_second=self._speed(),
            memory_bytes=memory_bytes(self.device),
            seconds_left=round(progress.seconds / progress.step * (self.schedule.total_steps - progress.step), 3),
        )

    def _speed(self) -> float:
        """Examples per second over the last steps: what slows a run down shows at once."""
        rows, seconds = (sum(part) for part in zip(*self._recent, strict=True))
        return round(rows / max(seconds, 1e-9), 3)

    def evaluate(self) -> None:
        """Measures the validation rows at the current step and keeps the weights if they are the best so far."""
        if not self.objective.validation_rows:
            return
        self.progress.evaluation_due = True
        with autocast(self.device, self.stepper.dtype):
            metrics = self.stepper.read(lambda: self.objective.evaluate(self.read_rows))
            samples = self.objective.samples()
        refuse_non_finite(metrics["loss"], "validation loss", self.progress.step)
        self.progress.evaluation_due = False
        better = self.progress.record({name: float(metrics[name]) for name in self.objective.metrics}, self.recipe)
        self.emit("evaluation", step=self.progress.step, best=better, **metrics)
        if samples:
            self.emit("samples", step=self.progress.step, samples=samples)
        self._tell_one_class(metrics)
        if better:
            rows = self.objective.telling_rows()
            if rows:
                self.emit("telling_rows", step=self.progress.step, rows=rows)
            self.files.keep_best(self.tuned)

    def _tell_one_class(self, metrics: dict[str, Any]) -> None:
        """A note, once a run and never about the untrained model, when every validation row is called the same."""
        only = only_class(metrics.get("confusion", []))
        if only is None or self.progress.step == 0 or self.progress.told_one_class:
            return
        self.progress.told_one_class = True
        label = metrics["labels"][only]
        self.emit(
            "note",
            text=f"At step {self.progress.step} every validation row is called '{label}', whatever it says. If that stays so, try another "
            "learning rate, more examples of each class, or label words with calibration; the check of this run says more.",
        )

    def save_checkpoint(self) -> None:
        """Writes a checkpoint of the current step unless there is one."""
        if self._written_step == self.progress.step:
            return
        started = time.perf_counter()
        self.progress.peak_memory_bytes = max(self.progress.peak_memory_bytes, peak_memory_bytes(self.device))
        content = {
            "progress": self.progress.to_json(),
            "processes": self.group.size,
            "recipe_key": recipe_key(self.recipe),
            "fingerprint": self.loaded.fingerprint,
            "data": self.data_digest,
        }
        state = optimizer_state(self.stepper.optimizer, self.tuned.parameters())
        self.files.keep_checkpoint(self.tuned, state, content, with_best=self.progress.best_step is not None)
        self._written_step, self._written_at = self.progress.step, time.perf_counter()
        self._write_seconds = self._written_at - started
        self.emit("checkpoint", step=self.progress.step)

    def finish(self, status: str) -> dict[str, Any]:
        """Saves the best weights in final/; a complete run gets its result.json and needs its checkpoints no longer."""
        if self.progress.best_step is not None:
            self.files.restore_best(self.tuned)
        self.files.keep_final(self.tuned)
        if self.progress.best_step == 0 and self.progress.step > 0:
            self.emit("note", text="No evaluation was better than the untrained model; the weights kept are those of step 0.")
        self._tell_what_was_learnt()
        self.progress.peak_memory_bytes = max(self.progress.peak_memory_bytes, peak_memory_bytes(self.device))
        result = make_result(status, self.progress, self.tuned)
        self.emit("status", status=status)
        if status == "finished":
            self.files.keep_result(result, self.objective.rows_to_ask(ROWS_KEPT))
        return result

    def _tell_what_was_learnt(self) -> None:
        """Emits the method's table of what it learnt, looked at on the first training rows where it only shows on text."""
        self.loaded.model.eval()
        rows = list(range(min(ROWS_LOOKED_AT, self.objective.train_rows)))

        def read_rows() -> None:
            with torch.no_grad(), autocast(self.device, self.stepper.dtype):
                self.objective.loss(rows)

        learnt = self.tuned.attached.learnt(lambda: self.stepper.read(read_rows)) if self.tuned.attached is not None else None
        if learnt is not None:
            self.emit("learnt", **learnt.to_json())

    def close(self) -> None:
        """Lets go of the log and of the model's memory; harmless at any moment."""
        self.files.close()
        for name in ("stepper", "objective", "tuned", "loaded"):
            self.__dict__.pop(name, None)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
