"""Classification: negative log-likelihood of the true class under the prompt's class probabilities, or soft labels at a temperature;
with an auxiliary masked-word loss where the recipe asks for one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from workbench.data.streams import StreamSplits, splits_of
from workbench.errors import TrainingError
from workbench.prompts.verbalizers import check_verbalizer, verbalizer_class
from workbench.recipe import MEASURED
from workbench.serving import SMALLEST_PROBABILITY
from workbench.serving.classifier import PromptClassifier
from workbench.serving.reading import EncodedExample
from workbench.training.faults import plain_disk_errors
from workbench.training.kept_states import kept_states
from workbench.training.masked_words import MaskedWords
from workbench.training.metrics import classification_metrics
from workbench.training.objective import Objective, digest_of
from workbench.training.stored_rows import StoredRows, store_rows
from workbench.training.telling_rows import telling_rows

if TYPE_CHECKING:
    from workbench.data.dataset import InputExample
    from workbench.methods import Attached
    from workbench.models.loading import LoadedModel
    from workbench.recipe import Recipe

MOST_LM_ROWS = 1000
KEPT_NOTE = (
    "Nothing below the part that trains changes, so every row is read once, without dropout, and its states are kept "
    "(training.cache_features)."
)


class ClassificationObjective(Objective):
    """One class per row, read at the template's mask."""

    metrics = MEASURED["classification"]
    classifier: PromptClassifier

    def __init__(self, recipe: Recipe) -> None:
        self.prompt, self.training = recipe.prompt, recipe.training
        self.reads = verbalizer_class(check_verbalizer(recipe.prompt.verbalizer).kind).reads
        self.splits = splits_of(recipe.data)
        self._source: dict[str, Any] = {"data": recipe.data.model_dump(mode="json"), "prompt": recipe.prompt.model_dump(mode="json")}
        self.labels, self.notes = self.splits.labels, list(self.splits.notes)
        streamed = isinstance(self.splits, StreamSplits)
        self.train_rows = self.splits.rows if streamed else len(self.splits.train)
        self.validation_rows = len(self.splits.validation)
        if not self.train_rows:
            raise TrainingError("There are no rows to train on.", fix="Lower data.split.validation or choose a file with more rows.")

    def bind(self, loaded: LoadedModel, attached: Attached) -> None:
        self.classifier = PromptClassifier(loaded, self.prompt, self.labels, attached)
        self.classifier.pace = self.pace
        self.classifier.fit(self.splits.train.examples)
        self._validation = self.classifier.encode(self.splits.validation.examples)
        self._words = self._auxiliary(loaded) if self.training.lm_loss else None
        if isinstance(self.splits, StreamSplits):
            self._encoded: Sequence[EncodedExample] = self._stored(self.splits)
            return
        self._encoded = self.classifier.encode(self.splits.train.examples)
        self.lengths = [example.length for example in self._encoded]
        if self.training.cache_features == "auto":
            self.classifier.kept = kept_states(self.classifier, [*self._encoded, *self._validation], self.folder, self.group)
        if self.classifier.kept is not None:
            self.notes.append(KEPT_NOTE)

    def _stored(self, splits: StreamSplits) -> StoredRows:
        """The training rows of a large file, tokenized into the run's folder."""
        if self.folder is None:
            raise TrainingError("A file of this size is trained on in a run's folder only.", fix="Start it as a run.")
        file = Path(splits.stream.path).stat() if splits.stream is not None else None
        size = {"bytes": file.st_size, "changed": file.st_mtime_ns} if file is not None else {}
        folder, classifier, source = self.folder, self.classifier, {**self._source, **size}
        with plain_disk_errors():
            stored = self.group.first(lambda: store_rows(folder, classifier, splits.training_rows(), source))
        self.lengths = stored.lengths
        return stored

    def loss(self, rows: list[int]) -> torch.Tensor:
        examples = [self._encoded[row] for row in rows]
        if self.classifier.has_auxiliary_loss:
            log_probabilities, more = self.classifier.loss_terms(examples)
            loss = class_loss(log_probabilities, examples, self.training.temperature) + len(rows) * more
        else:
            loss = class_loss(self.classifier.log_probabilities(examples), examples, self.training.temperature)
        if self._words is None:
            return loss
        # L = (1 - alpha) L_CE + alpha L_MLM (Schick & Schuetze 2021, equation 3), both means over rows, summed here.
        alpha = self.training.lm_loss
        return (1 - alpha) * loss + alpha * len(rows) * self._words.loss(len(rows))

    def _auxiliary(self, loaded: LoadedModel) -> MaskedWords:
        if loaded.kind != "masked":
            raise TrainingError("The auxiliary masked-word loss needs a masked model.", fix="Set training.lm_loss to 0.")
        rows = self.splits.pool(MOST_LM_ROWS, self.training.seed)
        if not rows:
            raise TrainingError(
                "There are no unlabelled rows for the auxiliary masked-word loss.", fix="Set data.unlabeled or data.split.shots."
            )
        return MaskedWords(self.classifier, self.classifier.encode(rows))

    def digest(self) -> str:
        stored = isinstance(self._encoded, StoredRows)
        train = [self._encoded.content_hash()] if stored else map(_plain, self.splits.train.examples)
        return digest_of(chain(train, ["validation"], map(_plain, self.splits.validation.examples)))

    def rows_to_ask(self, most: int) -> list[dict[str, str]]:
        return [dict(row.fields) for row in (self.splits.validation.examples or self.splits.train.examples)[:most]]

    def weight(self, rows: list[int]) -> int:
        return len(rows)

    def evaluate(self, batch_size: int) -> dict[str, Any]:
        self.classifier.weights_changed()
        predict = partial(self.classifier.predict_encoded, batch_size=batch_size)
        probabilities = self.group.rows(self._validation, predict)
        labels = [self.labels.index(str(example.label)) for example in self.splits.validation.examples]
        self._log_probabilities = probabilities.clamp_min(SMALLEST_PROBABILITY).log()
        return classification_metrics(self._log_probabilities, labels, self.labels)

    def telling_rows(self) -> list[dict[str, Any]]:
        return telling_rows(self._log_probabilities, self.splits.validation.examples, self.labels)


def _plain(row: InputExample) -> list[Any]:
    return [row.fields, row.label, row.probabilities]


def class_loss(log_probabilities: torch.Tensor, examples: Sequence[EncodedExample], temperature: float = 1.0) -> torch.Tensor:
    """Summed over the rows, a scalar: soft-label loss for rows that carry class probabilities, negative log-likelihood for the others.

    Args:
        log_probabilities: [B, C].
        temperature: of the soft labels.
    """
    scores = log_probabilities.float()
    soft = [i for i, example in enumerate(examples) if example.target is not None]
    hard = [i for i, example in enumerate(examples) if example.target is None]
    total = scores.new_zeros(())
    if hard:
        labels = torch.tensor([examples[i].label for i in hard], device=scores.device)
        total = total + torch.nn.functional.nll_loss(scores[hard], labels, reduction="sum")
    if soft:
        targets = torch.tensor([examples[i].target for i in soft], device=scores.device)
        total = total + soft_label_loss(scores[soft], targets, temperature)
    return total


def soft_label_loss(log_probabilities: torch.Tensor, targets: torch.Tensor, temperature: float) -> torch.Tensor:
    """T^2 times the Kullback-Leibler divergence from the student at temperature T to the soft labels (Hinton et al. 2015, section 2;
    Schick & Schuetze 2021, section 3.2, step 3), summed over the rows.

    Args:
        log_probabilities: [B, C] of the student at temperature 1; logits that differ by a constant per row give the same.
        targets: [B, C] soft labels, already at temperature T.
    """
    student = torch.log_softmax(log_probabilities / temperature, dim=-1)
    return torch.nn.functional.kl_div(student, targets, reduction="sum") * temperature**2
