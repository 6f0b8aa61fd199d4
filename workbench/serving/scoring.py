"""Templates compared without training: many cards over the same rows, a few first and then more, ranked; and where two disagree.

What templates have in common is done once: the tokenizer keeps the fields it has read, a causal model reads cards with the same label
words in one pass over what their prompts share, and probabilities are kept per card, so that going from 50 rows to 200 computes 150.
Figures are those of `PromptClassifier.predict`.
"""

from __future__ import annotations

import copy
import json
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from workbench.errors import DataError, WorkbenchError
from workbench.models.transfer import untold
from workbench.prompts.cards import Card, ranked
from workbench.recipe import PromptPart
from workbench.serving import SMALLEST_PROBABILITY
from workbench.serving.classifier import Between, PromptClassifier
from workbench.serving.own_numbers import own_numbers
from workbench.serving.predictor import untuned

if TYPE_CHECKING:
    from workbench.data.dataset import InputExample
    from workbench.models.loading import LoadedModel

CARDS_KEPT, CLASSIFIERS_KEPT, CARDS_TOGETHER = 128, 16, 8
FEWEST_ROWS, FINALISTS = 25, 12
Stop = Callable[[], bool]


class Dropped(Exception):
    """A newer request has taken the place of this one: nobody waits for its answer."""


@dataclass(frozen=True)
class Disagreement:
    """A row on which two templates answer differently.

    Args:
        row: its number among the scored rows.
        first, second: the label each gives.
        margin: how sure both are together: the sum of their probabilities for their answers.
    """

    row: int
    example: InputExample
    first: str
    second: str
    margin: float


class CardScorer:
    """Scores cards on one model and one list of labelled rows. Owned by whoever made it; safe to call from several threads.

    Args:
        loaded: the model as it came, without a tuning method.
        prompt: max_length, and the label words of cards that bring none.
        labels: the classes in the order of the scores.
        examples: labelled rows, in the order in which more of them are taken.
        training: labelled rows that verbalizers may take something from; the model itself learns nothing.
        between: as `PromptClassifier.predict`, for each card or for those that are read together.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        prompt: PromptPart,
        labels: tuple[str, ...],
        examples: Sequence[InputExample],
        *,
        training: Sequence[InputExample] = (),
        batch_size: int = 32,
        between: Between = untold,
    ) -> None:
        if not examples:
            raise DataError("There are no labelled rows to score on.", fix="Set data.split.validation, or give a validation file.")
        self.loaded, self.prompt, self.labels, self.batch_size = loaded, prompt, labels, batch_size
        self.examples = list(examples)
        self.truth = torch.tensor([labels.index(str(example.label)) for example in self.examples])
        self.training, self._between = list(training), between
        self._kept: OrderedDict[str, Tensor] = OrderedDict()
        self._classifiers: OrderedDict[str, PromptClassifier] = OrderedDict()
        self._guard = threading.Lock()

    def with_prompt(self, prompt: PromptPart) -> CardScorer:
        """The same scorer, its kept answers included, with other label words for cards that bring none."""
        other = copy.copy(self)
        other.prompt = prompt
        return other

    def probabilities(self, card: Card, rows: int, stop: Stop | None = None) -> Tensor:
        """Class probabilities [rows, C] of the first `rows` rows; those known from an earlier call are not computed again.

        Raises:
            TemplateError, VerbalizerError: the card does not work on this model.
            Dropped: `stop` said so, between two batches; what was computed is not kept.
        """
        rows = min(rows, len(self.examples))
        known = self._known(card)
        if len(known) < rows:
            (more,) = self._more([card], len(known), rows, stop)
            known = self._keep(card, torch.cat([known, more]))
        return known[:rows]

    def read(self, cards: Sequence[Card], rows: int, stop: Stop | None = None) -> None:
        """Computes what is not known yet of several cards, together where that saves work; afterwards `probabilities` only looks up.

        Cards that do not work are left to `score`, which says why.

        Raises:
            Dropped: as `probabilities`.
        """
        rows = min(rows, len(self.examples))
        alike: dict[tuple[str, int], list[Card]] = {}
        for card in cards if self.loaded.kind == "causal" else ():
            words, known = json.dumps(card.verbalizer or self.prompt.verbalizer, sort_keys=True), len(self._known(card))
            if known < rows and self._joins(card):
                alike.setdefault((words, known), []).append(card)
        for (_, known), group in alike.items():
            for start in range(0, len(group), CARDS_TOGETHER):
                some = group[start : start + CARDS_TOGETHER]
                for card, more in zip(some, self._more(some, known, rows, stop), strict=True):
                    self._keep(card, torch.cat([self._known(card), more]))

    def _joins(self, card: Card) -> bool:
        """Whether a card works and stays what it is beside others: a verbalizer that takes something from rows, or draws its parameters,
        would be another one."""
        try:
            verbalizer = self._classifier([card]).verbalizer
        except WorkbenchError:
            return False
        return verbalizer.module is None and not verbalizer.state() and not verbalizer.needs_fit

    def _known(self, card: Card) -> Tensor:
        with self._guard:
            return self._kept.get(self._name(card), torch.zeros(0, len(self.labels)))

    def _keep(self, card: Card, probabilities: Tensor) -> Tensor:
        name = self._name(card)
        with self._guard:
            self._kept[name] = probabilities
            self._kept.move_to_end(name)
            while len(self._kept) > CARDS_KEPT:
                self._kept.popitem(last=False)
        return probabilities

    def score(self, card: Card, rows: int, stop: Stop | None = None) -> Card:
        """The card measured on the first `rows` rows, or with the reason why it cannot be."""
        try:
            probabilities = self.probabilities(card, rows, stop)
        except WorkbenchError as error:
            return replace(card.unscored(), problem=f"{error.message} {error.fix}".strip())
        return self._measured(card, probabilities)

    def together(self, cards: Sequence[Card], rows: int, stop: Stop | None = None) -> tuple[Card, list[list[int]]]:
        """What the cards come to as an ensemble, the mean of their probabilities, and its confusion matrix; one card is itself.

        Raises:
            WorkbenchError: a card cannot be scored.
            Dropped: `stop` said so.
        """
        self.read(cards, rows, stop)
        probabilities = torch.stack([self.probabilities(card, rows, stop) for card in cards]).mean(dim=0)
        return self._measured(cards[0], probabilities), self._cells(probabilities)

    def confusion(self, card: Card, rows: int, stop: Stop | None = None) -> list[list[int]]:
        """Counts by true class (rows) and answered class (columns)."""
        return self._cells(self.probabilities(card, rows, stop))

    def disagreements(self, first: Card, second: Card, rows: int) -> list[Disagreement]:
        """Rows on which two cards answer differently, the ones where both are surest in front."""
        one, two = self.probabilities(first, rows), self.probabilities(second, rows)
        (sure_one, answer_one), (sure_two, answer_two) = one.max(dim=1), two.max(dim=1)
        found = [
            Disagreement(
                row,
                self.examples[row],
                self.labels[int(answer_one[row])],
                self.labels[int(answer_two[row])],
                float(sure_one[row] + sure_two[row]),
            )
            for row in (answer_one != answer_two).nonzero().flatten().tolist()
        ]
        return sorted(found, key=lambda item: -item.margin)

    def _measured(self, card: Card, probabilities: Tensor) -> Card:
        truth = self.truth[: len(probabilities)]
        right = probabilities.gather(1, truth.unsqueeze(1)).double().clamp_min(SMALLEST_PROBABILITY)
        correct = int((probabilities.argmax(dim=1) == truth).sum())
        return card.scored(correct=correct, rows=len(truth), loss=-float(right.log().mean()))

    def _cells(self, probabilities: Tensor) -> list[list[int]]:
        count, answers = len(self.labels), probabilities.argmax(dim=1)
        cells = torch.bincount(self.truth[: len(answers)] * count + answers, minlength=count * count)
        return cells.view(count, count).tolist()

    def _more(self, cards: Sequence[Card], start: int, end: int, stop: Stop | None) -> Tensor:
        """Class probabilities of rows `start` to `end` under each card, [cards, rows, C]."""

        def drop(share: float) -> None:
            if stop is not None and stop():
                raise Dropped
            self._between(share)

        return self._classifier(cards).predict_each(self.examples[start:end], batch_size=self.batch_size, between=drop)

    @own_numbers()
    def _classifier(self, cards: Sequence[Card]) -> PromptClassifier:
        """A classifier with the templates of cards that share their label words; the last few are kept, with what their verbalizers took
        from the training rows."""
        name = "\n".join(map(self._name, cards))
        with self._guard:
            known = self._classifiers.get(name)
        if known is None:
            prompt = {"templates": [card.template for card in cards], "verbalizer": cards[0].verbalizer or self.prompt.verbalizer}
            prompt["template_words"] = None
            known = PromptClassifier(self.loaded, untuned(self.prompt.model_copy(update=prompt)), self.labels)
            known.fit(self.training)
            with self._guard:
                self._classifiers[name] = known
                while len(self._classifiers) > CLASSIFIERS_KEPT:
                    self._classifiers.popitem(last=False)
        return known

    def _name(self, card: Card) -> str:
        return json.dumps([card.template, card.verbalizer or self.prompt.verbalizer], sort_keys=True, ensure_ascii=False)


def stages(cards: int, rows: int) -> list[tuple[int, int]]:
    """(cards, rows) of each round of successive halving (Jamieson & Talwalkar 2016): half the cards, twice the rows, until all rows.

    At least `FINALISTS` cards go through to the end, so that the best of them are compared on the same rows.
    """
    rounds = math.ceil(math.log2(rows / FEWEST_ROWS)) if rows > FEWEST_ROWS else 0
    return [(min(cards, max(FINALISTS, math.ceil(cards / 2**i))), min(rows, FEWEST_ROWS * 2**i)) for i in range(rounds + 1)]


def compare(scorer: CardScorer, cards: Sequence[Card], rows: int, stop: Stop | None = None) -> Iterator[list[Card]]:
    """All cards on few rows, the better half on twice as many, and so on; after each card that was measured, all cards ranked.

    Cards that were left behind keep the score of their last round, with the wider interval of its fewer rows.

    Raises:
        Dropped: `stop` said so.
    """
    standing = list(cards)
    left: list[Card] = []
    for kept, some in stages(len(cards), min(rows, len(scorer.examples))):
        standing, left = standing[:kept], [*standing[kept:], *left]
        scorer.read(standing, some, stop)
        for place, card in enumerate(standing):
            standing[place] = scorer.score(card, some, stop)
            yield ranked([*standing, *left])
        standing = ranked(standing)


def ensemble_of(cards: Sequence[Card], default: dict[str, Any]) -> tuple[list[Card], list[Card]]:
    """The cards that can answer together, whose verbalizers differ from that of the best of them in nothing but their label words, and
    the others; ranked."""

    def options(card: Card) -> dict[str, Any]:
        verbalizer = card.verbalizer or default
        return {"kind": "manual", **verbalizer, "words": bool(verbalizer.get("words"))}

    order = ranked(cards)
    together = [card for card in order if options(card) == options(order[0])]
    return together, [card for card in order if options(card) != options(order[0])]
