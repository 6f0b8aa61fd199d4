"""Checkpoints of a run: `checkpoints/step-N/` with weights/, best/, optimizer.safetensors and progress.json under a manifest.

The best weights so far travel inside each checkpoint, so that a run resumed from step 20 does not take over the best weights of a step
40 that it has not reached again. They are copies: a bit that flips in a hard link would spoil every checkpoint at once. No pickle:
state is safetensors and JSON.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from workbench.errors import TrainingError
from workbench.recipe import Recipe
from workbench.serving.tuned import Tuned
from workbench.training.folder import copy_files, damage, write_folder
from workbench.training.progress import Progress

KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was verified byte by byte. `next_event` is the number of the first event after it, `processes` how many trained,
    `data_digest` says which rows they trained on; it is empty in those of before it was kept."""

    folder: Path
    progress: Progress
    next_event: int
    recipe_key: str
    fingerprint: str
    processes: int
    data_digest: str = ""

    def restore(self, tuned: Tuned) -> dict[str, Tensor]:
        """Loads the weights into model and verbalizer and returns the optimizer's state."""
        tuned.restore(self.folder / "weights")
        return load_file(self.folder / "optimizer.safetensors")


class CheckpointFolder:
    """The checkpoints of one run folder; used by one trainer at a time."""

    def __init__(self, run: Path) -> None:
        self.root = run / "checkpoints"

    def write(self, tuned: Tuned, optimizer: dict[str, Tensor], content: dict[str, Any], best: Path | None) -> None:
        """Writes `step-N` and removes all but the newest two.

        Args:
            content: progress, next_event, recipe_key, fingerprint, processes and data.
            best: the folder with the best weights so far, if there was an evaluation.

        Raises:
            OSError or SafetensorError when the disk does not take it; earlier checkpoints are untouched.
        """

        def fill(staging: Path) -> None:
            (staging / "weights").mkdir()
            tuned.save(staging / "weights")
            save_file(optimizer, staging / "optimizer.safetensors")
            if best is not None:
                (staging / "best").mkdir()
                copy_files(best, staging / "best")
            (staging / "progress.json").write_text(json.dumps(content, sort_keys=True), encoding="utf-8")

        write_folder(self.root / f"step-{content['progress']['step']}", fill)
        for step, folder in self._steps()[KEPT:]:
            if step < content["progress"]["step"]:
                shutil.rmtree(folder, ignore_errors=True)

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest checkpoint whose every byte is right, and a sentence about each newer one that is not."""
        notes: list[str] = []
        for step, folder in self._steps():
            reason = damage(folder)
            checkpoint = None if reason else _read(folder, step)
            if checkpoint is not None:
                return checkpoint, notes
            notes.append(f"The checkpoint of step {step} was skipped: {reason or 'its progress.json is not readable'}.")
        return None, notes

    def read(self, name: str) -> Checkpoint:
        """A checkpoint that another process has verified and chosen.

        Raises:
            TrainingError: it is not there, or not whole, for this process.
        """
        step = name.removeprefix("step-")
        checkpoint = _read(self.root / name, int(step)) if step.isdecimal() and damage(self.root / name) is None else None
        if checkpoint is None:
            raise TrainingError("A process of this run does not see the run's folder.", fix="Give a --runs folder that all machines share.")
        return checkpoint

    def remove_after(self, step: int) -> None:
        """Removes damaged checkpoints beyond the one that was chosen, and what an interrupted write left behind."""
        for number, folder in self._steps():
            if number > step:
                shutil.rmtree(folder, ignore_errors=True)
        if self.root.is_dir():
            for folder in self.root.glob(".*"):
                shutil.rmtree(folder, ignore_errors=True)

    def clear(self) -> None:
        """Removes all checkpoints."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _steps(self) -> list[tuple[int, Path]]:
        found = []
        for folder in self.root.glob("step-*"):
            number = folder.name.removeprefix("step-")
            if number.isdecimal() and folder.is_dir():
                found.append((int(number), folder))
        return sorted(found, reverse=True)


def _read(folder: Path, step: int) -> Checkpoint | None:
    try:
        content = json.loads((folder / "progress.json").read_text(encoding="utf-8"))
        progress = Progress.from_json(content["progress"])
        if progress.step != step:
            return None
        processes = int(content.get("processes", 1))
        return Checkpoint(
            folder, progress, int(content["next_event"]), content["recipe_key"], content["fingerprint"], processes,
            str(content.get("data", "")),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def recipe_key(recipe: Recipe) -> str:
    """SHA-256 of all that decides a run's numbers; the name does not. Settings left at their defaults do not count, so that a run
    can be resumed by a later version whose recipes have more fields; a run folder's recipe spells out the defaults of its day."""
    content = recipe.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def checkpoint_bytes(tuned: Tuned) -> int:
    """Size of one checkpoint: the tuned weights, the best ones, and AdamW's two moments."""
    return 4 * sum(parameter.numel() * parameter.element_size() for _, parameter in tuned.parameters())
