"""A language model tuned by a recipe as one cell: trained by the run's own trainer, answering through the run's own predictor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.data.dataset import InputExample
from workbench.paradigms.paradigm import Figures, OnEvent, Why
from workbench.paradigms.why import occlusion
from workbench.recipe import Recipe
from workbench.training.control import Control
from workbench.training.events import EventLog
from workbench.training.metrics import classification_metrics

if TYPE_CHECKING:
    import torch

    from workbench.models.pool import ModelPool
    from workbench.serving.predictor import Predictor

SMALLEST_PROBABILITY = 1e-30


class TunedText:
    """A predictor as an answerer. Owned by whoever opened it."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.labels = predictor.labels

    @classmethod
    def open(cls, recipe: Recipe, folder: Path, pool: ModelPool) -> TunedText:
        """The model that `fit_recipe` left in a folder.

        Raises:
            WorkbenchError: the folder's weights are missing, damaged or those of another model.
        """
        from workbench.methods import attach, check_method
        from workbench.serving.predictor import Predictor

        plan = next(event for event in EventLog(folder / "events.jsonl").read() if event["kind"] == "plan")
        loaded = pool.fresh(recipe.model)
        attached = attach(loaded, check_method(recipe.method), keep_original=False)
        attached.restore(folder / "final")
        return cls(Predictor(loaded, attached, recipe, tuple(plan["labels"])))

    @classmethod
    def untouched(cls, recipe: Recipe, labels: tuple[str, ...], pool: ModelPool) -> TunedText:
        """The model as it came, under the recipe's prompt."""
        from workbench.serving.predictor import Predictor

        return cls(Predictor(pool.get(recipe.model), None, recipe, labels))

    def probabilities(self, fields: Sequence[dict[str, str]], *, batch_size: int = 32) -> list[list[float]]:
        return self.predictor.probabilities(fields, batch_size=batch_size)

    def why(self, fields: dict[str, str], label: str) -> Why:
        return occlusion(self, fields, label)


def fit_recipe(recipe: Recipe, folder: Path, control: Control, pool: ModelPool, on_event: OnEvent | None) -> Figures | None:
    """Trains a recipe in the folder, or goes on where it was; None when it was stopped."""
    from workbench.training.trainer import train_run

    result = train_run(recipe.replace({"job": None}), folder, control, pool, on_event=on_event)
    if result["status"] != "finished":
        return None
    kept = result["metrics"] if result["metrics"].get("accuracy") is not None else None
    settings = {"steps": result["steps"], "best_step": result["best_step"], "method": recipe.method.get("name")}
    total = result["total_parameters"]
    return Figures(result["trainable_parameters"], total, _bits_per_parameter(recipe) * total // 8, kept, settings)


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
    return {name: metrics[name] for name in ("accuracy", "macro_f1", "loss")}


def weight_bytes(parameters: Iterable[torch.nn.Parameter]) -> int:
    """What parameters take in memory."""
    return sum(parameter.numel() * parameter.element_size() for parameter in parameters)


def _bits_per_parameter(recipe: Recipe) -> int:
    """Bits of a weight in memory under the recipe's quantization or number format."""
    bits = {"int8": 8, "nf4": 4, "fp4": 4}
    formats = {"float16": 16, "bfloat16": 16}
    return bits.get(recipe.model.quantization) or formats.get(recipe.model.dtype, 32)
