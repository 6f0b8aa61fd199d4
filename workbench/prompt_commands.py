"""Commands about prompts before any training: scores, other tools' templates, the library. Flags in, the JSON object out; lines for
people on stderr."""

from __future__ import annotations

import argparse
import itertools
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.recipe import load_recipe, resolve_path
from workbench.terminal import say, watched

if TYPE_CHECKING:
    from workbench.data.dataset import InputExample, Splits
    from workbench.prompts.cards import Card
    from workbench.recipe import Recipe
    from workbench.serving.scoring import CardScorer

MOST_SHOWN = 3


def score(arguments: argparse.Namespace) -> dict[str, Any]:
    """score RECIPE [--data FILE] [--library NAME]: each template on the untuned model, ranked, and all together when there are several;
    what is odd about the label words, and what they say before a row is read."""
    from workbench.data.dataset import load_splits
    from workbench.models.loading import load_model
    from workbench.models.transfer import TimedStage
    from workbench.prompts.cards import ranked
    from workbench.prompts.library import library_entry
    from workbench.runs.files import metrics_of
    from workbench.serving.scoring import CardScorer

    recipe = load_recipe(arguments.recipe, dict(arguments.assignments))
    splits = load_splits(recipe.data)
    examples, labels = _rows(recipe, splits, arguments.data), splits.labels
    fields = recipe.fields
    cards = _own_cards(recipe)
    for name in arguments.library:
        cards += library_entry(name).cards(fields, labels)
    scored: list[Card] = []
    with watched() as progress:
        loaded = load_model(recipe.model, progress=progress)
        pace = TimedStage("score", progress)

        def between(share: float) -> None:
            pace((len(scored) + share) / len(cards))

        scorer = CardScorer(loaded, recipe.prompt, labels, examples, training=splits.train.examples, between=between)
        scorer.read(cards, len(examples))
        for card in cards:
            scored.append(scorer.score(card, len(examples)))
    refused = next((card for card in scored if card.problem and card.source == "recipe"), None)
    if refused is not None:
        raise WorkbenchError(refused.problem)
    truth = [str(example.label) for example in examples]
    answer: dict[str, Any] = {"templates": [], "examples": len(examples), **_before_reading(recipe, scorer)}
    for card in scored:
        metrics = metrics_of(scorer.probabilities(card, len(examples)).double().tolist(), truth, labels) if not card.problem else None
        answer["templates"].append({**card.to_plain(), "metrics": metrics})
    order = ranked(card for card in scored if not card.problem)
    answer["ranking"] = [scored.index(card) for card in order]
    for card in [*order, *(card for card in scored if card.problem)]:
        say(f"{_measured(card)}   {card.template}")
    if len(order) > 1:
        together = sum(scorer.probabilities(card, len(examples)).double() for card in order) / len(order)
        answer["ensemble"] = metrics_of(together.tolist(), truth, labels)
        say(f"{answer['ensemble']['accuracy']:.3f}   all {len(order)} together")
        answer["disagreements"] = [_disagreement(scorer, scored, *pair) for pair in itertools.combinations(answer["ranking"][:3], 2)]
    return answer


def _before_reading(recipe: Recipe, scorer: CardScorer) -> dict[str, Any]:
    """Warnings about the recipe's label words, and the prior of its templates together, as the page shows them."""
    from workbench.serving.classifier import PromptClassifier
    from workbench.serving.predictor import untuned

    classifier = PromptClassifier(scorer.loaded, untuned(recipe.prompt), scorer.labels)
    classifier.fit(scorer.training)
    diagnoses, prior = classifier.before_reading()
    for diagnosis in diagnoses:
        say(diagnosis.message)
    if prior is not None:
        say(f"Before a row is read: {', '.join(f'{label} {share:.3f}' for label, share in prior.items())}")
    return {"warnings": [asdict(diagnosis) for diagnosis in diagnoses], "prior": prior}


def _own_cards(recipe: Recipe) -> list[Card]:
    from workbench.prompts.cards import Card

    return [Card(template, None, source="recipe") for template in recipe.prompt.templates]


def _rows(recipe: Recipe, splits: Splits, data: str | None) -> list[InputExample]:
    from workbench.runs.files import labelled_examples

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
    found = scorer.disagreements(cards[first], cards[second], len(scorer.examples))
    say(f"{len(found)} rows answered differently by '{cards[first].template}' and '{cards[second].template}'")
    shown = [{"line": d.example.line, "label": d.example.label, "first": d.first, "second": d.second} for d in found[:MOST_SHOWN]]
    return {"first": first, "second": second, "rows": len(found), "examples": shown}


def import_template(arguments: argparse.Namespace) -> dict[str, Any]:
    """import-template TEXT_OR_FILE [--from N] [--to N] [--truncation T] [--recipe R]: in our notation, or written in another."""
    from workbench.prompts.formats import notation, read_prompt
    from workbench.prompts.template import parse_template

    fields, labels = _data_of(arguments.recipe)
    text = _text(arguments.source)
    found = read_prompt(text, name=arguments.notation, truncation=arguments.truncation, fields=fields, labels=labels)
    templates: list[str] = list(found.templates)
    if arguments.to:
        target = notation(arguments.to)
        templates = [target.write(parse_template(source)) for source in found.templates]
    for template in templates:
        say(template)
    for words in found.verbalizers:
        for label, listed in words.items():
            say(f"{label}: {', '.join(listed)}")
    for note in found.notes:
        say(f"Note: {note}")
    return {
        "from": found.notation, "to": arguments.to or "workbench", "templates": templates, "verbalizers": list(found.verbalizers),
        "notes": list(found.notes),
    }  # fmt: skip


def library(arguments: argparse.Namespace) -> dict[str, Any]:
    """library [NAME]: the entries of the library, or one entry's patterns, with their sources."""
    from workbench.prompts.library import library as entries
    from workbench.prompts.library import library_entry

    if arguments.name:
        entry = library_entry(arguments.name)
        for pattern in entry.patterns:
            say(f"{pattern.template}   {entry.words[pattern.words]}")
        say(f"Source: {entry.source}.")
        return {"library": [entry.model_dump()]}
    for entry in entries():
        say(f"{entry.name:<20} {entry.task:<12} {len(entry.patterns)} patterns   {entry.title['en']}")
    return {"library": [entry.model_dump() for entry in entries()]}


def _data_of(name: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Fields and labels of a recipe's data, or nothing without a recipe."""
    if not name:
        return (), ()
    from workbench.data.dataset import load_splits

    recipe = load_recipe(name)
    return recipe.fields, load_splits(recipe.data).labels


def _text(source: str) -> str:
    """The content of the file of that name, or the text itself where there is no such file."""
    try:
        file = Path(source)
        return file.read_text(encoding="utf-8-sig") if file.is_file() else source
    except (OSError, ValueError):
        return source
