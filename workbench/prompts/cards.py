"""Cards: templates that are being compared, with what is known of each. Plain data, so that a page, a job and a file can hold them.

card = Card("{text} It was [MASK] .", None, source="hand")
card.scored(correct=123, rows=200, loss=0.61)      score 0.615, interval (0.546, 0.680)
ranked([...])                                      by score, then by loss; those without a score last
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.recipe import PromptPart

Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Card:
    """One template with its label words and what was measured of it.

    Args:
        template: in the notation of `template.py`.
        verbalizer: a recipe's `prompt.verbalizer`; None takes the recipe's own.
        source: where it came from: hand, library:NAME#ID, import:NOTATION, search, generation, ...
        score: accuracy without training, in [0, 1]; None before it was measured.
        interval: Wilson's 95 % interval of the score.
        rows: rows the score was measured on.
        loss: mean negative log-probability of the labels on those rows; breaks ties.
        problem: the sentence that says why it cannot be scored here; empty otherwise.
    """

    template: str
    verbalizer: dict[str, Any] | None = None
    source: str = "hand"
    score: float | None = None
    interval: tuple[float, float] | None = None
    rows: int = 0
    loss: float | None = None
    problem: str = ""

    @property
    def key(self) -> str:
        """What makes two cards the same one: template and label words."""
        return json.dumps([self.template, self.verbalizer], sort_keys=True, ensure_ascii=False)

    def scored(self, *, correct: int, rows: int, loss: float) -> Card:
        """The card with a measurement."""
        return replace(self, score=correct / rows, interval=wilson(correct, rows), rows=rows, loss=loss, problem="")

    def unscored(self) -> Card:
        """The card without any measurement: after the model or the data have changed."""
        return replace(self, score=None, interval=None, rows=0, loss=None, problem="")

    def to_plain(self) -> dict[str, Any]:
        """As JSON can hold it; `card_from` reads it back."""
        return asdict(self)


def card_from(plain: dict[str, Any]) -> Card:
    """A card from `Card.to_plain`, also after JSON made a list of its interval; unknown keys are ignored."""
    known = {key: value for key, value in plain.items() if key in Card.__dataclass_fields__}
    if known.get("interval") is not None:
        low, high = known["interval"]
        known["interval"] = (float(low), float(high))
    return Card(**known)


def wilson(correct: int, rows: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval for a proportion (Wilson 1927): never outside [0, 1] and honest for few rows.

    Centre (p + z^2/2n) / (1 + z^2/n), half-width z sqrt(p(1-p)/n + z^2/4n^2) / (1 + z^2/n).
    """
    if rows <= 0:
        return 0.0, 1.0
    share, scale = correct / rows, 1 + z * z / rows
    centre = (share + z * z / (2 * rows)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return max(0.0, centre - half), min(1.0, centre + half)


def ranked(cards: Iterable[Card]) -> list[Card]:
    """Cards from best to worst: by the lower end of the interval, ties by loss; unmeasured ones last, in the order given.

    On the same rows that is the order of the scores; of cards measured on different numbers of rows, it trusts fewer rows less.
    """

    def order(card: Card) -> tuple[float, float]:
        return (-card.interval[0] if card.interval else math.inf, card.loss if card.loss is not None else math.inf)

    return sorted(cards, key=order)


def merged(kept: Iterable[Card], added: Iterable[Card]) -> list[Card]:
    """Both without repeats, in order; of two cards for the same template and words the newer measurement stays with the older source."""
    found: dict[str, Card] = {}
    for card in (*kept, *added):
        before = found.get(card.key)
        found[card.key] = card if before is None else replace(card if card.score is not None else before, source=before.source)
    return list(found.values())


def verbalizer_for(options: dict[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """A recipe's `prompt.verbalizer` for these labels: words by hand stay with labels that keep their name, and a new label stands for
    itself. Kinds without words are taken as they are."""
    words = options.get("words") or {}
    by_hand = options.get("kind", "manual") == "manual"
    if set(words) == set(labels) or not (by_hand or words):
        return options
    return {**options, "words": {label: words.get(label, [label]) for label in labels}}


def words_for(prompt: PromptPart, labels: Sequence[str]) -> dict[str, Any]:
    """A recipe's verbalizer for these labels, as an assignment, the label words of single templates included."""
    own = [words and verbalizer_for({"words": words}, labels)["words"] for words in prompt.template_words or ()]
    return {"prompt.verbalizer": verbalizer_for(prompt.verbalizer, labels), "prompt.template_words": own or None}
