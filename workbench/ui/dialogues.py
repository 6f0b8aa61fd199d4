"""Rows for text generation as the tabs Data and Prompt show them: which columns ask and answer, how long both are, what is learnt."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from typing import Any

from workbench.data.conversations import MESSAGE, MESSAGES, RESPONSE, Conversation, conversations
from workbench.data.encoding import common_name
from workbench.data.profile import length_histogram, text_lengths
from workbench.data.splits import rows_of_page
from workbench.data.table import Table
from workbench.errors import DataError, TemplateError
from workbench.prompts.chat import ChatEncoder
from workbench.prompts.soft import without_soft
from workbench.recipe import Recipe
from workbench.serving.generator import Generator, Sampling
from workbench.ui.data_view import DataView, file_notes, sampled_rows, taken_view
from workbench.ui.markup import esc, token
from workbench.ui.rows import training_table
from workbench.ui.text import Words

ROWS_SHOWN = 3
ANSWER_TOKENS = 32
ROLES = ("special", "template", "text", "soft", "answer")


@dataclass(frozen=True)
class DialogueView:
    """A conversation as the model reads it.

    Args:
        tokens: text and role of each: special, template, text:FIELD, soft, or answer for what is learnt.
        cut: whether the end of something did not fit.
        answer: what the untuned model writes, where it was asked.
    """

    tokens: list[tuple[str, str]]
    cut: bool
    answer: str | None = None


def with_columns(recipe: Recipe, columns: dict[str, str]) -> Recipe:
    """The recipe with other columns for question and answer; a template that asks for fields that are gone is replaced."""
    fields = [name for name in columns if name != RESPONSE] if MESSAGES not in columns else [MESSAGE]
    used = re.findall(r"{([^{}|]+)", recipe.prompt.templates[0])
    fits = len(recipe.prompt.templates) == 1 and set(used) <= set(fields) and used
    asked = "\n".join(f"{{{name}}}" for name in fields)
    return recipe.replace({"data.columns": columns, "prompt.templates": recipe.prompt.templates if fits else [f"{asked} [MASK]"]})


def named_columns(table: Table, asking: list[str], answering: str) -> dict[str, str]:
    """Recipe columns for the chosen ones: a column of message lists holds whole conversations, any other holds answers.

    Raises:
        DataError: no column asks.
    """
    if _holds_messages(table, answering):
        return {MESSAGES: answering}
    names = {re.sub(r"[{}|\[\]\s]+", "_", column): column for column in asking if column != answering}
    if not names:
        raise DataError("No column is chosen for the question.", fix="Choose at least one question column beside the answer column.")
    return {**names, RESPONSE: answering}


def data_view(recipe: Recipe, t: Words, tokenizer: Any = None) -> DataView:
    """The training file as questions and answers; the histogram counts both together, in tokens with the template and layout too.

    Raises:
        DataError: the file or its columns cannot be used.
    """
    file = training_table(recipe)
    rows = conversations(file, recipe.data.columns)
    answered = [row for row in rows if row.turns]
    unit, lengths = _lengths(answered, recipe, tokenizer)
    limit = recipe.prompt.max_length if tokenizer else None
    edges, counts = length_histogram(lengths)
    pairs = [
        (t("data.rows"), f"{len(rows):,}"),
        (t("data.answered"), f"{len(answered):,}"),
        (t("data.encoding"), common_name(file.encoding)),
        (t("data.duplicates"), f"{len(answered) - len({(row.content, row.turns) for row in answered}):,}"),
    ]
    if limit is not None:
        pairs.append((t("data.truncated"), f"{sum(length > limit for length in lengths):,}"))
    headers, shown = sampled_rows(file, t)
    limit = float(limit) if limit is not None else None
    edges = [float(edge) for edge in edges]
    notes = file_notes(file, recipe, t)
    return DataView(file.name, pairs, headers, shown, {}, edges, counts, unit, limit, notes, taken_view(recipe, t))


def views(service: Any, recipe: Recipe, page: int = 0, *, answers: bool = False) -> list[DialogueView]:
    """A few conversations under the recipe's template and layout.

    Args:
        page: turns to other rows.
        answers: also let the untuned model answer, up to 32 tokens.

    Raises:
        WorkbenchError: the model writes no text, or data, template or layout do not fit it.
    """
    rows = [row for row in conversations(training_table(recipe), recipe.data.columns) if row.turns]
    if not rows:
        raise DataError("No row has both a question and an answer.", fix="Check the chosen columns in the tab Data.")
    picked = [rows[i] for i in rows_of_page([row.guid for row in rows], page, ROWS_SHOWN)]
    loaded = service.pool.get(recipe.model)
    generator = Generator(loaded, None, recipe)
    encoder = generator.encoder
    written: list[str | None] = [None] * len(picked)
    if answers:
        length = min(recipe.prompt.max_new_tokens, ANSWER_TOKENS)
        written = list(generator.answers([row.fields for row in picked], Sampling(max_new_tokens=length)))
    shown = []
    for row, answer, whole in zip(picked, written, encoder.whole_lengths(picked), strict=True):
        roles = encoder.roles(row)
        tokens = [(loaded.tokenizer.decode([number]), role) for number, role in roles]
        shown.append(DialogueView(tokens, len(roles) < whole, answer))
    return shown


def _lengths(rows: list[Conversation], recipe: Recipe, tokenizer: Any) -> tuple[str, list[int]]:
    """The unit and each conversation's length in it: with a tokenizer everything that the model reads, soft tokens apart."""
    if tokenizer is not None:
        prompt = recipe.prompt.model_copy(update={"templates": [without_soft(source) for source in recipe.prompt.templates]})
        # A template that does not fit the model is said in the tab Prompt; the rows' own texts have a length all the same.
        with contextlib.suppress(TemplateError):
            return "tokens", ChatEncoder(tokenizer, prompt, max_length=prompt.max_length).whole_lengths(rows)
    texts = [" ".join([*row.fields.values(), *(turn.text for turn in row.turns)]) for row in rows]
    return text_lengths(texts, tokenizer)


def views_html(shown: list[DialogueView], t: Words) -> str:
    """The conversations as cards: tokens by role, and what the untuned model answers."""
    seen = {role.split(":")[0] for view in shown for _, role in view.tokens}
    legend = "".join(f'<span class="pw-token pw-role-{r}">{esc(t(f"prompt.role_{r}"))}</span>' for r in ROLES if r in seen)
    return f'<div class="pw-legend">{legend}</div>' + "".join(_card(view, t) for view in shown)


def _card(view: DialogueView, t: Words) -> str:
    pieces = []
    for text, role in view.tokens:
        kind, _, name = role.partition(":")
        # A line break is a token like any other; shown as a sign and then as a break.
        pieces.append(token(text.replace("\n", "\u21b5"), kind, name) + ("<br>" if text.endswith("\n") else ""))
    cut = f'<span class="pw-cut">{esc(t("prompt.role_cut"))}</span>' if view.cut else ""
    said = ""
    if view.answer is not None:
        said = f"<h4>{esc(t('prompt.untuned_answer'))}</h4><p>{esc(view.answer) or '&nbsp;'}</p>"
    return f'<article class="pw-card"><div class="pw-tokens">{"".join(pieces)}{cut}</div>{said}</article>'


def _holds_messages(table: Table, column: str) -> bool:
    if column not in table.columns:
        return False
    place = table.columns.index(column)
    first = next((row[place] for row in table.rows if row[place].strip()), "")
    try:
        value = json.loads(first)
    except ValueError:
        return False
    return isinstance(value, list) and bool(value) and all(isinstance(part, dict) for part in value)


