"""The board: four paradigms on the same rows, cell by cell (`workbench.paradigms`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from workbench.recipe import MOST_EPOCHS, Recipe
from workbench.runs.jobs import JobOptions, register_job, run_job

if TYPE_CHECKING:
    from workbench.paradigms.board import TestSet
    from workbench.paradigms.cells import Cell, Plan
    from workbench.runs.job import Job

ROWS = "rows"


class BoardOptions(JobOptions):
    """What a board compares and how much it may cost."""

    shots: list[Literal["all"] | int] = Field([0, 8, 32, 128, "all"], min_length=1, description="Training rows per class.")
    seeds: int = Field(3, ge=1, le=50, description="How many seeds; each draws rows, initial weights and batches anew.")
    paradigms: dict[str, list[str]] | None = Field(None, description="Paradigm -> methods; empty takes each paradigm's usual ones.")
    models: list[str] = Field(default_factory=list, max_length=8, description="Further language models to compare with the recipe's.")
    test: int = Field(400, ge=10, description="Rows held out to measure every cell on.")
    validation: int = Field(200, ge=0, description="Rows held out, per seed, to choose and to stop on.")
    rows_seen: int = Field(1500, ge=1, description="Training rows a language model goes through per cell, as far as the epochs allow.")
    least_epochs: float = Field(
        1.0, gt=0, le=MOST_EPOCHS, description="Epochs a language model trains at least; under 1 it sees a part of the rows."
    )
    most_epochs: float = Field(20.0, gt=0, le=MOST_EPOCHS, description="Epochs a language model trains at most, however few the rows.")
    evaluations: int = Field(4, ge=1, description="Looks at the validation rows while a language model trains.")
    keep_models: Literal["all", "first_seed"] = Field("all", description="Which cells can be opened afterwards.")


def check(recipe: Recipe, options: BoardOptions) -> None:
    """Refuses unknown paradigms and methods, a task without classes, and numbers of examples below nought."""
    from workbench.errors import RecipeError
    from workbench.models.loading import find_model
    from workbench.paradigms import find_paradigm

    if recipe.task != "classification":
        raise RecipeError("A board compares classifiers, and this recipe generates text.", fix="Choose a recipe with labels.")
    wrong = [number for number in options.shots if number != "all" and number < 0]
    if wrong:
        raise RecipeError(f"The board asks for {wrong[0]} examples per class.", fix="Give 0, a number above, or all.")
    for name, methods in methods_of(options).items():
        for method in methods:
            find_paradigm(name).check(recipe, method)
    for place in plan_of(recipe, options).models.values():
        find_model(place)


@register_job("board", BoardOptions, check)
def board(job: Job) -> dict[str, Any]:
    """The report over all cells (`board_report`), a table and the headline figures."""
    from workbench.paradigms.board import board_report, headline, table

    plan = plan_of(job.recipe, job.options)
    cells = plan.cells()
    job.plan(len(cells) + 1)
    rows = job.cell(ROWS, lambda folder: _set_aside(job, plan, folder), keep=True)
    test, outcomes = test_set(rows), []
    for cell in cells:
        keep = job.options.keep_models == "all" or cell.seed == plan.seeds[0]

        # Memory, or the hub, may be there now.
        job.forget(cell.name, lambda outcome: "refused" in outcome)

        def run(folder: Path, cell: Cell = cell) -> dict[str, Any]:
            return _run(job, plan, cell, rows, test, folder)

        outcomes.append(job.cell(cell.name, run, text=_text(cell), keep=keep))
    report = board_report(plan, test, outcomes)
    return {"metrics": headline(report), "table": table(report), "board": report}


def plan_of(recipe: Recipe, options: BoardOptions) -> Plan:
    """The options as the cells to run; seeds count up from the recipe's training seed.

    Raises:
        RecipeError: no method makes a cell at the numbers of examples asked for.
    """
    from workbench.errors import RecipeError
    from workbench.paradigms.cells import Plan, model_names

    shots = sorted({None if number == "all" else number for number in options.shots}, key=lambda number: (number is None, number or 0))
    seeds = tuple(recipe.training.seed + number for number in range(options.seeds))
    methods = {name: tuple(chosen) for name, chosen in methods_of(options).items()}
    # fmt: off
    plan = Plan(
        tuple(shots), seeds, methods, options.test, options.validation,
        options.rows_seen, options.least_epochs, options.most_epochs, options.evaluations,
        model_names(options.models, recipe.model.path),
    )
    # fmt: on
    if not plan.cells():
        raise RecipeError(
            "No method of this board can learn from these numbers of examples.", fix="Add 0 for zero-shot, or a number above."
        )
    return plan


def methods_of(options: BoardOptions) -> dict[str, list[str]]:
    """Paradigm -> methods, the usual ones where none are named."""
    from workbench.paradigms import find_paradigm, paradigm_names

    chosen = options.paradigms or {name: [] for name in paradigm_names()}
    return {name: methods or list(find_paradigm(name).methods) for name, methods in chosen.items()}


def test_set(rows: dict[str, Any]) -> TestSet:
    """The test rows that the cell `rows` set aside."""
    from workbench.paradigms.board import TestSet

    return TestSet(tuple(rows["labels"]), rows["test"], rows["notes"])


def seed_folder(folder: Path, seed: int) -> Path:
    """Where a seed's pool and validation files lie, from the folder of the cell `rows`."""
    return folder / f"seed-{seed}"


def _set_aside(job: Job, plan: Plan, folder: Path) -> dict[str, Any]:
    """Test rows into the cell, every seed's other rows into files."""
    from dataclasses import asdict

    from workbench.paradigms.split import board_rows, write_rows

    found = board_rows(job.recipe.data, plan.test)
    seeds = {}
    for seed in plan.seeds:
        seed_folder(folder, seed).mkdir(parents=True, exist_ok=True)
        seeds[str(seed)] = write_rows(found, seed_folder(folder, seed), validation=plan.validation, seed=seed)
    return {"labels": found.labels, "test": [asdict(example) for example in found.test], "notes": found.notes, "seeds": seeds}


def _run(job: Job, plan: Plan, cell: Cell, rows: dict[str, Any], test: TestSet, folder: Path) -> dict[str, Any]:
    from workbench.data.dataset import InputExample
    from workbench.paradigms.cells import run_cell, task_of
    from workbench.runs.job import JobStopped

    folder_of_rows = seed_folder(job.cell_folder(ROWS), cell.seed)
    task = task_of(cell, job.recipe, plan, folder_of_rows, rows["seeds"][str(cell.seed)], run_job, job.between)
    examples = [InputExample(**row) for row in test.rows]
    outcome = run_cell(cell, task, examples, folder, job.control, job.pool, lambda event: job.heard(event, _text(cell)))
    if outcome is None:
        raise JobStopped
    return outcome


def _text(cell: Cell) -> str:
    shots = "all rows" if cell.shots is None else f"{cell.shots} shots"
    return f"{cell.paradigm}/{cell.method}, {shots}, seed {cell.seed}"
