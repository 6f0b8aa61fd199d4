"""Text generation: negative log-likelihood of the answers' tokens given everything before them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from workbench.data.conversations import Conversation, load_conversations
from workbench.errors import TrainingError
from workbench.models.mode import evaluating
from workbench.models.next_token import next_token_loss
from workbench.prompts.chat import IGNORED, Dialogue
from workbench.serving.generator import Generator, Sampling
from workbench.training.objective import Objective
from workbench.training.text_metrics import text_metrics

if TYPE_CHECKING:
    from workbench.methods import Attached
    from workbench.models.loading import LoadedModel
    from workbench.recipe import Recipe

ANSWERED_ROWS = 16  # validation rows that are answered for BLEU and ROUGE at each evaluation
SHOWN_ROWS = 4


class GenerationObjective(Objective):
    """Answers only: questions, system words and everything that a chat template writes cost nothing."""

    metrics = ("loss", "perplexity", "bleu", "rouge_l")

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.splits = load_conversations(recipe.data)
        self.notes = list(self.splits.notes)
        self.train_rows, self.validation_rows = len(self.splits.train), len(self.splits.validation)
        if not self.train_rows:
            raise TrainingError("There are no rows to train on.", fix="Lower data.split.validation or choose a file with more rows.")

    def bind(self, loaded: LoadedModel, attached: Attached) -> None:
        self.loaded = loaded
        self.generator = Generator(loaded, attached, self.recipe)
        self._train = [self._encode(row) for row in self.splits.train]
        self._validation = [self._encode(row) for row in self.splits.validation]
        self.lengths = [len(dialogue.input_ids) for dialogue in self._train]

    def loss(self, rows: list[int]) -> torch.Tensor:
        return self._loss([self._train[row] for row in rows])

    def weight(self, rows: list[int]) -> int:
        return sum(self._train[row].answer_tokens for row in rows)

    def evaluate(self, batch_size: int) -> dict[str, Any]:
        """Loss (nats a token) and perplexity over all validation rows, BLEU and ROUGE-L over the first few, answered greedily."""
        order = sorted(self._validation, key=lambda dialogue: len(dialogue.input_ids))
        total = self.group.summed(order, lambda share: self._summed_loss(share, batch_size))
        tokens = sum(dialogue.answer_tokens for dialogue in order)
        rows, sampling = self.splits.validation[:ANSWERED_ROWS], Sampling(max_new_tokens=self.recipe.prompt.max_new_tokens)
        answer = partial(self.generator.answers, sampling=sampling, batch_size=batch_size)
        self._answers = self.group.texts([row.fields for row in rows], answer)
        loss = total / tokens
        # Above e^700 a float overflows; such a model is lost anyway.
        figures = {"loss": loss, "perplexity": math.exp(min(loss, 700)), "tokens": tokens}
        return figures | text_metrics(self._answers, [row.turns[0].text for row in rows])

    def samples(self) -> list[dict[str, str]]:
        rows = self.splits.validation[:SHOWN_ROWS]
        return [
            {"prompt": _question(row), "expected": row.turns[0].text, "answer": answer}
            for row, answer in zip(rows, self._answers[:SHOWN_ROWS], strict=True)
        ]

    def _encode(self, row: Conversation) -> Dialogue:
        dialogue = self.generator.encoder.encode(row)
        if not dialogue.answer_tokens:
            raise TrainingError(f"Line {row.line} has no answer token left within prompt.max_length.", fix="Raise prompt.max_length.")
        return dialogue

    def _summed_loss(self, dialogues: Sequence[Dialogue], batch_size: int) -> float:
        total = 0.0
        with evaluating(self.loaded.model), torch.no_grad():
            for start in range(0, len(dialogues), batch_size):
                total += float(self._loss(dialogues[start : start + batch_size]))
        return total

    def _loss(self, dialogues: Sequence[Dialogue]) -> torch.Tensor:
        longest, pad = max(len(d.input_ids) for d in dialogues), self.loaded.tokenizer.pad_token_id
        ids = torch.tensor([d.input_ids + [pad] * (longest - len(d.input_ids)) for d in dialogues])
        mask = torch.tensor([[1] * len(d.input_ids) + [0] * (longest - len(d.input_ids)) for d in dialogues])
        labels = torch.tensor([d.labels + [IGNORED] * (longest - len(d.labels)) for d in dialogues])
        return next_token_loss(self.loaded, ids, mask, labels)


def _question(row: Conversation) -> str:
    return "\n".join(text for text in row.fields.values() if text.strip())
