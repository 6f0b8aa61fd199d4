"""A file as the tab Data shows it, and what a training would take from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from workbench.data.conversations import conversations
from workbench.data.dataset import Splits, dataset_from, without_gaps
from workbench.data.encoding import AUTO, common_name, is_judged
from workbench.data.profile import profile
from workbench.data.streams import check_streamed
from workbench.data.table import Table, rows_where
from workbench.errors import WorkbenchError
from workbench.recipe import Recipe
from workbench.ui.markup import short
from workbench.ui.rows import splits, training_table, whole_table
from workbench.ui.text import Words

ROWS_SHOWN = 8
LONGEST_CELL = 600


@dataclass(frozen=True)
class Taken:
    """What a training takes from the files of a recipe: numbers of rows as facts, notes, and for files it cannot use a problem and fix."""

    facts: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problem: tuple[str, str] | None = None


@dataclass(frozen=True)
class DataView:
    """Facts, the first rows, what the histograms need, and what a training takes of it."""

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
    taken: Taken = field(default_factory=Taken)


@dataclass(frozen=True)
class ExtraView:
    """A file beside the training file: its name, how many rows of it can be used, how many cannot, or why none."""

    name: str
    rows: int = 0
    left_out: int = 0
    problem: tuple[str, str] | None = None


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
        (t("data.rows"), f"{len(data):,}" if file.whole else t("data.first", count=f"{len(data):,}")),
        (t("data.labels"), str(len(data.labels))),
        (t("data.encoding"), common_name(file.encoding)),
        (t("data.duplicates"), f"{found.duplicates:,}"),
        (t("data.empty"), f"{found.empty:,}"),
    ]
    notes = file_notes(file, recipe, t)
    if tokenizer:
        pairs.append((t("data.truncated"), f"{found.truncated:,}"))
    if found.duplicates:
        notes.append(t("data.duplicates_note", count=f"{found.duplicates:,}"))
    if not file.whole and found.empty:
        notes.append(t("data.empty_note", count=f"{found.empty:,}"))
    limit = float(recipe.prompt.max_length) if tokenizer else None
    headers, rows = sampled_rows(file, t)
    edges, counts = list(found.length_edges), list(found.length_counts)
    taken = taken_view(recipe, t) if file.whole else streamed_view(recipe)
    return DataView(file.name, pairs, headers, rows, dict(found.label_counts), edges, counts, found.unit, limit, notes, taken)


def taken_view(recipe: Recipe, t: Words) -> Taken:
    """The split that a training would make: rows to learn from and to measure on, and what was left out of either and why."""
    try:
        found = splits(recipe)
    except WorkbenchError as error:
        return Taken(problem=(error.message, error.fix))
    facts = [(t("data.to_train"), f"{len(found.train):,}"), (t("data.to_validate"), f"{len(found.validation):,}")]
    if isinstance(found, Splits) and found.unlabeled is not None:
        facts.append((t("data.without_labels"), f"{len(found.unlabeled):,}"))
    return Taken(facts, [t.said(note) for note in found.notes])


def streamed_view(recipe: Recipe) -> Taken:
    """As `taken_view` for a file that is split while it is read, which takes minutes: only what can be refused at once."""
    try:
        check_streamed(recipe.data)
    except WorkbenchError as error:
        return Taken(problem=(error.message, error.fix))
    return Taken()


def extra_view(recipe: Recipe, role: str) -> ExtraView | None:
    """The file in `data.validation` or `data.unlabeled` under the columns of the training file; None where there is none.

    Args:
        recipe: with absolute places.
    """
    path = getattr(recipe.data, role)
    if path is None:
        return None
    name = path.rsplit("/", 1)[-1]
    try:
        file = whole_table(path, encoding=recipe.data.encoding, strict=False)
        if role == "validation":
            file = rows_where(file, recipe.data.only)
        if recipe.task == "generation":
            rows = sum(bool(row.turns) for row in conversations(file, recipe.data.columns))
        else:
            labelled = role == "validation"
            rows = len(without_gaps(dataset_from(file, recipe.data.columns, labelled=labelled), file.name, labelled=labelled)[0])
    except WorkbenchError as error:
        return ExtraView(name, problem=(error.message, error.fix))
    return ExtraView(name, rows, len(file) - rows)


def file_notes(file: Table, recipe: Recipe, t: Words) -> list[str]:
    """What is said of how a file was read: only some rows, only the first, in an encoding that was judged by its characters."""
    wanted = ", ".join(f"{column}: {value}" for column, value in recipe.data.only.items())
    notes = [t("data.only_note", wanted=wanted)] if wanted else []
    if not file.whole:
        notes.append(t("data.first_rows", count=f"{len(file):,}"))
    if recipe.data.encoding == AUTO and is_judged(file.encoding):
        notes.append(t("data.encoding_judged", encoding=file.encoding))
    return notes


def sampled_rows(file: Table, t: Words) -> tuple[list[str], list[list[str]]]:
    """Headers and the first rows, each with its line in front; of a long value the beginning."""
    shown = zip(file.lines[:ROWS_SHOWN], file.rows[:ROWS_SHOWN], strict=True)
    rows = [[str(line), *(short(value, LONGEST_CELL) for value in row)] for line, row in shown]
    return [t("data.line"), *file.columns], rows
