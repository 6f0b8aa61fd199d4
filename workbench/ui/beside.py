"""Who answers in Try it and what can stand beside it: a run, its model before tuning, or the model behind a board's cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.errors import RunError, WorkbenchError
from workbench.paradigms.cells import ALL
from workbench.paradigms.paradigm import Why, find_paradigm
from workbench.paradigms.why import occlusion
from workbench.recipe import Recipe
from workbench.runs.boards import BoardModels, CellModel, boards_to_ask, open_model
from workbench.serving.predictor import Prediction, Predictor
from workbench.ui.board_words import line_name, shots_name, why_html
from workbench.ui.markup import bars, esc, small
from workbench.ui.text import Words

BASE = "base"
MOST_CELLS = 1000
MOST_FIELDS = 4
WORDS_SHOWN = 8


@dataclass(frozen=True)
class Side:
    """One model's answer to one text; `why` only where it was asked for."""

    prediction: Prediction
    why: Why | None = None


def asked_fields(recipe: Recipe) -> tuple[str, ...]:
    """What whoever asks a model trained by this recipe has to say: the fields in the order of its columns, or those that make the first
    question to a model that writes."""
    from workbench.prompts.template import parse_template

    return recipe.fields if recipe.task == "classification" else parse_template(recipe.prompt.templates[0]).fields


def fields_of(recipe: Recipe) -> list[str]:
    """As many of them as the page has boxes for."""
    return list(asked_fields(recipe)[:MOST_FIELDS])


def writes_text(service: Any, run: Any) -> bool:
    """Whether a run's model writes text. Its figures say so; one without validation rows has none, and its recipe is asked."""
    figures = run.metrics or {}
    if "accuracy" in figures or "perplexity" in figures:
        return "perplexity" in figures
    try:
        return service.store.recipe(run.id).task == "generation"
    except WorkbenchError:
        return False


def box_updates(recipe: Recipe | None, t: Words) -> list[Any]:
    """One update for each box that a text is written into: what whoever asks has to say, or one plain box without a recipe."""
    names = fields_of(recipe) if recipe else ["text"]
    titles = names if len(names) > 1 else [t("try.text")]
    return [gr.update(visible=i < len(names), label=titles[i] if i < len(titles) else "") for i in range(MOST_FIELDS)]


def cells(service: Any, t: Words) -> list[tuple[str, str]]:
    """The models of boards, every repetition's, newest boards first, as (title, RUN/CELL)."""
    found = []
    for run, open_ones in boards_to_ask(service, MOST_CELLS):
        for cell in open_ones:
            line = line_name({"paradigm": cell.paradigm, "method": cell.method}, t)
            shots = shots_name(ALL if cell.shots is None else str(cell.shots), t)
            parts = (run.name, line, shots, t("board.seed", seed=cell.seed), run.id[-6:])
            found.append((" \u00b7 ".join(parts), f"{run.id}/{cell.name}"))
    return found


def is_cell(model: str | None) -> bool:
    """Whether a choice, RUN or RUN/CELL, is the model behind a board's cell."""
    return "/" in (model or "")


def has_language_model(cell: str) -> bool:
    """Whether the paradigm of RUN/CELL starts from a language model."""
    return find_paradigm(cell.partition("/")[2].partition("-")[0]).pretrained


def model_of(service: Any, boards: BoardModels, model: str) -> Predictor | CellModel:
    """What answers for RUN, RUN/base or RUN/CELL.

    Raises:
        WorkbenchError: there is no such model.
    """
    run_id, _, cell = model.partition("/")
    return service.predictor(run_id, base=cell == BASE) if cell in ("", BASE) else open_model(service, boards, run_id, cell)


def answer(service: Any, boards: BoardModels, model: str, texts: dict[str, str], *, why: bool) -> Side:
    """The answer of a model.

    Args:
        model: RUN, RUN/base for the untouched model under its prompt, or RUN/CELL of a board.
        texts: the texts in the order of the person's fields; their names are the model's own to choose.

    Raises:
        WorkbenchError: there is no such model, or the text cannot be used.
    """
    names = fields_of(service.read(model.partition("/")[0], 1 << 30).recipe)
    if len(names) != len(texts):
        raise RunError(f"This model reads {len(names)} texts and {len(texts)} are given.", fix="Choose one with the same columns.")
    fields = dict(zip(names, texts.values(), strict=True))
    answerer = model_of(service, boards, model)
    prediction = answerer.predict([fields])[0]
    if not why:
        return Side(prediction)
    own = isinstance(answerer, CellModel)
    return Side(prediction, answerer.why(fields, prediction.label) if own else occlusion(answerer, fields, prediction.label))


def side_html(title: str, help_: str, side: Side, t: Words, *, strong: bool = False) -> str:
    """One model's answer as a card."""
    prediction = side.prediction
    words = sorted(prediction.label_words.items(), key=lambda pair: -pair[1])[:WORDS_SHOWN]
    listed = "".join(f'<span class="pw-word"><b>{esc(word)}</b> {small(p)}</span>' for word, p in words)
    more = f'<h4>{esc(t("try.words"))}</h4><div>{listed}</div>' if words else ""
    reasons = f'<h4>{esc(t("try.why_title"))}</h4>{why_html(side.why, t)}' if side.why else ""
    return (
        f'<section class="pw-card{" pw-strong" if strong else ""}"><h3 class="pw-heading">{esc(title)}</h3>'
        f'<p class="pw-sentence pw-quiet">{esc(help_)}</p><p class="pw-answer">{esc(prediction.label)}</p>'
        f"{bars(list(prediction.probabilities.items()), winner=prediction.label)}{more}{reasons}</section>"
    )
