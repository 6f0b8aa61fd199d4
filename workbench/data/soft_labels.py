"""Rows whose label is a probability for every class: read from the columns that `predict` writes, and written as JSON Lines."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.data.dataset import Dataset, InputExample
from workbench.data.table import Table
from workbench.errors import DataError

LARGEST_ERROR = 1e-3
PREFIX = "probability_"


def with_soft_labels(dataset: Dataset, rows: Sequence[Sequence[str]], table: Table, prefix: str) -> Dataset:
    """The examples with their class probabilities; the classes are what follows `prefix` in the column names.

    Args:
        rows: the table's row of each example; a line may hold many.

    Raises:
        DataError: no such columns, a value that is no probability, or a row whose probabilities do not add up to 1.
    """
    places = {name.removeprefix(prefix): place for place, name in enumerate(table.columns) if name.startswith(prefix) and name != prefix}
    if len(places) < 2:
        raise DataError(
            f"{table.name} has {len(places)} columns whose names begin with '{prefix}'; one for every label is needed.",
            fix="`predict` writes such columns; or leave data.soft_labels out.",
        )
    strange = next((e for e in dataset.examples if e.label is not None and e.label not in places), None)
    if strange is not None:
        raise DataError(
            f"{table.name}, line {strange.line}: there is no column '{prefix}{strange.label}'.", fix="Add it, or correct the label."
        )
    pairs = zip(dataset.examples, rows, strict=True)
    examples = [replace(e, probabilities=_probabilities(row, places, table.name, e.line)) for e, row in pairs]
    return Dataset(examples, tuple(sorted(places)))


def write_soft_labels(
    path: Path, examples: Sequence[InputExample], labels: Sequence[str], probabilities: Sequence[Sequence[float]]
) -> None:
    """JSON Lines that `with_soft_labels` reads back: the fields, the most probable label, and a column per class.

    Args:
        probabilities: [N][C], C in the order of `labels`.
    """
    rows: list[dict[str, Any]] = []
    for example, row in zip(examples, probabilities, strict=True):
        label = labels[max(range(len(labels)), key=row.__getitem__)]
        rows.append({**_fields(example), "label": label, **{f"{PREFIX}{name}": value for name, value in zip(labels, row, strict=True)}})
    _write(path, rows)


def write_labelled(path: Path, examples: Sequence[InputExample]) -> None:
    """JSON Lines of fields and labels."""
    _write(path, [{**_fields(example), "label": example.label} for example in examples])


def columns_of(fields: Sequence[str]) -> dict[str, str]:
    """The recipe's `data.columns` for files written here."""
    return {**{name: f"field_{name}" for name in fields}, "label": "label"}


def _fields(example: InputExample) -> dict[str, str]:
    return {f"field_{name}": value for name, value in example.fields.items()}


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    # ASCII escapes: no text, whatever it holds, can be taken for another encoding.
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="ascii")


def _probabilities(row: Sequence[str], places: dict[str, int], name: str, line: int) -> dict[str, float]:
    values = {}
    for label, place in places.items():
        try:
            values[label] = float(row[place])
        except ValueError:
            values[label] = math.nan
        if not 0 <= values[label] <= 1:
            raise DataError(f"{name}, line {line}: '{row[place][:40]}' is no probability.", fix="Give numbers from 0 to 1.")
    total = sum(values.values())
    if abs(total - 1) > LARGEST_ERROR:
        raise DataError(f"{name}, line {line}: the probabilities add up to {total:.4f}.", fix="They must add up to 1.")
    return {label: value / total for label, value in values.items()}
