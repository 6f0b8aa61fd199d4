"""The library: published and written patterns with their label words, one YAML file per task in presets/library, each naming its source.

Labels carry the other names that data sets use for them, so that an entry finds its way to a file's own labels; where it cannot, its
templates are still offered and the recipe's own label words stand in.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import RecipeError, nearest
from workbench.prompts.cards import Card
from workbench.prompts.formats.notation import Imported
from workbench.prompts.template import parse_template
from workbench.recipe import PRESETS

FOLDER = PRESETS / "library"
TASKS = ("sentiment", "topic", "inference", "questions", "word_sense", "stance", "similarity")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pattern(_Part):
    """One template, the number its source gives it, and which of the entry's label words go with it."""

    template: str
    id: int | None = None
    words: str = "default"


class LibraryEntry(_Part):
    """The patterns of one task.

    Args:
        name: the file's name.
        labels: label -> other names that data sets use for it.
        words: name -> label -> label words.
    """

    name: str = ""
    title: dict[str, str]
    task: str
    language: str
    source: str = Field(min_length=1)
    labels: dict[str, list[str]]
    words: dict[str, dict[str, list[str]]]
    patterns: list[Pattern] = Field(min_length=1)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that some pattern asks for, in order."""
        return tuple(dict.fromkeys(name for pattern in self.patterns for name in parse_template(pattern.template).fields))

    def labels_of(self, labels: Sequence[str]) -> dict[str, str] | None:
        """The entry's label -> the data's, when every one of both has its counterpart; else None."""
        known = {other.casefold(): label for label, others in self.labels.items() for other in (label, *others)}
        found = {known[label.casefold()]: label for label in labels if label.casefold() in known}
        return found if len(found) == len(labels) and found.keys() >= self.labels.keys() else None

    def cards(self, fields: Sequence[str], labels: Sequence[str]) -> list[Card]:
        """The patterns as cards for a data set: fields renamed, label words under the data's labels or left to the recipe."""
        names = self.labels_of(labels)
        fitted = Imported("library", tuple(pattern.template for pattern in self.patterns)).with_fields(fields)
        cards = []
        for pattern, template in zip(self.patterns, fitted.templates, strict=True):
            words = {names[label]: found for label, found in self.words[pattern.words].items()} if names else None
            verbalizer = {"kind": "manual", "words": words} if words else None
            cards.append(Card(template, verbalizer, source=f"library:{self.name}" + (f"#{pattern.id}" if pattern.id is not None else "")))
        return cards


@cache
def library() -> tuple[LibraryEntry, ...]:
    """Every entry, by task in the order of `TASKS` and then by name; empty when the folder is absent.

    Raises:
        RecipeError: a file that is not an entry.
    """
    entries = [_entry(file) for file in sorted(FOLDER.glob("*.yaml"))]
    return tuple(sorted(entries, key=lambda entry: (TASKS.index(entry.task), entry.name)))


def library_entry(name: str) -> LibraryEntry:
    """The entry of that name.

    Raises:
        RecipeError: there is none; the fix names the nearest.
    """
    found = {entry.name: entry for entry in library()}
    if name not in found:
        raise RecipeError(f"There is no entry '{name}' in the library.", fix=nearest(name, found))
    return found[name]


def _entry(file: Path) -> LibraryEntry:
    try:
        entry = LibraryEntry(**{**yaml.safe_load(file.read_text(encoding="utf-8")), "name": file.stem})
    except (yaml.YAMLError, TypeError, ValidationError) as error:
        raise RecipeError(f"{file.name} is not an entry of the library: {str(error).splitlines()[0]}.", fix="Correct the file.") from None
    if entry.task not in TASKS:
        raise RecipeError(f"{file.name} has the task '{entry.task}'.", fix=nearest(entry.task, TASKS))
    return entry
