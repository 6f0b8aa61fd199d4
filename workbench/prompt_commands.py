"""Commands about prompts before any training: scores, other tools' templates, the library. Flags in, the JSON object out; lines for
people on stderr."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import RecipeError
from workbench.recipe import load_recipe
from workbench.terminal import say

if TYPE_CHECKING:
    from workbench.recipe import Recipe


def score(arguments: argparse.Namespace) -> dict[str, Any]:
    """score RECIPE [--data FILE] [--library NAME] [--kept] [--keep] [--best FILE] [--together FILE] [--pet FILE]: each template on the
    untuned model, ranked as the page's cards are: all on few rows, the better half on more. Also all together that share their label
    words, what is odd about the words, and what they say before a row is read."""
    from workbench.score import score_cards

    return score_cards(_classifying(arguments), arguments)


def _classifying(arguments: argparse.Namespace) -> Recipe:
    """The recipe, which has to have label words."""
    recipe = load_recipe(arguments.recipe, dict(arguments.assignments))
    if recipe.task != "classification":
        raise RecipeError("A recipe for writing text has no label words to look at.", fix="Set task to classification.")
    return recipe


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
