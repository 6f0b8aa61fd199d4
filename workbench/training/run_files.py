"""What a training keeps in its run folder: events, checkpoints, the best weights, the final ones and the result.

`RunFiles` writes them; `SeenFiles` is what the other processes of a run have of the same folder: they read what the leader
has written, and take part in gathering what is cut up among them.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from workbench.errors import TrainingError
from workbench.recipe import Recipe
from workbench.training.checkpoint import Checkpoint, CheckpointFolder, checkpoint_bytes
from workbench.training.events import ALIVE, EventLog
from workbench.training.faults import plain_disk_errors, refuse_full_disk
from workbench.training.folder import copy_files, recover_folder, replace_file, write_folder
from workbench.training.kept_states import FOLDER as STATES
from workbench.training.processes import Alone
from workbench.training.result import RESULT, write_result
from workbench.training.rows_to_ask import keep_rows
from workbench.training.stored_rows import FOLDER as STORED_ROWS

if TYPE_CHECKING:
    from workbench.serving.tuned import Tuned

OnEvent = Callable[[dict[str, Any]], None]
RECIPE = "recipe.yaml"
SECONDS_BETWEEN_SIGNS = 2.0


class RunFiles:
    """A run folder in the hands of the one who writes it. Owned by one trainer; `close` lets go of the log."""

    def __init__(self, folder: Path, on_event: OnEvent | None, group: Alone) -> None:
        with plain_disk_errors():
            folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.group = folder, group
        self.best, self.final = folder / "best", folder / "final"
        self.log = EventLog(folder / "events.jsonl")
        self.checkpoints = CheckpointFolder(folder)
        self._on_event = on_event
        self._sign = time.monotonic()

    def newest(self, recipe: Recipe, tuned: Tuned) -> tuple[Checkpoint | None, list[str]]:
        """The newest whole checkpoint and a sentence about each damaged one; with the recipe written, and room on the disk, before."""
        if not (self.folder / RECIPE).exists():
            replace_file(self.folder / RECIPE, recipe.to_yaml())
        recover_folder(self.best)
        checkpoint, notes = self.checkpoints.newest()
        refuse_full_disk(self.folder, 2 * checkpoint_bytes(tuned), goes_on=checkpoint is not None)
        self.group.decide(checkpoint.folder.name if checkpoint else "")
        return checkpoint, notes

    def go_on_from(self, checkpoint: Checkpoint | None) -> None:
        """Takes out of the folder what lies beyond a checkpoint, or everything."""
        if checkpoint is not None and (checkpoint.folder / "best").is_dir():
            write_folder(self.best, lambda staging: copy_files(checkpoint.folder / "best", staging))
        (self.folder / RESULT).unlink(missing_ok=True)
        for folder in (self.final,) if checkpoint else (self.final, self.best):
            shutil.rmtree(folder, ignore_errors=True)
        self.log.truncate(checkpoint.next_event if checkpoint else 0)
        self.checkpoints.remove_after(checkpoint.progress.step if checkpoint else -1)

    def keep_best(self, tuned: Tuned) -> None:
        """Writes the weights of the best evaluation so far in place of the ones before."""
        write_folder(self.best, tuned.save)

    def keep_final(self, tuned: Tuned) -> None:
        """Writes what answering needs, once training is over."""
        write_folder(self.final, tuned.save_final)

    def keep_checkpoint(self, tuned: Tuned, optimizer: dict[str, Tensor], content: dict[str, Any], *, with_best: bool) -> None:
        """Writes a checkpoint; `content` gets the number of the next event."""
        self.log.flush()
        self.checkpoints.write(tuned, optimizer, content | {"next_event": self.log.next}, self.best if with_best else None)

    def restore_best(self, tuned: Tuned) -> None:
        """Puts the best weights back in place; waits until the leader has written them, and until everybody has read them: the end of the
        run removes them."""
        self.group.wait()
        tuned.restore(self.best)
        self.group.wait()

    def keep_result(self, result: dict[str, Any], rows: list[dict[str, str]]) -> None:
        """Last act of a finished run, which needs its checkpoints no longer, nor the best weights beside the same in final/; `rows` are a
        few that it can be asked about."""
        self.log.flush()
        keep_rows(self.folder, rows)
        write_result(self.folder, result)
        self.checkpoints.clear()
        for needless in (self.best, self.folder / STATES, self.folder / STORED_ROWS):
            shutil.rmtree(needless, ignore_errors=True)

    def emit(self, kind: str, **content: Any) -> None:
        """Appends an event to the log and tells whoever listens."""
        event = self.log.append(kind, **content)
        if self._on_event is not None:
            self._on_event(event)

    def alive(self) -> None:
        """Tells whoever listens, every few seconds at most, that there is nothing new but work goes on; the log does not keep it."""
        now = time.monotonic()
        if self._on_event is not None and now - self._sign >= SECONDS_BETWEEN_SIGNS:
            self._sign = now
            self._on_event({"kind": ALIVE})

    def close(self) -> None:
        """Closes the event log."""
        self.log.close()


class SeenFiles(RunFiles):
    """The same folder in a process that does not lead: what it would write has been written, or will be."""

    def newest(self, recipe: Recipe, tuned: Tuned) -> tuple[Checkpoint | None, list[str]]:
        """The checkpoint that the leader chose, and no sentences. Raises TrainingError when the folder is not the leader's."""
        name = self.group.decide("")
        if not (self.folder / RECIPE).is_file():
            raise TrainingError("A process of this run does not see the run's folder.", fix="Give a --runs folder that all machines share.")
        return (self.checkpoints.read(name) if name else None), []

    def go_on_from(self, checkpoint: Checkpoint | None) -> None:
        pass

    def keep_best(self, tuned: Tuned) -> None:
        tuned.gather()

    def keep_final(self, tuned: Tuned) -> None:
        tuned.gather()

    def keep_checkpoint(self, tuned: Tuned, optimizer: dict[str, Tensor], content: dict[str, Any], *, with_best: bool) -> None:
        tuned.gather()

    def keep_result(self, result: dict[str, Any], rows: list[dict[str, str]]) -> None:
        pass

    def emit(self, kind: str, **content: Any) -> None:
        pass
