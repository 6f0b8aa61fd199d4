"""Cards: many templates side by side, ranked by what the model makes of them without training.

A person presses a button on a card; the browser says which card and which act (`ACTS`), and the handler looks the card up by its digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from workbench.errors import RunError
from workbench.prompts.cards import Card
from workbench.recipe import PetPart, Recipe
from workbench.runs.from_cards import Gathered, as_pet, cards_of, together
from workbench.serving.scoring import Disagreement, Stop, compare
from workbench.ui import charts
from workbench.ui.markup import esc, heading, percent, sentence, short, table
from workbench.ui.tabs.prompt.live import SCORED_ROWS
from workbench.ui.tabs.prompt.sources import listed_words
from workbench.ui.text import Words

ACTS = ("use", "differ", "remove")
ROWS_OF_DIFFERENCE = 8
# One listener on the list: buttons come and go with every ranking.
CLICK = """element.addEventListener('click', (event) => {
    const button = event.target.closest('[data-act]');
    if (button) trigger('click', {act: button.dataset.act, card: button.dataset.card});
});"""


@dataclass(frozen=True)
class Difference:
    """Rows on which two cards answer differently.

    Args:
        of: how many rows were looked at.
        chosen: a person chose both; otherwise the second is the best of the others.
    """

    first: Card
    second: Card
    rows: list[Disagreement]
    of: int
    chosen: bool


def digest(card: Card) -> str:
    """A card's name in the page."""
    return hashlib.sha256(card.key.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def find(cards: list[Card], name: str, t: Words) -> Card:
    """The card of that name.

    Raises:
        RunError: another page has taken it away.
    """
    for card in cards:
        if digest(card) == name:
            return card
    raise RunError(t("cards.gone"), fix=t("cards.gone_fix"))


def ranking(service: Any, recipe: Recipe, stop: Stop) -> Iterator[tuple[list[Card], int]]:
    """Scores all cards of the recipe's data, a few rows first; each time the cards, ranked, and how many measurements were made.

    Raises:
        WorkbenchError: the model or the data cannot be used.
        Dropped: `stop` said so.
    """
    cards = service.lab.cards(recipe)
    scorer = service.lab.scorer(recipe)
    for done, found in enumerate(compare(scorer, cards, SCORED_ROWS, stop), start=1):
        yield service.lab.keep(recipe, found), done


def ensemble(recipe: Recipe, cards: list[Card], t: Words) -> tuple[Recipe, str]:
    """The recipe in which the cards answer together, and what to say about it.

    Raises:
        RunError: as `together`.
    """
    made = together(recipe, cards)
    return made.recipe, t.line(t("cards.ensemble_made", count=made.cards), _apart(made, t))


def pet(recipe: Recipe, cards: list[Card], t: Words) -> tuple[Recipe, str]:
    """The recipe in which the cards are trained as PET, and what training it will do.

    Raises:
        WorkbenchError: as `as_pet`.
    """
    made = as_pet(recipe, cards)
    seeds = (made.recipe.pet or PetPart()).seeds
    said = t("cards.pet_made", count=made.cards, models=made.cards * seeds, seeds=seeds, rows=f"{made.unlabelled:,}")
    return made.recipe, t.line(said, _apart(made, t))


def _apart(made: Gathered, t: Words) -> str:
    return t("cards.ensemble_apart", count=made.apart) if made.apart else ""


def difference(service: Any, recipe: Recipe, card: Card, before: str, t: Words) -> Difference:
    """Where a card answers otherwise than the one chosen before it; without one, otherwise than the best of the others.

    Args:
        before: the other card's name in the page, or nothing; a card that is gone or has no score counts for none.

    Raises:
        RunError: there is no other card with a score.
        WorkbenchError: as `ranking`.
    """
    others = [other for other in service.lab.cards(recipe) if other.score is not None and other.key != card.key]
    if not others:
        raise RunError(t("cards.no_other"), fix=t("cards.no_other_fix"))
    scorer = service.lab.scorer(recipe)
    rows = min(SCORED_ROWS, len(scorer.examples))
    chosen = next((other for other in others if digest(other) == before), None)
    first, second = (card, others[0]) if chosen is None else (chosen, card)
    return Difference(first, second, scorer.disagreements(first, second, rows), rows, chosen is not None)


def cards_html(cards: list[Card], recipe: Recipe, t: Words) -> str:
    """The list of cards, best first; without any, what to do."""
    if not cards:
        return sentence(t("cards.empty"), "note")
    chosen = {digest(card) for card in cards_of(recipe)}
    return f'<ol class="pw-cards">{"".join(_card(card, number, chosen, t) for number, card in enumerate(cards, start=1))}</ol>'


def ranking_figure(cards: list[Card], recipe: Recipe, t: Words) -> Any:
    """The measured cards with their intervals, best first, those in use set off; None before any is measured."""
    measured = [(card, *card.interval) for card in cards if card.score is not None and card.interval is not None]
    if not measured:
        return None
    chosen = {digest(card) for card in cards_of(recipe)}
    found, lows, highs = zip(*measured, strict=True)
    colors = [charts.WARM if digest(card) in chosen else charts.ACCENT for card in found]
    # Equal names would lie on one another: cards of one template differ in their words, and every card has its place.
    words = [f" \u00b7 {_words(card, t)}" if card.verbalizer else "" for card in found]
    names = [f"{place}. {card.template}{own}" for place, (card, own) in enumerate(zip(found, words, strict=True), start=1)]
    counted = (t("cards.rows"), [card.rows for card in found])
    return charts.intervals(
        names, [card.score for card in found], lows, highs, colors, x=t("cards.accuracy"), y=t("cards.template"), counted=counted
    )


def difference_html(shown: Difference, t: Words) -> str:
    """The rows on which two cards part, with both answers."""
    title = heading(t("cards.differ_title"))
    pair = f"<p class='pw-sentence'>A {_template(shown.first.template)}<br>B {_template(shown.second.template)}</p>"
    said = sentence(t("cards.differ_rows", count=len(shown.rows), rows=shown.of))
    how = sentence(t("cards.differ_chosen" if shown.chosen else "cards.differ_best"), "note")
    rows = [[_short(d.example.fields), str(d.example.label), d.first, d.second] for d in shown.rows[:ROWS_OF_DIFFERENCE]]
    drawn = table([t("cards.text"), t("train.actual"), "A", "B"], rows) if rows else ""
    return title + pair + how + said + drawn


def _card(card: Card, number: int, chosen: set[str], t: Words) -> str:
    name = digest(card)
    mark = " pw-strong" if name in chosen else ""
    place = str(number) if card.score is not None else "\u2013"
    words = f'<p class="pw-card-words">{esc(_words(card, t))}</p>'
    source = f'<span class="pw-chip">{esc(_source(card.source, t))}</span>'
    in_use = f'<span class="pw-chip pw-in-use">{esc(t("cards.in_use"))}</span>' if name in chosen else ""
    buttons = "".join(_button(act, name, card, t) for act in ACTS if act != "differ" or card.score is not None)
    return (
        f'<li class="pw-card pw-try{mark}" data-score="{"" if card.score is None else f"{card.score:.4f}"}">'
        f'<span class="pw-place">{place}</span><div class="pw-try-body">{_template(card.template)}{words}{source}{in_use}</div>'
        f'<div class="pw-try-score">{_measure(card, t)}</div><div class="pw-try-acts">{buttons}</div></li>'
    )


def _button(act: str, name: str, card: Card, t: Words) -> str:
    label = f"{t(f'cards.{act}')}: {card.template}"
    marks = f'data-act="{act}" data-card="{name}" aria-label="{esc(label)}"'
    return f'<button type="button" class="pw-act pw-act-{act}" {marks}>{esc(t(f"cards.{act}"))}</button>'


def _measure(card: Card, t: Words) -> str:
    if card.problem:
        return f'<p class="pw-sentence pw-note">{esc(t.said(card.problem))}</p>'
    if card.score is None or card.interval is None:
        return f'<p class="pw-sentence pw-quiet">{esc(t("cards.unmeasured"))}</p>'
    low, high = card.interval
    line = f'<span class="pw-whisker-line" style="left:{low * 100:.1f}%;width:{(high - low) * 100:.1f}%"></span>'
    dot = f'<span class="pw-whisker-dot" style="left:{card.score * 100:.1f}%"></span>'
    scale = f'<span class="pw-whisker" aria-hidden="true">{line}{dot}</span>'
    said = t("cards.measured", low=percent(low), high=percent(high), rows=card.rows)
    return f'<strong class="pw-try-share">{percent(card.score)}</strong>{scale}<span class="pw-quiet pw-try-said">{esc(said)}</span>'


def _template(source: str) -> str:
    return f'<code class="pw-source">{esc(source).replace("[MASK]", "<mark>[MASK]</mark>")}</code>'


def _words(card: Card, t: Words) -> str:
    if card.verbalizer is None:
        return t("cards.own_words")
    return listed_words(card.verbalizer.get("words") or {}) or str(card.verbalizer.get("kind", ""))


def _source(source: str, t: Words) -> str:
    kind, _, name = source.partition(":")
    return " ".join(part for part in (t.get(f"cards.source_{kind}", kind), name) if part)


def _short(fields: dict[str, str], most: int = 120) -> str:
    return short(" | ".join(fields.values()), most)
