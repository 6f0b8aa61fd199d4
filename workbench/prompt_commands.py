"""Commands about prompts before any training: scores, other tools' templates, the library. Flags in, the JSON object out; lines for
people on stderr."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import RecipeError, TemplateError
from workbench.recipe import load_recipe
from workbench.terminal import say, watched

if TYPE_CHECKING:
    from workbench.prompts.formats.notation import Words
    from workbench.recipe import Recipe
    from workbench.serving.preview import PreviewRow


def score(arguments: argparse.Namespace) -> dict[str, Any]:
    """score RECIPE [--data FILE] [--library NAME] [--kept] [--keep] [--best FILE] [--together FILE] [--pet FILE]: each template on the
    untuned model, ranked as the page's cards are: all on few rows, the better half on more. Also all together, each in its label words,
    what is odd about the words, and what they say before a row is read."""
    from workbench.score import score_cards

    return score_cards(_classifying(arguments), arguments)


def _classifying(arguments: argparse.Namespace) -> Recipe:
    """The recipe, which has to have label words."""
    recipe = load_recipe(arguments.recipe, dict(arguments.assignments))
    if recipe.task != "classification":
        raise RecipeError("A recipe for writing text has no label words to look at.", fix="Set task to classification.")
    return recipe


def preview(arguments: argparse.Namespace) -> dict[str, Any]:
    """preview RECIPE [--attention] [--rows N] [--page N] [--top N]: rows of the data as the untuned model reads them under the first
    template, token by token with what was cut, and what it answers: the top at each mask, label words, classes."""
    from workbench.data.dataset import load_splits
    from workbench.data.splits import rows_of_page
    from workbench.models.loading import load_model
    from workbench.serving.preview import preview as rows_read
    from workbench.serving.preview import takes_rows
    from workbench.ui.rows import dataset

    recipe = _classifying(arguments)
    data = dataset(recipe)
    chosen = rows_of_page([example.guid for example in data.examples], arguments.page, arguments.rows)
    fit_on = load_splits(recipe.data).train.examples if takes_rows(recipe.prompt) else []
    with watched() as progress:
        loaded = load_model(recipe.model, progress=progress)
        examples = [data.examples[i] for i in chosen]
        rows = rows_read(loaded, recipe.prompt, data.labels, examples, k=arguments.top, attention=arguments.attention, fit_on=fit_on)
    for row in rows:
        _say_row(row)
    return {"template": recipe.prompt.templates[0], "labels": list(data.labels), "rows": [_plain_row(row) for row in rows]}


def _say_row(row: PreviewRow) -> None:
    for number, prompt in enumerate(row.prompts):
        cut = f"   ({prompt.removed_tokens} tokens cut)" if prompt.removed_tokens else ""
        place = f"  with {prompt.masks} masks" if number else f"Line {row.example.line}, {row.example.label}"
        say(f"{place}: {' '.join(token.text for token in prompt.tokens if not token.cut)}{cut}")
    for top in row.top:
        place = f"mask {top.number} of {top.masks}" + (f" behind '{top.behind}'" if top.behind else "")
        say(f"  {place}: {', '.join(f'{word} {share:.3f}' for word, share in top.tokens)}")
    words = {word: share for found in row.label_words.values() for word, share in found.items()}
    if words:
        mass = ", ".join(f"{share:.3f}" for share in row.masses.values())
        say(f"  label words: {', '.join(f'{word} {share:.3f}' for word, share in words.items())}; together {mass}")
    say(f"  classes: {', '.join(f'{label} {share:.3f}' for label, share in row.class_probabilities.items())}")


def _plain_row(row: PreviewRow) -> dict[str, Any]:
    """A row as JSON holds it; its example by line, label and fields."""
    example = row.example
    return {**asdict(row), "example": {"line": example.line, "label": example.label, "fields": example.fields}}


def import_template(arguments: argparse.Namespace) -> dict[str, Any]:
    """import-template TEXT_OR_FILE [--from N] [--to N] [--truncation T] [--recipe R]: in our notation, or written in another,
    label words too. A note says so where that notation cannot hold the words beside the templates."""
    from workbench.prompts.formats import notation, read_prompt
    from workbench.prompts.template import parse_template

    fields, labels = _data_of(arguments.recipe)
    text = _text(arguments.source)
    # From one tool to another the texts keep their numbers: LM-BFF could not tell the second from the first by a column's name.
    fields = () if arguments.to else fields
    found = read_prompt(text, name=arguments.notation, truncation=arguments.truncation, fields=fields, labels=labels)
    templates, notes, written = list(found.templates), list(found.notes), []
    if arguments.to:
        target = notation(arguments.to)
        templates = [target.write(parse_template(source)) for source in found.templates]
        try:
            written = [target.write_words(verbalizer) for verbalizer in found.verbalizers]
        except TemplateError as error:
            if not templates:
                raise
            notes.append(error.message)
    for text in [*templates, *(written or map(_listed, found.verbalizers))]:
        say(text.rstrip("\n"))
    for note in notes:
        say(f"Note: {note}")
    return {
        "from": found.notation, "to": arguments.to or "workbench", "templates": templates, "verbalizers": list(found.verbalizers),
        "words": written, "notes": notes,
    }  # fmt: skip


def _listed(words: Words) -> str:
    return "\n".join(f"{label}: {', '.join(listed)}" for label, listed in words.items())


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
