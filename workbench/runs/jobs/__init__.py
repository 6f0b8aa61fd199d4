"""Jobs: what a run can do beside training one recipe. One file per kind, registered by its decorator; nothing else is edited.

    class BoardOptions(JobOptions):                     pydantic; unknown options are answered with the nearest known one
        shots: list[int] = [0, 8, 16]

    @register_job("board", BoardOptions)
    def board(job: Job) -> dict[str, Any]:
        job.plan(len(job.options.shots))                how many cells there are
        for shots in job.options.shots:
            job.cell(f"shots-{shots}", lambda folder: {"accuracy": measure(shots, folder)})
        return {"metrics": {"accuracy": ...}, "table": {"columns": [...], "rows": [[...], ...]}}

**Asking for one.** A recipe with `job: {kind: board, shots: [0, 8]}` is a board wherever it goes: `service.submit(recipe)`, the
page's queue, `train RECIPE` on the command line, the rebuilt index. The keys beside `kind` are the kind's options, checked before the
run is made. A recipe with a `pet` part is a run of kind `pet`. Anything else is of kind `train`. Queue, events.jsonl, pause, stop,
resume, interruption, deletion and idempotency keys are those of every run.

**Working.** The function gets a `Job` (runs/job.py): recipe, options, folder, control, pool, and these ways to work.

- `job.cell(name, make)` returns what `make(folder)` returned (JSON), the first time by calling it in `cells/NAME/`, ever after from
  `cells/NAME/cell.json`, also after a stop, a kill or a resume. So everything a job does stands in cells whose content depends on
  the recipe alone; what is between them has to be cheap and is done again.
- `job.train(name, recipe, then)` is a cell that trains a recipe by `train_run` with the job's control, so that pause and stop reach its
  steps; a killed training goes on from its checkpoints. `then(folder, result)` gives the cell's content while the weights are there.
- `job.run(name, recipe, then)` is a cell that does what any recipe asks for, also another job.
- `job.halt()` between the pieces of a long cell: waits while paused, ends the job when stop was asked for. `job.say(text)` for progress.

**Answering.** The returned object becomes result.json with `status`, `kind`, `seconds` (of all cells) added. `metrics` (accuracy,
macro_f1, loss) is the figure in the list of runs, or left out. `table` is drawn by the page and printed by the command line:
`columns` names, `rows` of text, numbers (shares between 0 and 1 under a column whose name starts with accuracy or macro_f1) or null.
The page shows column names and a row's first cell in its language where text/*.yaml has `jobs.words.NAME`. `cards` (plain
prompt cards) land in the prompt lab of whoever started the job. A kind that leaves weights writes them to `final/` with `write_folder`,
and the recipe under which they answer to `answer.yaml` when that is not the run's own.

**Events**, beside `status`, `note` and `error`: `plan` {total_steps: cells}, `progress` {done, total, seconds_left, text}.

A kind's module is imported to check a recipe, so it imports torch and models inside its functions.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from workbench.errors import RecipeError, nearest
from workbench.options import mistakes_of
from workbench.recipe import Recipe

if TYPE_CHECKING:
    from workbench.models.pool import ModelPool
    from workbench.runs.job import Job
    from workbench.training.control import Control

__all__ = ["JobOptions", "check_job", "job_kinds", "job_options", "register_job", "run_job"]

TRAIN = "train"
RESULT = "result.json"
OnEvent = Callable[[dict[str, Any]], None]
Work = Callable[["Job"], dict[str, Any]]
_W = TypeVar("_W", bound=Work)


class JobOptions(BaseModel):
    """What a person may ask of a job; the keys beside `kind` in a recipe's `job`."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


@dataclass(frozen=True)
class _Kind:
    work: Work
    options: type[BaseModel]
    check: Callable[[Recipe, Any], None] | None


_KINDS: dict[str, _Kind] = {}


def register_job(kind: str, options: type[BaseModel], check: Callable[[Recipe, Any], None] | None = None) -> Callable[[_W], _W]:
    """Decorator that makes a function the job of this kind; a second one of the same name is refused at import.

    Args:
        options: checked options; for `pet` the recipe's part of that name.
        check: refuses, with a WorkbenchError, a recipe that this job cannot work on, without loading its model.
    """

    def register(work: _W) -> _W:
        known = _KINDS.get(kind)
        if kind == TRAIN or (known is not None and known.work.__module__ != work.__module__):
            raise ValueError(f"job '{kind}' is registered twice")
        _KINDS[kind] = _Kind(work, options, check)
        return work

    return register


def job_kinds() -> list[str]:
    """Names of all kinds beside train, sorted."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return sorted(_KINDS)


def check_job(recipe: Recipe) -> Any:
    """The options of the recipe's job; None when it only trains.

    Raises:
        WorkbenchError: an unknown kind, an unknown option or one out of bounds, or what the kind itself refuses.
    """
    options = job_options(recipe)
    check = None if recipe.kind == TRAIN else _entry(recipe.kind).check
    if check is not None:
        check(recipe, options)
    return options


def job_options(recipe: Recipe) -> Any:
    """The options of the recipe's job, whether it can be worked on now or not; None when it only trains.

    Raises:
        WorkbenchError: an unknown kind, an unknown option or one out of bounds.
    """
    return None if recipe.kind == TRAIN else _options(_entry(recipe.kind), recipe)


def run_job(recipe: Recipe, folder: Path, control: Control, pool: ModelPool, *, on_event: OnEvent | None = None) -> dict[str, Any]:
    """Does what a recipe asks for in a run folder, or goes on with it; a finished run answers and does nothing.

    Args, returns and raises as `train_run`, which is what it comes to for a recipe without a job. A job's result has `kind` and what
    its function returned instead of a training's figures.
    """
    if recipe.kind == TRAIN:
        from workbench.training.trainer import train_run

        return train_run(recipe, folder, control, pool, on_event=on_event)
    from workbench.runs.job import Job

    entry, folder = _entry(recipe.kind), Path(folder)
    finished = _finished(folder)
    if finished is not None:
        return finished
    return Job(recipe, _options(entry, recipe), folder, control, pool, on_event).work(entry.work)


def _entry(kind: str) -> _Kind:
    known = job_kinds()
    if kind not in _KINDS:
        raise RecipeError(f"There is no job of kind '{kind}'.", fix=nearest(kind, [*known, TRAIN]))
    return _KINDS[kind]


def _options(entry: _Kind, recipe: Recipe) -> Any:
    if recipe.job is None:
        return getattr(recipe, recipe.kind)
    given = {key: value for key, value in recipe.job.items() if key != "kind"}
    try:
        return entry.options.model_validate(given)
    except ValidationError as error:
        mistakes = mistakes_of(error, entry.options, tagged=False)
        raise RecipeError(f"Job '{recipe.kind}': {' '.join(mistakes)}", fix="Correct these options and try again.") from None


def _finished(folder: Path) -> dict[str, Any] | None:
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return result if isinstance(result, dict) and result.get("status") == "finished" else None
