"""Training from Python, for scripts and notebooks: `from workbench import Recipe, train`.

    run = train("en-sentiment-lora")                     # a preset, a YAML file, a mapping or a Recipe
    print(run.metrics["accuracy"], run.predict(["A moving film."])[0].label)
    run.export("folder")                                 # answers without the workbench's page
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import RunError
from workbench.recipe import Recipe, anchor, load_recipe, recipe_from
from workbench.runs.record import UNFINISHED
from workbench.runs.trackers import NONE
from workbench.settings import default_data_root

if TYPE_CHECKING:
    from workbench.runs.proof import Form
    from workbench.runs.service import RunService
    from workbench.serving.predictor import Prediction

SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True)
class TrainedRun:
    """A run that has ended, by its id; the page and the command line see the same one.

    Args:
        root: the folder of runs it lies in.
        metrics: single figures on the validation rows.
        result: everything that the command line prints.
    """

    id: str
    root: Path
    metrics: dict[str, float]
    result: dict[str, Any]

    def predict(self, texts: Sequence[str | dict[str, str]]) -> list[Prediction]:
        """The tuned model's answers to texts, or to mappings of field -> text where the template has several fields."""
        with closing(_service(self.root, writable=False)) as service:
            predictor = service.predictor(self.id)
            names = [name for name in predictor.recipe.data.columns if name != "label"]
            return predictor.predict([text if isinstance(text, dict) else {names[0]: text} for text in texts])

    def write(self, texts: Sequence[str | dict[str, str]], *, max_new_tokens: int | None = None) -> list[str]:
        """What the tuned model of a run with task: generation writes, the most probable token each time.

        Args:
            max_new_tokens: of one answer; left out, the recipe's.

        Raises:
            RunError: the run chooses between classes.
        """
        from workbench.serving.generator import Sampling

        with closing(_service(self.root, writable=False)) as service:
            generator = service.generator(self.id)
            rows = [text if isinstance(text, dict) else {generator.fields[0]: text} for text in texts]
            return generator.answers(rows, Sampling(max_new_tokens=max_new_tokens or generator.recipe.prompt.max_new_tokens))

    def evaluate(self, data: str | Path) -> dict[str, Any]:
        """As the command `evaluate`: the figures of a file with labels, or with answers where the run writes text."""
        from workbench.runs.files import answering, evaluate_file

        with closing(_service(self.root, writable=False)) as service:
            return evaluate_file(answering(service, self.id), data)

    def predict_file(self, data: str | Path, out: str | Path) -> dict[str, Any]:
        """As the command `predict`: the file with predictions, or with answers, in columns beside what it holds."""
        from workbench.runs.files import answering, predict_file

        with closing(_service(self.root, writable=False)) as service:
            return predict_file(answering(service, self.id), data, out)

    def export(self, to: str | Path, *, form: Form = "folder") -> dict[str, Any]:
        """As the command `export`: a folder that answers by itself, compared before it is there."""
        from workbench.runs.export import export_run

        with closing(_service(self.root, writable=False)) as service:
            return export_run(service, self.id, to, form)


def train(
    recipe: Recipe | dict[str, Any] | str | Path,
    *,
    runs: str | Path | None = None,
    set: dict[str, Any] | None = None,
    tracker: str = NONE,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> TrainedRun:
    """Trains a recipe to its end and gives what came of it; an interrupt stops it after its step, with a checkpoint.

    Args:
        recipe: a Recipe, its mapping, a YAML file, or the name of a preset.
        runs: the folder of runs; left out, the one that page and command line use.
        set: dotted fields to set, such as {"training.seed": 1}.
        tracker: also write the figures there: tensorboard, trackio, mlflow, wandb or wandb-online.
        on_event: called with every event of the run, as `events.jsonl` holds them.

    Raises:
        WorkbenchError: the recipe cannot be trained, or the run failed; the sentence says why.
    """
    wanted = _recipe(recipe, set or {})
    with closing(_service(Path(runs) if runs else default_data_root(), writable=True)) as service:
        run_id = service.submit(wanted, tracker=tracker)
        since, status = 0, "queued"
        with ExitStack() as undo:
            undo.callback(_stop, service, run_id)
            while status in UNFINISHED:
                status = service.wait(run_id, SECONDS_BETWEEN_LOOKS).status
                view = service.read(run_id, since)
                since = view.next
                for event in view.events:
                    if on_event is not None:
                        on_event(event)
            undo.pop_all()
        view = service.read(run_id)
        if view.status == "failed":
            error = view.error or {}
            raise RunError(str(error.get("message", f"Run {run_id} failed.")), fix=str(error.get("fix", "")))
        return TrainedRun(run_id, service.root, dict(view.metrics), service.result(run_id))


def _stop(service: RunService, run_id: str) -> None:
    service.stop(run_id)
    service.wait(run_id)


def _recipe(recipe: Recipe | dict[str, Any] | str | Path, changes: dict[str, Any]) -> Recipe:
    if isinstance(recipe, (str, Path)):
        return load_recipe(recipe, changes)
    given = recipe if isinstance(recipe, Recipe) else recipe_from(recipe, source="recipe")
    return anchor(given.replace(changes), Path.cwd())


def _service(root: Path, *, writable: bool) -> RunService:
    from workbench.runs.service import RunService

    return RunService(root.expanduser(), writable=writable, adopt_queue=False)
