"""A run that writes over a file: its answers row by row, and how they compare with those that the file holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.data.conversations import Conversation, Turn, conversations, questions, usable
from workbench.data.readers import read_table
from workbench.errors import DataError
from workbench.models.transfer import Progress, TimedStage, untold
from workbench.serving.generator import Generator, Sampling
from workbench.training.text_metrics import loss_metrics, text_metrics

if TYPE_CHECKING:
    from workbench.data.table import Table


def evaluate_answers(generator: Generator, data: str | Path, progress: Progress = untold) -> dict[str, Any]:
    """As an evaluation while training, over every row of a file with a question and an answer: {"metrics": {loss, perplexity, tokens,
    bleu, rouge_l}, "examples": n}.

    Raises:
        DataError: the file cannot be read, lacks a column, or has an answer of which nothing fits into the prompt.
    """
    part = generator.recipe.data
    table = read_table(data, encoding=part.encoding, strict=False)
    rows, _ = usable(conversations(table, part.columns), table.name)
    dialogues = [generator.encoder.encode(row) for row in rows]
    for row, dialogue in zip(rows, dialogues, strict=True):
        if not dialogue.answer_tokens:
            raise DataError(
                f"{table.name}, line {row.line}: no answer token is left within prompt.max_length.", fix="Shorten the row, or leave it out."
            )
    figures = loss_metrics(generator.summed_loss(dialogues), sum(dialogue.answer_tokens for dialogue in dialogues))
    prompts = [generator.encoder.question(row.fields, system=row.system) for row in rows]
    answers = _continued(generator, prompts, progress)
    return {"metrics": figures | text_metrics(answers, [row.turns[0].text for row in rows]), "examples": len(rows)}


def written_answers(generator: Generator, table: Table, progress: Progress = untold) -> tuple[list[str], dict[str, Any]]:
    """The answer to every row, and {"metrics": {bleu, rouge_l}} of those rows for which the file holds one. A row that asks nothing gets
    no answer.

    Raises:
        DataError: a column that the file does not have, or a list of messages that cannot be read.
    """
    rows = questions(table, generator.recipe.data.columns, generator.fields)
    asked = [number for number, row in enumerate(rows) if any(text.strip() for text in row.fields.values())]
    prompts = [generator.encoder.question(rows[i].fields, _before(rows[i]), system=rows[i].system) for i in asked]
    answers = [""] * len(rows)
    for number, answer in zip(asked, _continued(generator, prompts, progress), strict=True):
        answers[number] = answer
    known = [(answers[i], rows[i].turns[-1].text) for i in asked if _is_answered(rows[i])]
    told = text_metrics([answer for answer, _ in known], [expected for _, expected in known]) if known else {}
    return answers, {"metrics": told} if told else {}


def _continued(generator: Generator, prompts: list[list[int]], progress: Progress) -> list[str]:
    sampling, total = Sampling(max_new_tokens=generator.recipe.prompt.max_new_tokens), len(prompts)
    pace = TimedStage("answer", progress)
    return generator.continuations(prompts, sampling, tell=lambda done: pace(done / total))


def _is_answered(row: Conversation) -> bool:
    return bool(row.turns) and row.turns[-1].role == "assistant"


def _before(row: Conversation) -> tuple[Turn, ...]:
    """What was said between the first question and the answer that is asked for."""
    return row.turns[:-1] if _is_answered(row) else row.turns
