"""What a run teaches: where its rows come from, the loss of a batch, and what an evaluation measures.

    make_objective(recipe)            reads and splits the data, before any model is loaded
      .bind(loaded, attached)         encodes the rows for this very model and method; fits a verbalizer that learns from rows
      .loss(rows), .weight(rows)      summed loss, and how many things the sum runs over
      .evaluate(batch_size)           figures of the validation rows
      .samples()                      answers to show while training; empty where there is nothing to read

One file per task; the trainer and the stepper know nothing else about it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from workbench.training.processes import Alone

if TYPE_CHECKING:
    from workbench.methods import Attached
    from workbench.models.loading import LoadedModel
    from workbench.prompts.verbalizers.verbalizer import Reads
    from workbench.recipe import Recipe
    from workbench.serving.classifier import PromptClassifier


class Objective(ABC):
    """Owned by one trainer, used by one thread.

    Attributes:
        metrics: names of the single figures that an evaluation gives; the first says which evaluation is best.
        labels: the classes, or none.
        notes: sentences for the person about the data.
        reads: how far into the model the loss reaches; see `Attached`.
        lengths: tokens per training row, for batches of similar length; set by `bind`.
        folder: the run's, for files that are too large for memory; None keeps everything in memory.
        group: the processes that train together.
        classifier: where a verbalizer may have parameters of its own; set by `bind`, None for tasks without classes.
    """

    metrics: ClassVar[tuple[str, ...]]
    labels: tuple[str, ...] = ()
    notes: list[str]
    train_rows: int
    validation_rows: int
    reads: Reads = "words"
    lengths: Sequence[int] | np.ndarray
    folder: Path | None = None
    group: Alone = Alone()
    classifier: PromptClassifier | None = None

    @abstractmethod
    def bind(self, loaded: LoadedModel, attached: Attached) -> None:
        """Encodes all rows for a model with its method attached.

        Raises:
            WorkbenchError: a prompt that this model cannot read.
        """

    @abstractmethod
    def loss(self, rows: list[int]) -> torch.Tensor:
        """Summed negative log-likelihood (nats) of training rows, a scalar with gradients."""

    @abstractmethod
    def weight(self, rows: list[int]) -> int:
        """How many terms `loss` sums over these rows: rows for classes, answer tokens for text."""

    @abstractmethod
    def evaluate(self, batch_size: int) -> dict[str, Any]:
        """Figures of the validation rows, ready for JSON; at least those named in `metrics`."""

    def samples(self) -> list[dict[str, str]]:
        """A few validation rows answered by the model as it stands: prompt, expected, answer."""
        return []


def make_objective(recipe: Recipe) -> Objective:
    """The objective of a recipe's task, with its data read and split.

    Raises:
        DataError, TrainingError: unreadable data, or no rows to train on.
    """
    if recipe.task == "generation":
        from workbench.training.generation import GenerationObjective

        return GenerationObjective(recipe)
    from workbench.training.classification import ClassificationObjective

    return ClassificationObjective(recipe)
