"""A language model tuned by a recipe as one cell: trained by the run's own trainer, answering through the run's own predictor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from workbench.data.dataset import InputExample
from workbench.errors import MethodError
from workbench.models.transfer import untold
from workbench.paradigms.paradigm import Figures, OnEvent, Task, Why
from workbench.paradigms.why import occlusion
from workbench.recipe import MEASURED, Recipe, recipe_from
from workbench.serving import SMALLEST_PROBABILITY
from workbench.training.control import Control
from workbench.training.metrics import classification_metrics

if TYPE_CHECKING:
    from workbench.models.pool import ModelPool
    from workbench.serving.predictor import Predictor

ANSWER = "answer.yaml"
_WARM: set[tuple[str, str | None, str]] = set()
"""Models and methods that were set up in this process."""


class TunedText:
    """A predictor as an answerer. Owned by whoever opened it; `between` as of a task."""

    def __init__(self, predictor: Predictor, between: Callable[[], None] = untold) -> None:
        self.predictor = predictor
        predictor.pace.between = between
        self.labels = predictor.labels

    @classmethod
    def open(
        cls, recipe: Recipe, labels: tuple[str, ...], folder: Path, pool: ModelPool, between: Callable[[], None] = untold
    ) -> TunedText:
        """The model that `fit_recipe` left in a folder.

        Raises:
            WorkbenchError: the folder's weights are missing, damaged or those of another model.
        """
        from workbench.serving.predictor import Predictor
        from workbench.serving.tuned import tune

        answer = folder / ANSWER
        if answer.is_file():
            recipe = recipe_from(yaml.safe_load(answer.read_text(encoding="utf-8")), source=ANSWER)
        tuned = tune(pool.fresh(recipe.model), recipe, labels)
        tuned.restore(folder / "final")
        return cls(Predictor(tuned.loaded, tuned, recipe, labels), between)

    @classmethod
    def untouched(cls, recipe: Recipe, labels: tuple[str, ...], pool: ModelPool, between: Callable[[], None] = untold) -> TunedText:
        """The model as it came, under the recipe's prompt.

        Raises:
            MethodError: the verbalizer takes something from training rows, and zero-shot has none.
        """
        from workbench.serving.predictor import Predictor
        from workbench.serving.tuned import tune

        tuned = tune(pool.get(recipe.model), recipe, labels, method=False)
        if tuned.needs_fit:
            raise MethodError("This verbalizer needs training rows, and zero-shot has none.", fix="Write label words by hand.")
        return cls(Predictor(tuned.loaded, tuned, recipe, labels), between)

    def probabilities(self, fields: Sequence[dict[str, str]], *, batch_size: int = 32) -> list[list[float]]:
        """Class probabilities [N][C], in the order of `labels`."""
        return self.predictor.probabilities(fields, batch_size=batch_size)

    def why(self, fields: dict[str, str], label: str) -> Why:
        """What changes for `label` when a word is hidden."""
        return occlusion(self, fields, label)


def warm_recipe(recipe: Recipe, labels: tuple[str, ...], pool: ModelPool) -> None:
    """Imports what training the recipe takes, and reads its model once; what was loaded goes again."""
    key = (recipe.model.path, recipe.model.revision, str(recipe.method.get("name")))
    if key in _WARM:
        return
    from workbench.serving.tuned import tune
    from workbench.training.optim import build_optimizer

    tuned = tune(pool.fresh(recipe.model), recipe, labels)
    build_optimizer(tuned.parameters(), learning_rate=0.1, weight_decay=0.0)
    tuned.detach()
    _WARM.add(key)


def fit_recipe(
    task: Task, recipe: Recipe, folder: Path, control: Control, pool: ModelPool, on_event: OnEvent | None
) -> Figures | None:
    """Does a recipe's work in the folder, or goes on where it was; None when it was stopped."""
    result = task.work(recipe, folder, control, pool, on_event=on_event)
    if result["status"] != "finished":
        return None
    metrics = result.get("metrics") or {}
    kept = {name: metrics[name] for name in MEASURED["classification"]} if metrics.get("accuracy") is not None else None
    settings = {name: result[name] for name in ("steps", "best_step") if name in result} | {"method": recipe.method.get("name")}
    if "model_bytes" in result:
        trainable, total, size = (result[name] for name in ("trainable_parameters", "total_parameters", "model_bytes"))
    else:
        tuned = TunedText.open(recipe, task.splits.labels, folder, pool).predictor.tuned
        trainable, total, size = tuned.trainable_parameters, tuned.total_parameters, tuned.model_bytes
    return Figures(trainable, total, size, kept, settings)


def method_options(recipe: Recipe, method: str) -> dict[str, Any]:
    """The recipe's own options for this method, or the method's defaults when the recipe names another."""
    return recipe.method if recipe.method.get("name") == method else {"name": method}


def validation_figures(answerer: TunedText, examples: Sequence[InputExample]) -> dict[str, float] | None:
    """Accuracy, macro_f1 and loss on the validation rows; None without any."""
    import numpy as np

    if not examples:
        return None
    rows = np.array(answerer.probabilities([example.fields for example in examples]))
    numbers = [answerer.labels.index(str(example.label)) for example in examples]
    metrics = classification_metrics(np.log(np.maximum(rows, SMALLEST_PROBABILITY)), numbers, answerer.labels)
    return {name: metrics[name] for name in MEASURED["classification"]}
