"""Rows of a run's own validation data, or of a board's test rows, for Try it: those that it is surest of, rightly and wrongly, or, where it
kept none, a few of each label."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from workbench.data.dataset import InputExample, dataset_from, load_splits
from workbench.errors import WorkbenchError
from workbench.recipe import Recipe
from workbench.runs.boards import measured
from workbench.ui.markup import short
from workbench.ui.rows import table
from workbench.ui.text import Words

OF_A_KIND = 2
LONGEST = 100


@dataclass(frozen=True)
class OwnRow:
    """A row of the validation data by its line in its file, and why it is offered."""

    line: int
    kind: str
    label: str
    text: str


def own_rows(service: Any, model: str) -> list[OwnRow]:
    """Up to `OF_A_KIND` rows of each kind, or of each label; none where the data is gone. Of a board's cell, RUN/CELL, test rows."""
    run_id, _, cell = model.partition("/")
    if cell:
        return _measured_rows(service, run_id, cell)
    run = service.read(run_id, 1 << 30)
    kept = run.log.last("telling_rows").get("rows", [])
    found = [OwnRow(int(row["line"]), row["kinds"][0], str(row["label"]), str(row["text"])) for row in kept if row.get("line")]
    try:
        found = found or [_offered(example) for example in load_splits(run.recipe.data, table).validation.examples]
    except WorkbenchError:
        return []
    counts: dict[tuple[str, str], int] = {}
    chosen = []
    for row in found:
        group = (row.kind, "" if row.kind else row.label)
        counts[group] = counts.get(group, 0) + 1
        if counts[group] <= OF_A_KIND:
            chosen.append(row)
    return chosen


def choices(rows: list[OwnRow], t: Words) -> list[tuple[str, str]]:
    """The rows as a list to choose from: why each is offered, and how it begins."""
    return [(f"{t(f'train.{row.kind}') if row.kind else row.label}: {short(row.text, LONGEST)}", str(row.line)) for row in rows]


def whole_row(recipe: Recipe, line: str) -> dict[str, str]:
    """All fields of the validation row that stands on this line; none where there is no such row any more."""
    data = recipe.data
    examples = dataset_from(table(data.validation or data.train, encoding=data.encoding, strict=False), data.columns).examples
    return next((dict(example.fields) for example in examples if str(example.line) == line), {})


def cell_row(service: Any, model: str, line: str) -> dict[str, str]:
    """All fields of the test row of RUN/CELL that stands on this line; none where there is no such row."""
    run_id, _, cell = model.partition("/")
    rows = measured(service, run_id, cell).rows
    return next((dict(example.fields) for example, _, _ in rows if str(example.line) == line), {})


def _measured_rows(service: Any, run_id: str, cell: str) -> list[OwnRow]:
    """The test rows that the cell was surest of, wrongly and rightly."""
    rows = sorted(measured(service, run_id, cell).rows, key=lambda row: -row[2])
    found = []
    for kind, right in (("surest_wrong", False), ("surest_right", True)):
        chosen = [example for example, said, _ in rows if (said == example.label) == right and example.line]
        found += [replace(_offered(example), kind=kind) for example in chosen[:OF_A_KIND]]
    return found


def _offered(example: InputExample) -> OwnRow:
    return OwnRow(example.line or 0, "", str(example.label), " \u00b7 ".join(example.fields.values()))
