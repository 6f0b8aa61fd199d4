"""Classification: negative log-likelihood of the true class under the prompt's class probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from workbench.data.dataset import load_splits
from workbench.errors import TrainingError
from workbench.serving.classifier import PromptClassifier
from workbench.training.metrics import classification_metrics
from workbench.training.objective import Objective

if TYPE_CHECKING:
    from workbench.methods import Attached
    from workbench.models.loading import LoadedModel
    from workbench.recipe import Recipe

SMALLEST_PROBABILITY = 1e-30


class ClassificationObjective(Objective):
    """One class per row, read at the template's mask."""

    metrics = ("accuracy", "macro_f1", "loss")

    def __init__(self, recipe: Recipe) -> None:
        self.prompt = recipe.prompt
        self.splits = load_splits(recipe.data)
        self.labels, self.notes = self.splits.labels, list(self.splits.notes)
        self.train_rows, self.validation_rows = len(self.splits.train), len(self.splits.validation)
        if not self.train_rows:
            raise TrainingError("There are no rows to train on.", fix="Lower data.split.validation or choose a file with more rows.")

    def bind(self, loaded: LoadedModel, attached: Attached) -> None:
        self.classifier = PromptClassifier(loaded, self.prompt, self.labels, attached)
        self._encoded = self.classifier.encode(self.splits.train.examples)
        self.lengths = [example.length for example in self._encoded]

    def loss(self, rows: list[int]) -> torch.Tensor:
        examples = [self._encoded[row] for row in rows]
        log_probabilities = self.classifier.log_probabilities(examples)
        labels = torch.tensor([example.label for example in examples], device=log_probabilities.device)
        return torch.nn.functional.nll_loss(log_probabilities.float(), labels, reduction="sum")

    def weight(self, rows: list[int]) -> int:
        return len(rows)

    def evaluate(self, batch_size: int) -> dict[str, Any]:
        examples = self.splits.validation.examples
        probabilities = self.classifier.predict(examples, batch_size=batch_size)
        labels = [self.labels.index(str(example.label)) for example in examples]
        return classification_metrics(probabilities.clamp_min(SMALLEST_PROBABILITY).log(), labels, self.labels)
