"""A run's figures on their way to a tracker, in a thread of their own: a tracker that is slow, hangs or fails costs the run nothing.

Fed with the events that the page's charts are drawn from, wherever the run works: in a thread, in a child process, under a launcher.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import RunError, WorkbenchError
from workbench.models.foreign import foreign
from workbench.recipe import Recipe
from workbench.runs.record import RunRecord, figures
from workbench.runs.takeaway import shareable
from workbench.runs.trackers import NONE, About, make_tracker

if TYPE_CHECKING:
    from workbench.runs.store import RunStore

FOLDER = "trackers"
TRAIN_FIGURES = ("loss", "learning_rate", "gradient_norm", "examples_per_second", "memory_bytes")
MOST_WAITING = 10_000
SECONDS_TO_END = 60.0
LONGEST_VALUE = 250


@contextmanager
def tracked(store: RunStore, run_id: str, recipe: Recipe) -> Iterator[Tracking]:
    """The way of a run's figures to the tracker that its record names, while the block works on the run; what goes wrong on it is the
    record's warning."""

    def tell(sentence: str) -> None:
        with contextlib.suppress(RunError):
            store.update(run_id, warning=sentence)

    tracking = Tracking(store.record(run_id), store.root, recipe, tell)
    try:
        yield tracking
    finally:
        tracking.end()


class Tracking:
    """One run's way to its tracker, from start to `end`. Owned by the service that works on the run.

    Args:
        record: names the run and its tracker; for `none` nothing happens here.
        root: data root.
        tell: called at most once, with a sentence, when the tracker has failed and gets nothing more.
    """

    def __init__(self, record: RunRecord, root: Path, recipe: Recipe, tell: Callable[[str], None]) -> None:
        self._name, self._place, self._tell = record.tracker, root / FOLDER, tell
        self._about = About(record.id, recipe.name, flat(shareable(recipe).model_dump(exclude_none=True)))
        self._waiting: queue.Queue[tuple[dict[str, float], int] | None] = queue.Queue(MOST_WAITING)
        self._step, self._finished = 0, False
        self._guard = threading.Lock()
        self._on = record.tracker != NONE
        self._thread = threading.Thread(target=self._work, name="tracker", daemon=True)
        if self._on:
            self._thread.start()

    def event(self, event: dict[str, Any]) -> None:
        """Passes on an event's figures, if it has any; never waits."""
        self._step = int(event.get("step", event.get("done", self._step)))
        found = figures_of(event)
        if found:
            self._put((found, self._step))

    def outcome(self, result: dict[str, Any]) -> dict[str, Any]:
        """Passes on the figures that a finished run has ended with; a stopped one may go on to others. Gives the result back."""
        self._finished = result.get("status") == "finished"
        found = {f"result/{name}": value for name, value in numbers(figures(result.get("metrics") or {})).items()}
        if found and self._finished:
            self._put((found, self._step))
        return result

    def end(self) -> None:
        """Waits, for a while, until the tracker has written everything."""
        self._put(None)
        if self._on:
            self._thread.join(SECONDS_TO_END)
            if self._thread.is_alive():
                seconds = f"{SECONDS_TO_END:.0f}"
                self._drop(RunError(f"The tracker '{self._name}' gave no answer for {seconds} seconds and may lack the end of this run."))

    def _put(self, item: tuple[dict[str, float], int] | None) -> None:
        if self._on:
            try:
                self._waiting.put_nowait(item)
            except queue.Full:
                self._drop(RunError(f"The tracker '{self._name}' is too slow and gets nothing more of this run."))

    def _work(self) -> None:
        try:
            with foreign(self._refusal):
                tracker = make_tracker(self._name)
                self._place.mkdir(parents=True, exist_ok=True)
                tracker.start(self._place, self._about)
                while (item := self._waiting.get()) is not None:
                    tracker.log(*item)
                tracker.finish(self._finished)
        except WorkbenchError as error:
            self._drop(error)

    def _refusal(self, error: Exception) -> RunError:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200].rstrip(".")
        return RunError(f"The tracker '{self._name}' failed and gets nothing more of this run: {reason}.")

    def _drop(self, error: WorkbenchError) -> None:
        with self._guard:
            on, self._on = self._on, False
        if on:
            self._tell(error.message)


def figures_of(event: dict[str, Any]) -> dict[str, float]:
    """The figures of a training step or an evaluation under the names that trackers group by; none of other events."""
    if event.get("kind") == "train":
        return {f"train/{name}": value for name, value in numbers({name: event.get(name) for name in TRAIN_FIGURES}).items()}
    if event.get("kind") == "evaluation":
        return {f"validation/{name}": value for name, value in numbers(figures(event)).items()}
    return {}


def numbers(values: dict[str, Any]) -> dict[str, float]:
    """Those that are finite numbers."""
    return {name: float(value) for name, value in values.items() if isinstance(value, (int, float)) and math.isfinite(value)}


def flat(content: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested mappings as dotted name -> text, cut where it is long."""
    found: dict[str, str] = {}
    for name, value in content.items():
        # Field names are ours; below them stand labels and columns of a person's, in characters that not every tracker takes in a name.
        if isinstance(value, dict) and prefix.count(".") < 1 and all(str(key).isidentifier() and str(key).isascii() for key in value):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = str(value)[:LONGEST_VALUE]
    return found
