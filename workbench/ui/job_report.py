"""What a job found, as HTML: its table, in the page's words where text/*.yaml has them."""

from __future__ import annotations

from typing import Any

from workbench.ui.markup import heading, percent, table
from workbench.ui.text import Words

SHARES = ("accuracy", "macro_f1")


def kind_name(kind: str, t: Words) -> str:
    """What a run of this kind is called."""
    return t.get(f"jobs.kinds.{kind}", kind)


def report_html(kind: str, result: dict[str, Any], t: Words) -> str:
    """The table of a job that has ended; nothing before that."""
    found = result.get("table")
    if not found:
        return ""
    columns = [str(name) for name in found["columns"]]
    rows = [[_cell(columns[place], value, place == 0, t) for place, value in enumerate(row)] for row in found["rows"]]
    numeric = frozenset(place for place in range(len(columns)) if any(isinstance(row[place], int | float) for row in found["rows"]))
    return heading(kind_name(kind, t)) + table([word(name, t) for name in columns], rows, numeric=numeric)


def word(name: str, t: Words) -> str:
    """A column or row of a job's table in the page's language; as it is where no translator has seen it."""
    return t.get(f"jobs.words.{name}", name)


def _cell(column: str, value: Any, first: bool, t: Words) -> str:
    if value is None:
        return "\u2013"
    if isinstance(value, float):
        return percent(value) if column.startswith(SHARES) else f"{value:.4g}"
    return word(str(value), t) if first else str(value)
