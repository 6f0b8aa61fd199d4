"""What a run teaches: where its rows come from, the loss of a batch, and what an evaluation measures.

    make_objective(recipe)            reads and splits the data, before any model is loaded
      .bind(loaded, attached)         encodes the rows for this very model and method; fits a verbalizer that learns from rows
      .loss(rows), .weight(rows)      summed loss, and how many things the sum runs over
      .evaluate(batch_size)           figures of the validation rows
      .digest()                       which rows they are, so that a run does not go on over others
      .rows_to_ask(most)              a few rows that the trained model can be asked about
      .samples()                      answers to show while training; empty where there is nothing to read
      .telling_rows()                 the validation rows that tell most about the last evaluation; empty where there are no classes

One file per task; the trainer and the stepper know nothing else about it.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from workbench.serving.batches import Pace
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
        pace: how rows are read outside of steps; taken over by `bind`.
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
    pace: Pace = Pace()
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

    @abstractmethod
    def digest(self) -> str:
        """SHA-256 of the training and validation rows, whatever file they came from; after `bind`."""

    @abstractmethod
    def rows_to_ask(self, most: int) -> list[dict[str, str]]:
        """The fields of the first validation rows, or of training rows where there are none."""

    def samples(self) -> list[dict[str, str]]:
        """A few validation rows answered by the model as it stands: prompt, expected, answer."""
        return []

    def telling_rows(self) -> list[dict[str, Any]]:
        """A few validation rows of the last evaluation, as `workbench.training.telling_rows` chooses them."""
        return []


def digest_of(rows: Iterable[object]) -> str:
    """SHA-256 of rows of plain values, in their order."""
    sha = hashlib.sha256()
    for row in rows:
        sha.update(json.dumps(row, ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogatepass") + b"\n")
    return sha.hexdigest()


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
