"""A board's run folder, read at any time: the report over the cells that are done, and the model behind each of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import RunError, WorkbenchError, nearest
from workbench.runs.jobs import job_options
from workbench.runs.jobs.board import ROWS, plan_of, seed_folder, test_set
from workbench.runs.ready import Ready

if TYPE_CHECKING:
    from workbench.models.pool import ModelPool
    from workbench.paradigms import Answerer
    from workbench.recipe import Recipe
    from workbench.runs.service import RunService
    from workbench.runs.view import RunSummary

MODELS_KEPT = 8


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


def readable_boards(service: RunService, most: int) -> Iterator[tuple[RunSummary, dict[str, Any]]]:
    """The newest `most` boards of which there is a report, with it; a damaged one hides no other."""
    for run, recipe in islice(service.readable(lambda run: run.kind == "board"), most):
        try:
            report = read_board(recipe, service.store.folder(run.id))
        except WorkbenchError:  # its job is of another version
            continue
        if report is not None:
            yield run, report


def open_model(service: RunService, models: BoardModels, run_id: str, name: str) -> Answerer:
    """The model behind a cell of a run, kept open for the next question.

    Raises:
        RunError: there is no such run or cell, it is not done, or its model was not kept.
    """
    recipe = service.read(run_id, 1 << 30).recipe
    return models.open(recipe, service.store.folder(run_id), name, service.pool)


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

    plan = plan_of(recipe, job_options(recipe))
    cells = {cell.name: cell for cell in plan.cells()}
    rows, outcome = _content(folder, ROWS), _content(folder, name) if name in cells else None
    if name not in cells:
        raise RunError(f"The board has no cell '{name}'.", fix=nearest(name, cells))
    if rows is None or outcome is None:
        raise RunError(f"The cell '{name}' is not done yet.", fix="Wait for it, or let the board go on.")
    if "refused" in outcome:
        raise RunError(outcome["refused"]["message"], fix=outcome["refused"]["fix"])
    cell, place = cells[name], folder / "cells" / name
    if cell.shots != 0 and not (place / "final").is_dir():
        raise RunError(f"The model of the cell '{name}' was not kept.", fix="Choose one of the first seed, or set keep_models to all.")
    task = task_of(cell, recipe, plan, seed_folder(folder / "cells" / ROWS, cell.seed), rows["seeds"][str(cell.seed)])
    return find_paradigm(cell.paradigm).open(task, place, pool)


def _content(folder: Path, name: str) -> dict[str, Any] | None:
    """What a finished cell holds."""
    try:
        return json.loads((folder / "cells" / name / "cell.json").read_text(encoding="utf-8"))["content"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
