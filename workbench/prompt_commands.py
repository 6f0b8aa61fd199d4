"""Commands about prompts alone: other tools' templates, and the library. Flags in, the JSON object out; lines for people on stderr."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


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
        _say(template)
    for words in found.verbalizers:
        for label, listed in words.items():
            _say(f"{label}: {', '.join(listed)}")
    for note in found.notes:
        _say(f"Note: {note}")
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
            _say(f"{pattern.template}   {entry.words[pattern.words]}")
        _say(f"Source: {entry.source}.")
        return {"library": [entry.model_dump()]}
    for entry in entries():
        _say(f"{entry.name:<20} {entry.task:<12} {len(entry.patterns)} patterns   {entry.title['en']}")
    return {"library": [entry.model_dump() for entry in entries()]}


def _data_of(name: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Fields and labels of a recipe's data, or nothing without a recipe."""
    if not name:
        return (), ()
    from workbench.data.dataset import load_splits
    from workbench.recipe import load_recipe

    recipe = load_recipe(name)
    return tuple(field for field in recipe.data.columns if field != "label"), load_splits(recipe.data).labels


def _text(source: str) -> str:
    """The content of the file of that name, or the text itself where there is no such file."""
    try:
        file = Path(source)
        return file.read_text(encoding="utf-8-sig") if file.is_file() else source
    except (OSError, ValueError):
        return source


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
