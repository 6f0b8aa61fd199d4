"""Where cards come from beside one's own hand: the library, and templates and label words of other tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.data.dataset import Dataset
from workbench.prompts.cards import Card
from workbench.prompts.formats import Imported, notation, notation_names, read_prompt
from workbench.prompts.formats.mixed import TRUNCATIONS
from workbench.prompts.library import library, library_entry
from workbench.recipe import Recipe
from workbench.ui.markup import esc, heading, sentence
from workbench.ui.text import Words

AUTO = "auto"


def entry_choices(t: Words) -> list[tuple[str, str]]:
    """Entries of the library for a dropdown, those in the page's language first."""
    entries = sorted(library(), key=lambda entry: entry.language != t.language)
    return [(f"{t(f'library.task_{entry.task}')} \u00b7 {entry.title.get(t.language, entry.name)}", entry.name) for entry in entries]


def notation_choices(t: Words) -> list[tuple[str, str]]:
    """Notations for a dropdown, finding it out first."""
    return [(t("import.auto"), AUTO), *((notation(name).title, name) for name in notation_names())]


def cut_choices(t: Words) -> list[tuple[str, str]]:
    """Ends of a field for a dropdown, for notations that say outside of the template which one is cut."""
    return [(t(f"import.cut_{name}"), name) for name in TRUNCATIONS]


def library_cards(name: str, recipe: Recipe, data: Dataset) -> list[Card]:
    """An entry's cards, fitted to the data.

    Raises:
        RecipeError: there is no such entry.
    """
    return library_entry(name).cards(recipe.fields, data.labels)


def read(text: str, name: str, truncation: str, recipe: Recipe, labels: Sequence[str]) -> Imported:
    """What a person pasted, fitted to the data.

    Raises:
        TemplateError: it is not in that notation, or wrong in it.
    """
    return read_prompt(text, name=None if name == AUTO else name, truncation=truncation, fields=recipe.fields, labels=labels)


def imported_cards(found: Imported, recipe: Recipe, labels: Sequence[str]) -> list[Card]:
    """Every template with every set of label words that fits the data, or with the recipe's own; words alone go to its templates."""
    verbalizers = [{"kind": "manual", "words": words} for words in found.verbalizers if set(words) == set(labels)]
    templates = found.templates or (tuple(recipe.prompt.templates) if verbalizers else ())
    source = f"import:{found.notation}"
    return [Card(template, verbalizer, source=source) for template in templates for verbalizer in (verbalizers or [None])]


def listed_words(words: dict[str, Any]) -> str:
    """Label words in one line."""
    return "   ".join(f"{label}: {', '.join(map(str, found))}" for label, found in words.items() if isinstance(found, list | dict))


def imported_html(found: Imported, labels: Sequence[str], t: Words) -> str:
    """What was read: the templates in our notation, the words, and the notes."""
    lines = "".join(f'<pre class="pw-marked">{esc(source)}</pre>' for source in found.templates)
    words = "".join(f'<p class="pw-sentence">{esc(listed_words(verbalizer))}</p>' for verbalizer in found.verbalizers)
    title = t(f"import.name_{found.notation.replace('-', '_')}")
    misfit = any(set(verbalizer) != set(labels) for verbalizer in found.verbalizers)
    warning = sentence(t("import.misfit", labels=", ".join(labels)), "note") if misfit else ""
    notes = "".join(sentence(t.said(note), "quiet") for note in found.notes)
    return heading(t("import.read_as", name=title)) + lines + words + warning + notes
