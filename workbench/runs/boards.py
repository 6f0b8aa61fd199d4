"""A board's run folder, read at any time: the report over the cells that are done, and the model behind each of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.data.dataset import InputExample
from workbench.errors import RunError, WorkbenchError, nearest
from workbench.models.transfer import untold
from workbench.runs.jobs import job_options
from workbench.runs.jobs.board import ROWS, plan_of, seed_folder, test_set
from workbench.runs.ready import Ready

if TYPE_CHECKING:
    from workbench.models.pool import ModelPool
    from workbench.paradigms import Answerer
    from workbench.paradigms.cells import Cell, Plan
    from workbench.paradigms.paradigm import Why
    from workbench.recipe import Recipe
    from workbench.runs.service import RunService
    from workbench.runs.view import RunSummary
    from workbench.serving.classifier import Between
    from workbench.serving.predictor import Prediction, Predictor

MODELS_KEPT = 8
ROWS_AT_ONCE = 256


def read_board(recipe: Recipe, folder: Path) -> dict[str, Any] | None:
    """The report over the finished cells of a board's run folder; None before the rows are set aside."""
    from workbench.paradigms.board import board_report

    rows = _content(folder, ROWS)
    if rows is None:
        return None
    plan = plan_of(recipe, job_options(recipe))
    outcomes = [outcome for cell in plan.cells() if (outcome := _content(folder, cell.name)) is not None]
    return board_report(plan, test_set(rows), outcomes)


def board_of(service: RunService, run_id: str) -> dict[str, Any] | None:
    """`read_board` of a run.

    Raises:
        RunError: there is no such run, or it is no board.
    """
    run = service.read(run_id, 1 << 30)
    if run.kind != "board":
        raise RunError(f"Run {run_id} is not a board.", fix="Choose a run of that kind.")
    return read_board(run.recipe, service.store.folder(run_id))


def boards_to_ask(service: RunService, most: int) -> Iterator[tuple[RunSummary, list[Cell]]]:
    """The newest boards, each with those of its cells that `open_model` opens, at most `most` in all; a damaged one hides no other."""
    told = 0
    for run, recipe in service.readable(lambda run: run.kind == "board"):
        try:
            folder, plan = service.store.folder(run.id), plan_of(recipe, job_options(recipe))
        except WorkbenchError:  # its job is of another version
            continue
        cells = list(islice((cell for cell in plan.cells() if _can_be_opened(cell, folder)), most - told))
        told += len(cells)
        yield run, cells
        if told == most:
            return


def _can_be_opened(cell: Cell, folder: Path) -> bool:
    """Without reading what the cell holds where it was trained: a list of boards asks this of hundreds."""
    place = folder / "cells" / cell.name
    if cell.shots != 0:
        return (place / "cell.json").is_file() and (place / "final").is_dir()
    return "refused" not in (_content(folder, cell.name) or {"refused": True})


class CellModel:
    """The model behind a cell, asked as a run's predictor is. Owned by whoever asked `open_model`; answers from several threads.

    Args:
        answerer: the cell, opened.
        recipe: its board's, which names the fields and their columns.
    """

    def __init__(self, answerer: Answerer, recipe: Recipe) -> None:
        self.answerer, self.recipe, self.labels = answerer, recipe, tuple(answerer.labels)

    @property
    def predictor(self) -> Predictor | None:
        """What asks the language model in it; None where there is none."""
        return getattr(self.answerer, "predictor", None)

    def probabilities(self, fields: Sequence[dict[str, str]], *, batch_size: int = 32, between: Between = untold) -> list[list[float]]:
        """As `Predictor.probabilities`."""
        if self.predictor:
            return self.predictor.probabilities(fields, batch_size=batch_size, between=between)
        rows: list[list[float]] = []
        for start in range(0, len(fields), ROWS_AT_ONCE):
            between(start / len(fields))
            rows += self.answerer.probabilities(fields[start : start + ROWS_AT_ONCE], batch_size=batch_size)
        return rows

    def predict(self, fields: Sequence[dict[str, str]], *, label_words: bool = True, between: Between = untold) -> list[Prediction]:
        """As `Predictor.predict`; a model without a language model in it has no label words."""
        from workbench.serving.predictor import Prediction

        if self.predictor:
            return self.predictor.predict(fields, label_words=label_words, between=between)
        rows = (dict(zip(self.labels, row, strict=True)) for row in self.probabilities(fields, between=between))
        return [Prediction(max(shares, key=shares.__getitem__), shares) for shares in rows]

    def why(self, fields: dict[str, str], label: str) -> Why:
        """What spoke for `label`."""
        return self.answerer.why(fields, label)


def open_model(service: RunService, models: BoardModels, run_id: str, name: str) -> CellModel:
    """The model behind a cell of a run, kept open for the next question.

    Raises:
        RunError: there is no such run or cell, it is not done, or its model was not kept.
    """
    recipe = service.read(run_id, 1 << 30).recipe
    return CellModel(models.open(recipe, service.store.folder(run_id), name, service.pool), recipe)


@dataclass(frozen=True)
class Measured:
    """How a finished cell did: the labels it knows, and of each test row the row, the label it said and that one's probability."""

    labels: tuple[str, ...]
    rows: list[tuple[InputExample, str, float]]


def measured(service: RunService, run_id: str, name: str) -> Measured:
    """What a cell of a run said to the test rows.

    Raises:
        RunError: there is no such run or cell, or it is not done.
    """
    _, _, rows, outcome = _finished(service.read(run_id, 1 << 30).recipe, service.store.folder(run_id), name)
    examples = [InputExample(**row) for row in rows["test"]]
    return Measured(tuple(outcome["labels"]), list(zip(examples, outcome["predicted"], outcome["confidence"], strict=True)))


class BoardModels:
    """Opened cells of boards, the newest few kept. Owned by a `RunService`; safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: Ready[Answerer] = Ready(MODELS_KEPT)

    def open(self, recipe: Recipe, folder: Path, name: str, pool: ModelPool) -> Answerer:
        """As `open_cell`, or the one that was opened before."""
        return self._kept.get((folder, name), lambda: open_cell(recipe, folder, name, pool))

    def forget(self, folder: Path) -> None:
        """Drops those of the board in `folder`, which has gone; never waits for one that is being opened."""
        self._kept.forget(lambda name: name[0] == folder)

    def let_go(self) -> bool:
        """Drops all of them; whether there were any."""
        return self._kept.clear()


def open_cell(recipe: Recipe, folder: Path, name: str, pool: ModelPool) -> Answerer:
    """The model of the cell called `name`.

    Raises:
        RunError: there is no such cell, it is not done, or its model was not kept.
    """
    from workbench.paradigms import find_paradigm
    from workbench.paradigms.cells import task_of

    plan, cell, rows, _ = _finished(recipe, folder, name)
    place = folder / "cells" / name
    if cell.shots != 0 and not (place / "final").is_dir():
        raise RunError(f"The model of the cell '{name}' was not kept.", fix="Choose one of the first seed, or set keep_models to all.")
    task = task_of(cell, recipe, plan, seed_folder(folder / "cells" / ROWS, cell.seed), rows["seeds"][str(cell.seed)])
    return find_paradigm(cell.paradigm).open(task, place, pool)


def _finished(recipe: Recipe, folder: Path, name: str) -> tuple[Plan, Cell, dict[str, Any], dict[str, Any]]:
    """The board's plan, the cell called `name`, what its rows and what the cell hold.

    Raises:
        RunError: there is no such cell, it is not done, or it was refused.
    """
    plan = plan_of(recipe, job_options(recipe))
    cells = {cell.name: cell for cell in plan.cells()}
    rows, outcome = _content(folder, ROWS), _content(folder, name) if name in cells else None
    if name not in cells:
        raise RunError(f"The board has no cell '{name}'.", fix=nearest(name, cells))
    if rows is None or outcome is None:
        raise RunError(f"The cell '{name}' is not done yet.", fix="Wait for it, or let the board go on.")
    if "refused" in outcome:
        raise RunError(outcome["refused"]["message"], fix=outcome["refused"]["fix"])
    return plan, cells[name], rows, outcome


def _content(folder: Path, name: str) -> dict[str, Any] | None:
    """What a finished cell holds."""
    try:
        return json.loads((folder / "cells" / name / "cell.json").read_text(encoding="utf-8"))["content"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
