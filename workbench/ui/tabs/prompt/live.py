"""The preview of a few rows and the score on the validation rows: pure functions of a service and a recipe, and their HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.data.dataset import InputExample
from workbench.data.splits import rows_of_page
from workbench.errors import DataError, TemplateError, WorkbenchError
from workbench.methods import check_method, check_soft_tokens
from workbench.prompts.cards import Card
from workbench.prompts.template import parse_template
from workbench.recipe import Recipe
from workbench.serving.preview import MaskTop, PreviewPrompt, PreviewRow, PreviewToken, preview, takes_rows
from workbench.serving.scoring import Stop
from workbench.ui.markup import bars, confusion, esc, facts, heading, percent, problem, sentence, small, token
from workbench.ui.rows import dataset
from workbench.ui.text import Words

ROWS_SHOWN = 3
TOP_SHOWN = 10
SCORED_ROWS = 200
ROUNDS = (32, 96, SCORED_ROWS)
ROLES = ("text", "template", "mask", "soft", "special")


@dataclass(frozen=True)
class PromptView:
    """Rows of the data as the model reads them, with its answers before any training."""

    rows: list[PreviewRow]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class ScoreView:
    """What the templates come to on the validation rows, all of them together when there are several.

    Args:
        card: score, interval, rows and loss; its template is the first.
        templates: how many answered together.
        confusion: counts, true classes in rows.
        complete: no more rows will be added.
    """

    card: Card
    templates: int
    confusion: list[list[int]]
    labels: tuple[str, ...]
    complete: bool


def view(service: Any, recipe: Recipe, page: int = 0, *, attention: bool = False) -> PromptView:
    """The preview of a recipe; `page` turns to other rows of the file.

    Raises:
        WorkbenchError: the model, the data, the template or the label words cannot be used.
    """
    data = dataset(recipe)
    examples = _some(data.examples, page)
    loaded = service.pool.get(recipe.model)
    fit_on = service.lab.scorer(recipe).training if takes_rows(recipe.prompt) else []
    rows = preview(loaded, recipe.prompt, data.labels, examples, k=TOP_SHOWN, attention=attention, fit_on=fit_on)
    return PromptView(rows, data.labels)


def score_view(service: Any, recipe: Recipe, rows: int, stop: Stop | None = None) -> ScoreView:
    """The score of the recipe's templates on the first `rows` validation rows.

    Raises:
        WorkbenchError: as `view`.
        Dropped: `stop` said so.
    """
    scorer = service.lab.scorer(recipe)
    cards = [Card(template, recipe.prompt.verbalizer_of(number)) for number, template in enumerate(recipe.prompt.templates)]
    card, matrix = scorer.together(cards, rows, stop)
    return ScoreView(card, len(cards), matrix, scorer.labels, complete=card.rows >= min(SCORED_ROWS, len(scorer.examples)))


def preview_html(shown: PromptView, t: Words) -> str:
    """The rows as cards: tokens by role, what was cut, answers at the mask, label words, classes."""
    legend = "".join(f'<span class="pw-token pw-role-{role}">{esc(t(f"prompt.role_{role}"))}</span>' for role in ROLES if _has(shown, role))
    if any(piece.cut for row in shown.rows for prompt in row.prompts for piece in prompt.tokens):
        legend += f'<span class="pw-token pw-role-text pw-removed">{esc(t("prompt.role_cut"))}</span>'
    if any(piece.attention is not None for row in shown.rows for piece in row.tokens):
        legend += f'<span class="pw-token pw-role-text pw-looked" style="--look:0.8">{esc(t("prompt.role_attention"))}</span>'
    return f'<div class="pw-legend">{legend}</div>' + "".join(_card(row, t) for row in shown.rows)


def untrainable_html(recipe: Recipe, t: Words) -> str:
    """What training would refuse though the model can be asked without: soft tokens that the method does not fill; empty otherwise."""
    try:
        check_soft_tokens(check_method(recipe.method).model_dump(), recipe.prompt.templates)
    except TemplateError as error:
        return error_html(error, recipe.prompt.templates, t)
    except WorkbenchError:
        return ""  # the tab Method says what is wrong
    return ""


def score_html(shown: ScoreView, t: Words) -> str:
    """Accuracy with its interval, and the confusion matrix."""
    card = shown.card
    low, high = card.interval or (0.0, 1.0)
    tiles = [
        (t("prompt.accuracy"), percent(card.score or 0.0)),
        (t("prompt.interval"), f"{percent(low)} \u2013 {percent(high)}"),
        (t("prompt.scored_rows"), str(card.rows) if shown.complete else f"{card.rows} \u2026"),
    ]
    if shown.templates > 1:
        tiles.append((t("prompt.together"), str(shown.templates)))
    matrix = confusion(shown.confusion, list(shown.labels), t("train.actual"), t("train.predicted"))
    return (
        f"{heading(t('prompt.zero_shot'))}{sentence(t('prompt.zero_shot_help'))}"
        f'<div class="pw-score" data-rows="{card.rows}">{facts(tiles)}{matrix}</div>'
    )


def error_html(error: WorkbenchError, templates: list[str], t: Words) -> str:
    """The error's two sentences and, for a template, the place marked in it."""
    text = problem(error.message, error.fix, t)
    position = getattr(error, "position", None)
    if not isinstance(error, TemplateError) or position is None:
        return text
    source = next((s for s in templates if _fails(s, position)), templates[0] if len(templates) == 1 else None)
    if source is None:
        return text
    marked = f"{esc(source[:position])}<mark>{esc(source[position : position + 1] or ' ')}</mark>{esc(source[position + 1 :])}"
    return f'{text}<pre class="pw-marked" aria-label="{esc(t("prompt.position", position=position + 1))}">{marked}</pre>'


def _some(examples: list[InputExample], page: int) -> list[InputExample]:
    if not examples:
        raise DataError("The file holds no rows.", fix="Choose another file in the tab Data.")
    return [examples[i] for i in rows_of_page([example.guid for example in examples], page, ROWS_SHOWN)]


def _card(row: PreviewRow, t: Words) -> str:
    prompts = "".join(_prompt(prompt, len(row.prompts) > 1, t) for prompt in row.prompts)
    best = max(row.class_probabilities, key=row.class_probabilities.__getitem__)
    tone = "good" if best == row.example.label else "off"
    verdict = f'<span class="pw-verdict pw-{tone}">{esc(t("prompt.verdict", predicted=best, actual=row.example.label))}</span>'
    words = "".join(_label_words(label, found, row.class_probabilities[label], label == best) for label, found in row.label_words.items())
    mass = "".join(f'<p class="pw-mass">{esc(_mass(masks, row.masses, t))}</p>' for masks in row.masses)
    masks = "".join(f"<section><h4>{esc(_blank(top, t))}</h4>{bars(top.tokens)}</section>" for top in row.top)
    return (
        f'<article class="pw-card">{prompts}<div class="pw-answers">'
        f"{masks}<section><h4>{esc(t('prompt.label_words'))}</h4>{words}{mass}</section></div>{verdict}</article>"
    )


def _prompt(prompt: PreviewPrompt, several: bool, t: Words) -> str:
    """The tokens of one prompt; where there are several, with the label words that are read in it."""
    strongest = max((piece.attention or 0.0 for piece in prompt.tokens), default=0.0) or 1.0
    tokens = "".join(_token(piece, strongest) for piece in prompt.tokens)
    cut = f'<span class="pw-cut">{esc(t("prompt.cut", count=prompt.removed_tokens))}</span>' if prompt.removed_tokens else ""
    words = f'<p class="pw-mass">{esc(t("prompt.read_at", masks=prompt.masks))}</p>' if several else ""
    return f'{words}<div class="pw-tokens">{tokens}{cut}</div>'


def _blank(top: MaskTop, t: Words) -> str:
    """What the list of a blank's likeliest tokens is called."""
    if top.behind:
        return t("prompt.top_behind", beginning=top.behind.strip())
    return t("prompt.top") if top.masks == 1 else t("prompt.top_of", number=top.number, masks=top.masks)


def _mass(masks: int, masses: dict[int, float], t: Words) -> str:
    """What the label words that are read at so many blanks hold together."""
    share = small(masses[masks])
    return t("prompt.mass", share=share) if list(masses) == [1] else t("prompt.mass_of", share=share, masks=masks)


def _token(piece: PreviewToken, strongest: float) -> str:
    role, _, name = piece.role.partition(":")
    if piece.cut:
        return f'<s class="pw-token pw-role-text pw-removed" title="{esc(name)}">{esc(piece.text) or "&nbsp;"}</s>'
    if piece.attention is None:
        return token(piece.text, role, name)
    hint = f"{name} {percent(piece.attention)}".strip()
    look = f'<span class="pw-token pw-role-{role} pw-looked" style="--look:{piece.attention / strongest:.3f}" title="{esc(hint)}">'
    return f"{look}{esc(piece.text) or '&nbsp;'}</span>"


def _label_words(label: str, words: dict[str, float], share: float, best: bool) -> str:
    listed = "".join(f'<span class="pw-word"><b>{esc(word)}</b> {small(p)}</span>' for word, p in words.items())
    mark = " pw-best" if best else ""
    shown = f'<span class="pw-class-name">{esc(label)}</span><span class="pw-class-share">{percent(share)}</span>'
    return f'<div class="pw-class{mark}">{shown}{listed}</div>'


def _has(shown: PromptView, role: str) -> bool:
    return any(piece.role.split(":")[0] == role for row in shown.rows for piece in row.tokens)


def _fails(source: str, position: int) -> bool:
    try:
        parse_template(source)
    except TemplateError as error:
        return error.position == position
    return False
