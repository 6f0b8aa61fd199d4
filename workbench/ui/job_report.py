"""What a job found, as HTML: its table, in the page's words where text/*.yaml has them."""

from __future__ import annotations

from typing import Any

from workbench.ui import charts
from workbench.ui.markup import heading, percent, short, table
from workbench.ui.text import Words

LONGEST_NAME = 44
LONGEST_TICK = 30
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
    return heading(kind_name(kind, t)) + table([word(name, t) for name in columns], rows, numeric=numeric, save=kind)


def report_figure(result: dict[str, Any], t: Words) -> Any:
    """Accuracy of every line of a job's table as points, with the spread over seeds where there is one; None without accuracies."""
    found = result.get("table") or {"columns": [], "rows": []}
    columns = [str(name) for name in found["columns"]]
    if "accuracy" not in columns:
        return None
    lines = [dict(zip(columns, row, strict=True)) for row in found["rows"]]
    lines = [line for line in lines if isinstance(line["accuracy"], float)]
    names = [_name(line, columns[0], number, t) for number, line in enumerate(lines, start=1)]
    values = [line["accuracy"] for line in lines]
    spreads = [line.get("accuracy_std") or 0.0 for line in lines]
    lows = [max(0.0, value - spread) for value, spread in zip(values, spreads, strict=True)]
    highs = [min(1.0, value + spread) for value, spread in zip(values, spreads, strict=True)]
    colors = [charts.ACCENT if line.get("template") is None or columns[0] == "template" else charts.WARM for line in lines]
    return charts.intervals(names, values, lows, highs, colors) if lines else None


def sweep_figure(result: dict[str, Any], t: Words) -> Any:
    """A sweep's configurations as parallel coordinates: what was varied, then what it came to; None where nothing was varied."""
    found = result.get("table") or {"columns": [], "rows": []}
    columns = [str(name) for name in found["columns"]]
    if "learning_rate" not in columns or not found["rows"]:
        return None
    lines = [dict(zip(columns, row, strict=True)) for row in found["rows"]]
    first = ("template", "method", "learning_rate")
    tried = [*first, *(name for name in columns[: columns.index("accuracy")] if name not in first)]
    varied = [name for name in tried if len({str(line[name]) for line in lines}) > 1]
    if not varied:
        return None
    scales = [_scale(name, [line[name] for line in lines], t) for name in (*varied, *SHARES, "loss", "seconds")]
    return charts.parallel(scales, [line["accuracy"] for line in lines])


def _scale(name: str, values: list[Any], t: Words) -> charts.Scale:
    if all(isinstance(value, int | float) for value in values):
        return charts.Scale(word(name, t), values, share=name in SHARES, log=name == "learning_rate")
    different = list(dict.fromkeys(map(str, values)))
    texts = [t.get(f"methods.{text}.title", word(text, t)) for text in different]
    # Two long names may begin alike: then the number keeps them apart.
    names = [text if len(text) <= LONGEST_TICK else f"{number}. {short(text, LONGEST_TICK)}" for number, text in enumerate(texts, start=1)]
    return charts.Scale(word(name, t), [names[different.index(str(value))] for value in values])


def _name(line: dict[str, Any], column: str, number: int, t: Words) -> str:
    # A category axis lays equal names on one another: the number keeps them apart.
    said = word(str(line[column]), t)
    template = line.get("template") if column != "template" else None
    return _short(f"{said}: {template}" if template else said, number)


def _short(text: str, number: int) -> str:
    return f"{number}. {short(text, LONGEST_NAME)}"


def word(name: str, t: Words) -> str:
    """A column or row of a job's table in the page's language; as it is where no translator has seen it."""
    return t.get(f"jobs.words.{name}", name)


def _cell(column: str, value: Any, first: bool, t: Words) -> str:
    if value is None:
        return "\u2013"
    if isinstance(value, float):
        return percent(value) if column.startswith(SHARES) else f"{value:.4g}"
    return word(str(value), t) if first else str(value)
