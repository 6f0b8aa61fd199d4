"""`score`: templates ranked without any training, as the page ranks its cards, and sent on as recipes."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.data.dataset import InputExample, Splits, load_splits
from workbench.errors import SettingsError, WorkbenchError
from workbench.models.loading import load_model
from workbench.models.transfer import Progress, TimedStage
from workbench.prompts.cards import Card, merged, ranked
from workbench.prompts.library import library_entry
from workbench.recipe import PetPart, Recipe, resolve_path
from workbench.runs.files import labelled_examples, metrics_of
from workbench.runs.from_cards import as_pet, cards_of, together, with_card
from workbench.runs.jobs.pet import pool_of
from workbench.runs.store import write_whole
from workbench.serving.classifier import PromptClassifier
from workbench.serving.predictor import untuned
from workbench.serving.scoring import CardScorer, compare, ensemble_of, stages
from workbench.terminal import runs_of, say, watched
from workbench.ui.session import portable

MOST_SHOWN = 3
# What is found best, sent on as the page's buttons do: flag -> the recipe made of it.
SENDING: dict[str, Callable[[Recipe, list[Card]], Recipe]] = {
    "best": lambda recipe, order: with_card(recipe, order[0]),
    "together": lambda recipe, order: together(recipe, order).recipe,
    "pet": lambda recipe, order: as_pet(recipe, order).recipe,
}


def score_cards(recipe: Recipe, arguments: argparse.Namespace) -> dict[str, Any]:
    """The answer of `score`.

    Raises:
        WorkbenchError: one of the recipe's own templates cannot be scored, or what was found cannot be sent on as asked.
    """
    _check_sending(arguments)
    splits = load_splits(recipe.data)
    if arguments.pet:
        pool_of(splits, recipe, recipe.pet or PetPart())  # refused before the work, not after it
    examples = _rows(recipe, splits, arguments.data)
    cards = _compared(arguments, recipe, splits.labels)
    with watched() as progress:
        loaded = load_model(recipe.model, progress=progress)
        pace = _Pace(len(cards), len(examples), progress)
        scorer = CardScorer(loaded, recipe.prompt, splits.labels, examples, training=splits.train.examples, between=pace.between)
        measured = {card.key: card for card in pace.followed(compare(scorer, cards, len(examples)))}
    scored = [measured[card.key] for card in cards]
    own = {card.key for card in cards_of(recipe)}
    refused = next((card for card in scored if card.problem and card.key in own), None)
    if refused is not None:
        raise WorkbenchError(refused.problem)
    answer = {"templates": [_plain(scorer, card) for card in scored], "examples": len(examples), **_before_reading(recipe, scorer)}
    order = ranked(card for card in scored if not card.problem)
    answer["ranking"] = [scored.index(card) for card in order]
    for card in [*order, *(card for card in scored if card.problem)]:
        say(f"{_measured(card)}   {card.template}")
    if len(order) > 1:
        answer["ensemble"] = _ensemble(scorer, scored, order)
        answer["disagreements"] = [_disagreement(scorer, scored, *pair) for pair in itertools.combinations(answer["ranking"][:3], 2)]
    if arguments.keep:
        with runs_of(arguments) as service:
            service.lab.keep(recipe, scored)
    return {**answer, "written": _sent_on(arguments, recipe, order)}


def _compared(arguments: argparse.Namespace, recipe: Recipe, labels: tuple[str, ...]) -> list[Card]:
    """The recipe's own templates, those of the library, and with `--kept` the cards of the lab; each once."""
    cards = cards_of(recipe, "recipe")
    for name in arguments.library:
        cards += library_entry(name).cards(recipe.fields, labels)
    if arguments.kept:
        with runs_of(arguments) as service:
            cards += service.lab.cards(recipe)
    return merged([], (card.unscored() for card in cards))


class _Pace:
    """How far a comparison is, by the rows that its rounds read. Owned by one command."""

    def __init__(self, cards: int, rows: int, progress: Progress) -> None:
        rounds = stages(cards, rows)
        before = [0, *(some for _, some in rounds)]
        self._costs = [some - read for (kept, some), read in zip(rounds, before, strict=False) for _ in range(kept)]
        self._stage, self._done = TimedStage("score", progress), 0

    def between(self, share: float) -> None:
        """So much of the card that is being measured is done."""
        spent, now = sum(self._costs[: self._done]), sum(self._costs[self._done : self._done + 1])
        self._stage((spent + share * now) / sum(self._costs))

    def followed(self, found: Iterator[list[Card]]) -> list[Card]:
        """What the comparison ends with."""
        last: list[Card] = []
        for cards in found:
            self._done, last = self._done + 1, cards
        return last


def _plain(scorer: CardScorer, card: Card) -> dict[str, Any]:
    """A card with its figures on the rows that it was measured on."""
    figures = None if card.problem else _figures(scorer, scorer.probabilities(card, card.rows))
    return {**card.to_plain(), "metrics": figures}


def _figures(scorer: CardScorer, probabilities: Tensor) -> dict[str, Any]:
    truth = [str(example.label) for example in scorer.examples[: len(probabilities)]]
    return metrics_of(probabilities.double().tolist(), truth, scorer.labels)


def _ensemble(scorer: CardScorer, scored: list[Card], order: list[Card]) -> dict[str, Any]:
    """Those that can answer together, on the rows that all of them were measured on."""
    members, apart = ensemble_of(order, scorer.prompt.verbalizer)
    rows = min(card.rows for card in members)
    figures = _figures(scorer, torch.stack([scorer.probabilities(card, rows).double() for card in members]).mean(dim=0))
    others = f", without {len(apart)} whose verbalizer is another one" if apart else ""
    say(f"{figures['accuracy']:.3f} on {rows}   {len(members)} together{others}")
    return {**figures, "rows": rows, "members": [scored.index(card) for card in members]}


def _check_sending(arguments: argparse.Namespace) -> None:
    if arguments.keep and arguments.data:
        raise SettingsError("The lab keeps scores on a recipe's own validation rows.", fix="Leave out --keep or --data.")
    for flag in SENDING:
        folder = Path(getattr(arguments, flag) or ".").expanduser().resolve().parent
        if not folder.is_dir():
            raise SettingsError(f"--{flag}: there is no folder {folder}.", fix="Make it, or name another file.")


def _sent_on(arguments: argparse.Namespace, recipe: Recipe, order: list[Card]) -> dict[str, str]:
    """Recipes written for what was found best: flag -> file."""
    written = {}
    for flag, made in SENDING.items():
        if name := getattr(arguments, flag):
            text = portable(made(recipe, order)).to_yaml()
            try:
                write_whole(Path(name).expanduser(), text)
            except OSError as error:
                reason = error.strerror
                raise SettingsError(f"--{flag}: {name} was not written: {reason}.", fix="Name another file.") from None
            written[flag] = name
            say(f"To go on: python -m workbench train {name}")
    return written


def _before_reading(recipe: Recipe, scorer: CardScorer) -> dict[str, Any]:
    """Warnings about the recipe's label words, and the prior of its templates together, as the page shows them."""
    classifier = PromptClassifier(scorer.loaded, untuned(recipe.prompt), scorer.labels)
    classifier.fit(scorer.training)
    diagnoses, prior = classifier.before_reading()
    for diagnosis in diagnoses:
        say(diagnosis.message)
    if prior is not None:
        say(f"Before a row is read: {', '.join(f'{label} {share:.3f}' for label, share in prior.items())}")
    return {"warnings": [asdict(diagnosis) for diagnosis in diagnoses], "prior": prior}


def _rows(recipe: Recipe, splits: Splits, data: str | None) -> list[InputExample]:
    if data:
        return labelled_examples(resolve_path(data, Path.cwd()), recipe, splits.labels)
    if not splits.validation.examples:
        raise WorkbenchError("There are no rows to score.", fix="Give a labelled file with --data, or set data.split.validation.")
    return splits.validation.examples


def _measured(card: Card) -> str:
    if card.interval is None or card.score is None:
        return f"not scored: {card.problem}"
    return f"{card.score:.3f} [{card.interval[0]:.3f}, {card.interval[1]:.3f}] on {card.rows}"


def _disagreement(scorer: CardScorer, cards: list[Card], first: int, second: int) -> dict[str, Any]:
    found = scorer.disagreements(cards[first], cards[second], min(cards[first].rows, cards[second].rows))
    say(f"{len(found)} rows answered differently by '{cards[first].template}' and '{cards[second].template}'")
    shown = [{"line": d.example.line, "label": d.example.label, "first": d.first, "second": d.second} for d in found[:MOST_SHOWN]]
    return {"first": first, "second": second, "rows": len(found), "examples": shown}
