"""Text generation: negative log-likelihood of the answers' tokens given everything before them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch

from workbench.data.conversations import Conversation, load_conversations
from workbench.errors import TrainingError
from workbench.recipe import MEASURED
from workbench.serving.generator import Generator, Sampling, answer_loss
from workbench.training.objective import Objective, digest_of
from workbench.training.text_metrics import loss_metrics, text_metrics

if TYPE_CHECKING:
    from workbench.methods import Attached
    from workbench.models.loading import LoadedModel
    from workbench.prompts.chat import Dialogue
    from workbench.recipe import Recipe

SHOWN_ROWS = 4


class GenerationObjective(Objective):
    """Answers only: questions, system words and everything that a chat template writes cost nothing."""

    metrics = MEASURED["generation"]

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.splits = load_conversations(recipe.data)
        self.notes = [*self.splits.notes, *_stopping_notes(recipe)]
        self.train_rows, self.validation_rows = len(self.splits.train), len(self.splits.validation)
        if not self.train_rows:
            raise TrainingError("There are no rows to train on.", fix="Lower data.split.validation or choose a file with more rows.")

    def bind(self, loaded: LoadedModel, attached: Attached) -> None:
        self.loaded = loaded
        self.generator = Generator(loaded, attached, self.recipe)
        self.generator.pace = self.pace
        self._train = [self._encode(row) for row in self.splits.train]
        self._validation = [self._encode(row) for row in self.splits.validation]
        self.lengths = [len(dialogue.input_ids) for dialogue in self._train]

    def loss(self, rows: list[int]) -> torch.Tensor:
        return answer_loss(self.loaded, [self._train[row] for row in rows])

    def digest(self) -> str:
        def plain(row: Conversation) -> list[Any]:
            return [row.system, row.fields, [turn.text for turn in row.turns]]

        return digest_of(chain(map(plain, self.splits.train), ["validation"], map(plain, self.splits.validation)))

    def rows_to_ask(self, most: int) -> list[dict[str, str]]:
        return [dict(row.fields) for row in (self.splits.validation or self.splits.train)[:most]]

    def weight(self, rows: list[int]) -> int:
        return sum(self._train[row].answer_tokens for row in rows)

    def evaluate(self, batch_size: int) -> dict[str, Any]:
        """Loss (nats a token) and perplexity over all validation rows, BLEU and ROUGE-L over the first few, answered greedily."""
        order = sorted(self._validation, key=lambda dialogue: len(dialogue.input_ids))
        total = self.group.summed(order, lambda share: self.generator.summed_loss(share, batch_size=batch_size))
        tokens = sum(dialogue.answer_tokens for dialogue in order)
        rows = self.splits.validation[: self.recipe.training.answered_rows]
        sampling = Sampling(max_new_tokens=self.recipe.prompt.max_new_tokens)

        def answers(share: Sequence[Conversation]) -> list[str]:
            fields, systems = [row.fields for row in share], [row.system for row in share]
            return self.generator.answers(fields, sampling, batch_size=batch_size, systems=systems)

        self._answers = self.group.texts(rows, answers)
        return loss_metrics(total, tokens) | text_metrics(self._answers, [row.turns[0].text for row in rows])

    def samples(self) -> list[dict[str, str]]:
        answers = self._answers[:SHOWN_ROWS]
        return [
            {"prompt": _question(row), "expected": row.turns[0].text, "answer": answer}
            for row, answer in zip(self.splits.validation[: len(answers)], answers, strict=True)
        ]

    def _encode(self, row: Conversation) -> Dialogue:
        self.pace.between()
        dialogue = self.generator.encoder.encode(row)
        if not dialogue.answer_tokens:
            raise TrainingError(f"Line {row.line} has no answer token left within prompt.max_length.", fix="Raise prompt.max_length.")
        return dialogue


def _stopping_notes(recipe: Recipe) -> list[str]:
    """Said where early stopping names a figure of classes, as its default does: recipes of before had no other choice."""
    stopping = recipe.training.early_stopping
    if stopping is None or stopping.metric == recipe.deciding:
        return []
    return [f"Early stopping looks at the {recipe.deciding}: a model that writes text has no {stopping.metric}."]


def _question(row: Conversation) -> str:
    return "\n".join(text for text in row.fields.values() if text.strip())
