"""The one way a trained run answers: the page, the command line and an exported folder's predict.py all come through here."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workbench.data.dataset import InputExample
from workbench.models.transfer import untold
from workbench.prompts.soft import without_soft
from workbench.recipe import PromptPart, Recipe
from workbench.serving.batches import Pace
from workbench.serving.classifier import Between, PromptClassifier

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel
    from workbench.serving.tuned import Tuned


@dataclass(frozen=True)
class Prediction:
    """The answer for one example. Probabilities sum to 1 over the labels.

    Args:
        label: the most probable label.
        probabilities: label -> probability.
        label_words: label word -> its probability at the mask; empty unless asked for.
    """

    label: str
    probabilities: dict[str, float]
    label_words: dict[str, float] = field(default_factory=dict)


class Predictor:
    """Answers with one model, tuned or not. Owned by whoever made it; safe to call from several threads, one call at a time.

    Args:
        loaded: the model with its tuned weights already in place.
        tuned: what was tuned, restored or fitted; None for the base model of a recipe whose verbalizer takes nothing from rows.
        recipe: templates, verbalizer and length.
        labels: the labels in the order of the run's probabilities.
    """

    def __init__(self, loaded: LoadedModel, tuned: Tuned | None, recipe: Recipe, labels: tuple[str, ...]) -> None:
        self.loaded = loaded
        self.tuned = tuned
        self.recipe = recipe
        self.labels = tuple(labels)
        self._classifier = tuned.classifier if tuned is not None else PromptClassifier(loaded, untuned(recipe.prompt), self.labels)
        self._guard = threading.Lock()

    @property
    def pace(self) -> Pace:
        """How rows are read; whoever asks for many may change it."""
        return self._classifier.pace

    def probabilities(
        self, fields: Sequence[dict[str, str]], *, batch_size: int = 32, between: Between = untold
    ) -> list[list[float]]:
        """Class probabilities [N][C], C in the order of `labels`; `between` as in `PromptClassifier.predict`."""
        if not fields:
            return []
        with self._guard:
            return self._classifier.predict(_examples(fields), batch_size=batch_size, between=between).double().tolist()

    def predict(
        self, fields: Sequence[dict[str, str]], *, label_words: bool = True, batch_size: int = 32, between: Between = untold
    ) -> list[Prediction]:
        """One prediction per example, in the order given.

        Args:
            fields: template field -> text, one per example.
            label_words: also the probability of each label word, at the price of a second pass.
            between: as in `PromptClassifier.predict`, for the first pass.
        """
        rows = self.probabilities(fields, batch_size=batch_size, between=between)
        words: list[dict[str, float]] = [{} for _ in rows]
        if label_words and rows:
            with self._guard:
                words = self._classifier.label_word_probabilities(_examples(fields))
        return [
            Prediction(self.labels[max(range(len(row)), key=row.__getitem__)], dict(zip(self.labels, row, strict=True)), word)
            for row, word in zip(rows, words, strict=True)
        ]


def untuned(prompt: PromptPart) -> PromptPart:
    """The prompt for a model without a method: soft tokens give way to the words they start from, or to nothing."""
    return prompt.model_copy(update={"templates": [without_soft(source) for source in prompt.templates]})


def _examples(fields: Sequence[dict[str, str]]) -> list[InputExample]:
    return [InputExample(guid=str(number), fields=dict(row), label=None) for number, row in enumerate(fields)]
