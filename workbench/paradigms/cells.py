"""The cells of a board: which paradigm, method, number of examples and seed; and one cell from training to its figures."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.data.dataset import InputExample
from workbench.errors import DiskError, ProcessLost, WorkbenchError
from workbench.models.transfer import untold
from workbench.paradigms.cost import cost_of, forget_cost
from workbench.paradigms.paradigm import Answerer, OnEvent, Task, Work, find_paradigm, paradigm_names, train_recipe
from workbench.paradigms.split import cell_data
from workbench.prompts.template import ending_at_mask
from workbench.recipe import Recipe
from workbench.training.control import Control

if TYPE_CHECKING:
    from workbench.models.pool import ModelPool

ALL = "all"
ON = "@"
MOST_NAME = 48
"""Characters of a further model's name; a cell's name, which is a folder's, takes a hundred in all."""
SMALL_BATCH, ROWS_FOR_SMALL_BATCHES = 8, 100
WARM_UP_ROWS = 4


def slug(text: str) -> str:
    """`text` as a name for a folder."""
    return re.sub(r"[^a-z0-9_.-]", "-", text.lower())


def model_names(places: Sequence[str], own: str) -> dict[str, str]:
    """name -> place of the language models that a board compares with the recipe's `own`: the last part of each place, cut where it is
    long and told apart by a number where two are called the same."""
    names: dict[str, str] = {}
    for place in dict.fromkeys(places):
        if place == own:
            continue
        last = re.split(r"[/\\:]", place.rstrip("/\\"))[-1].replace(ON, "-")[:MOST_NAME] or "model"
        taken, number, name = {slug(known) for known in names}, 1, last
        while slug(name) in taken:
            number += 1
            name = f"{last}-{number}"
        names[name] = place
    return names


@dataclass(frozen=True)
class Cell:
    """One model of a board. `shots` are rows per class, 0 for none, None for all; `method` is that of a further language model when it
    ends in @ and the model's name."""

    paradigm: str
    method: str
    shots: int | None
    seed: int

    @property
    def name(self) -> str:
        """A name for a folder."""
        shots = ALL if self.shots is None else self.shots
        return slug(f"{self.paradigm}-{self.method}-{shots}-{self.seed}")

    @property
    def tuning(self) -> str:
        """The paradigm's own method."""
        return self.method.partition(ON)[0]

    @property
    def model(self) -> str:
        """The name of its further language model; empty for the recipe's own."""
        return self.method.partition(ON)[2]


@dataclass(frozen=True)
class Plan:
    """What a board compares.

    Args:
        shots: training rows per class, 0 for none, None for all that are left.
        seeds: one board line each; they draw validation rows, training rows, initial weights and batches.
        methods: paradigm -> its methods.
        test, validation: rows held out, at most.
        rows_seen: training rows that a language model goes through in one cell, within `least_epochs` and `most_epochs`.
        evaluations: times that validation is looked at during such a training.
        models: name -> place of the language models beside the recipe's own.
    """

    shots: tuple[int | None, ...]
    seeds: tuple[int, ...]
    methods: dict[str, tuple[str, ...]]
    test: int
    validation: int
    rows_seen: int
    least_epochs: float
    most_epochs: float
    evaluations: int
    models: dict[str, str] = field(default_factory=dict)

    def lines(self, paradigm: str) -> list[str]:
        """The methods of a paradigm, each with every language model where it starts from one."""
        names = self.models if find_paradigm(paradigm).pretrained else ()
        return [line for method in self.methods[paradigm] for line in (method, *(f"{method}{ON}{name}" for name in names))]

    def cells(self) -> list[Cell]:
        """Every cell, seed by seed, so that whole curves are there after the first; a method that nothing random enters runs once."""
        found = []
        for number, seed in enumerate(self.seeds):
            for shots in self.shots:
                for name in (name for name in paradigm_names() if name in self.methods):
                    for method in self.lines(name):
                        cell, kind = Cell(name, method, shots, seed), find_paradigm(name)
                        if (number == 0 or kind.repeats(cell.tuning)) and shots in kind.shots(cell.tuning, self.shots):
                            found.append(cell)
        return found


def task_of(
    cell: Cell, recipe: Recipe, plan: Plan, rows: Path, pool_rows: dict[str, Any], work: Work = train_recipe,
    between: Callable[[], None] = untold,
) -> Task:
    """The task of a cell: the board's recipe over the cell's own rows, with as much training as the plan allows.

    Args:
        rows: folder with the pool and validation files of the cell's seed.
        pool_rows: what `write_rows` said about them.
        work: what trains a language model's recipe.
        between: as of the task.
    """
    data = cell_data(recipe.data, rows, shots=cell.shots or None, seed=cell.seed, validation=pool_rows["validation"])
    given = sum(min(size, cell.shots or size) for size in pool_rows["per_class"].values())
    training = recipe.training
    batch = min(training.batch_size, SMALL_BATCH) if given < ROWS_FOR_SMALL_BATCHES else training.batch_size
    epochs = min(plan.most_epochs, max(plan.least_epochs, plan.rows_seen / given))
    steps = math.ceil(epochs * math.ceil(given / batch))
    changes = {
        "name": cell.name,
        "data": data.model_dump(),
        "training": training.model_copy(update={"epochs": epochs, "batch_size": batch, "seed": cell.seed}).model_dump(),
        "job": None,
    }
    changes["training"]["evaluate_every"] = max(1, math.ceil(steps / plan.evaluations))
    notes = []
    if cell.model:
        place, templates = plan.models[cell.model], recipe.prompt.templates
        changes["model"] = recipe.model.model_copy(update={"path": place, "revision": None}).model_dump()
        asked = [ending_at_mask(template) for template in templates] if _is_causal(place) else templates
        if asked != templates:
            changes["prompt.templates"] = asked
            notes.append(f"{cell.model} reads only what comes before [MASK], so what stands behind it in the template was left out.")
    return Task(recipe.replace(changes), cell.tuning, zero_shot=cell.shots == 0, work=work, between=between, notes=tuple(notes))


def _is_causal(place: str) -> bool:
    """Whether this model reads from left to right; one that is not on this machine yet is taken as it comes."""
    from workbench.models.card import configuration_in
    from workbench.models.loading import find_model

    try:
        folder = find_model(place)
        return isinstance(folder, Path) and configuration_in(folder)[1] == "causal"
    except WorkbenchError:  # said when it is loaded
        return False


def run_cell(
    cell: Cell, task: Task, test: Sequence[InputExample], folder: Path, control: Control, pool: ModelPool, on_event: OnEvent | None = None
) -> dict[str, Any] | None:
    """Trains a cell and measures it on the test rows; None when it was stopped, `refused` with a sentence when it cannot be done.

    The test rows come in only once the model is trained, saved and opened again from its files: what is measured is what is kept.
    """
    kind = find_paradigm(cell.paradigm)
    try:
        kind.warm(task, pool)
        with cost_of(folder, control) as cost:
            figures = kind.fit(task, folder, control, pool, on_event)
        if figures is None:
            return None
        answers = ask(kind.open(task, folder, pool), test)
    except (ProcessLost, DiskError):
        raise  # nothing is wrong with the cell
    except WorkbenchError as error:
        forget_cost(folder)
        return {"cell": asdict(cell), "refused": {"message": error.message, "fix": error.fix}}
    return {
        "cell": asdict(cell),
        "rows": 0 if task.zero_shot else len(task.splits.train),
        "validation_rows": len(task.splits.validation),
        "labels": list(task.splits.labels),
        "notes": [*task.splits.notes, *task.notes],
        **{name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(cost).items()},
        **asdict(figures),
        **answers,
    }


def ask(answerer: Answerer, test: Sequence[InputExample]) -> dict[str, Any]:
    """The test rows' answers: the label said, its probability, and how long a row took, the first few rows left out of the time."""
    fields = [example.fields for example in test]
    answerer.probabilities(fields[:WARM_UP_ROWS])
    started = time.perf_counter()
    rows = answerer.probabilities(fields)
    milliseconds = (time.perf_counter() - started) * 1000 / len(fields)
    said = [max(range(len(row)), key=row.__getitem__) for row in rows]
    return {
        "predicted": [answerer.labels[number] for number in said],
        "confidence": [round(row[number], 4) for row, number in zip(rows, said, strict=True)],
        "milliseconds_per_row": round(milliseconds, 4),
    }
