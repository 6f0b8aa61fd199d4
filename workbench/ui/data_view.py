"""A file as the tab Data shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from workbench.data.dataset import dataset_from
from workbench.data.profile import profile
from workbench.data.table import Table
from workbench.recipe import Recipe
from workbench.ui.markup import short
from workbench.ui.rows import training_table
from workbench.ui.text import Words

ROWS_SHOWN = 8
LONGEST_CELL = 600


@dataclass(frozen=True)
class DataView:
    """Facts, the first rows, and what the histograms need."""

    name: str
    facts: list[tuple[str, str]]
    headers: list[str]
    rows: list[list[str]]
    label_counts: dict[str, int] = field(default_factory=dict)
    edges: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    unit: str = ""
    limit: float | None = None
    notes: list[str] = field(default_factory=list)


def labelled_view(recipe: Recipe, t: Words, tokenizer: Any = None) -> DataView:
    """The training file of a classification under the recipe's columns.

    Args:
        tokenizer: counts lengths in the model's tokens; without one in characters or words, as the profile says.

    Raises:
        DataError: the file or its columns cannot be used.
    """
    file = training_table(recipe)
    data = dataset_from(file, recipe.data.columns)
    found = profile(data, tokenizer, recipe.prompt.max_length if tokenizer else None)
    pairs = [
        (t("data.rows"), f"{len(data):,}"),
        (t("data.labels"), str(len(data.labels))),
        (t("data.encoding"), file.encoding),
        (t("data.duplicates"), f"{found.duplicates:,}"),
        (t("data.empty"), f"{found.empty:,}"),
    ]
    notes = only_note(recipe, t)
    if tokenizer:
        pairs.append((t("data.truncated"), f"{found.truncated:,}"))
    if found.duplicates:
        notes.append(t("data.duplicates_note", count=f"{found.duplicates:,}"))
    limit = float(recipe.prompt.max_length) if tokenizer else None
    headers, rows = sampled_rows(file, t)
    edges, counts = list(found.length_edges), list(found.length_counts)
    return DataView(file.name, pairs, headers, rows, dict(found.label_counts), edges, counts, found.unit, limit, notes)


def only_note(recipe: Recipe, t: Words) -> list[str]:
    """What is said when the recipe reads some of the file's rows only."""
    wanted = ", ".join(f"{column}: {value}" for column, value in recipe.data.only.items())
    return [t("data.only_note", wanted=wanted)] if wanted else []


def sampled_rows(file: Table, t: Words) -> tuple[list[str], list[list[str]]]:
    """Headers and the first rows, each with its line in front; of a long value the beginning."""
    shown = zip(file.lines[:ROWS_SHOWN], file.rows[:ROWS_SHOWN], strict=True)
    rows = [[str(line), *(short(value, LONGEST_CELL) for value in row)] for line, row in shown]
    return [t("data.line"), *file.columns], rows
