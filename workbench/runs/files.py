"""A trained run over a file: `evaluate` compares with the file's labels, `predict` adds columns and keeps the rest as it was."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import secrets
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.data.dataset import InputExample, dataset_from, without_gaps
from workbench.data.readers import read_table
from workbench.errors import DataError, nearest
from workbench.recipe import Recipe

if TYPE_CHECKING:
    from workbench.data.table import Table
    from workbench.serving.predictor import Prediction, Predictor

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
SMALLEST_PROBABILITY = 1e-30


def evaluate_file(predictor: Predictor, data: str | Path) -> dict[str, Any]:
    """Metrics of a predictor on a labelled file: {"metrics": {...}, "examples": n}.

    Raises:
        DataError: the file cannot be read, lacks a column, or has a label that the run does not know.
    """
    return evaluate_examples(predictor, labelled_examples(data, predictor.recipe, predictor.labels))


def evaluate_examples(predictor: Predictor, examples: list[InputExample]) -> dict[str, Any]:
    """As `evaluate_file`, on examples whose labels the predictor knows; at least one."""
    rows = predictor.probabilities([example.fields for example in examples])
    return {"metrics": metrics_of(rows, [str(example.label) for example in examples], predictor.labels), "examples": len(rows)}


def labelled_examples(data: str | Path, recipe: Recipe, labels: tuple[str, ...]) -> list[InputExample]:
    """The rows of a file that have a text and a label.

    Raises:
        DataError: the file cannot be read, lacks a column, or has a label that is not among `labels`.
    """
    table = read_table(data)
    dataset, _ = without_gaps(dataset_from(table, recipe.data.columns), table.name)
    unknown = [example for example in dataset.examples if example.label not in labels]
    if unknown:
        raise DataError(
            f"{table.name}, line {unknown[0].line}: the label '{unknown[0].label}' is not one of those trained ({', '.join(labels)}); "
            f"{len(unknown)} of {len(dataset)} rows have such a label.",
            fix="Correct the labels, or train with a file that has them.",
        )
    return dataset.examples


def metrics_of(rows: list[list[float]], labels: list[str], known: tuple[str, ...]) -> dict[str, Any]:
    """Accuracy, macro-F1, loss, per-class figures and the confusion matrix.

    Args:
        rows: class probabilities [N][C], C in the order of `known`.
        labels: the true label of each row.
    """
    from workbench.training.metrics import classification_metrics

    log_probabilities = [[math.log(max(p, SMALLEST_PROBABILITY)) for p in row] for row in rows]
    return classification_metrics(log_probabilities, [known.index(label) for label in labels], known)


def predict_file(predictor: Predictor, data: str | Path, out: str | Path) -> dict[str, Any]:
    """Writes `data` with the columns prediction and probability_LABEL added to `out`; the suffix of `out` is its format.

    Returns:
        {"out": path, "examples": n, "counts": {label: n}}.

    Raises:
        DataError: the file cannot be read or lacks a column, or `out` cannot be written.
    """
    source, target = Path(data), Path(out)
    writers = {".csv": _delimited, ".tsv": _delimited, ".jsonl": _json_lines, ".xlsx": _spreadsheet}
    if target.suffix.lower() not in writers:
        raise DataError(f"--out {target.name} is not a format that predictions are written in.", fix=f"End it in {', '.join(writers)}.")
    if target.resolve() == source.resolve():
        raise DataError(f"--out {target.name} is the data file itself.", fix="Give another name.")
    table = read_table(source)
    predictions = predictor.predict(fields_of(table, predictor.recipe.data.columns), label_words=False)
    content = writers[target.suffix.lower()](source, target, table, _added(table, predictions, predictor.labels))
    staged = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.write_bytes(content)
        os.replace(staged, target)
    except OSError as error:
        raise DataError(f"--out {target} cannot be written: {error.strerror}.", fix="Give a folder that you may write to.") from None
    finally:
        staged.unlink(missing_ok=True)
    return {"out": str(target), "examples": len(predictions), "counts": dict(Counter(p.label for p in predictions))}


def fields_of(table: Table, columns: dict[str, str]) -> list[dict[str, str]]:
    """The template's fields of every row, in the file's order; no label is needed.

    Raises:
        DataError: a column is missing.
    """
    places = {}
    for field, column in columns.items():
        if field == "label":
            continue
        if column not in table.columns:
            raise DataError(f"{table.name} has no column '{column}', which feeds {{{field}}}.", fix=nearest(column, table.columns))
        places[field] = table.columns.index(column)
    return [{field: row[place] for field, place in places.items()} for row in table.rows]


def _added(table: Table, predictions: list[Prediction], labels: tuple[str, ...]) -> dict[str, list[str | float]]:
    """Column -> values; a name that the file already has gets a number, so that nothing of the file is lost."""
    added: dict[str, list[str | float]] = {_free("prediction", table.columns): [p.label for p in predictions]}
    for label in labels:
        added[_free(f"probability_{label}", (*table.columns, *added))] = [round(p.probabilities[label], 8) for p in predictions]
    return added


def _free(name: str, taken: tuple[str, ...]) -> str:
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _delimited(source: Path, target: Path, table: Table, added: dict[str, list[str | float]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter="\t" if target.suffix.lower() == ".tsv" else ",", lineterminator="\n")
    writer.writerow([*table.columns, *added])
    for row, *values in zip(table.rows, *added.values(), strict=True):
        writer.writerow([*row, *(_inert(value) for value in values)])
    try:
        return text.getvalue().encode(table.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return text.getvalue().encode("utf-8", "surrogatepass")


def _inert(value: str | float) -> str | float:
    """A label that a spreadsheet would take for a formula, quoted; the file's own cells are not ours to change."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def _json_lines(source: Path, target: Path, table: Table, added: dict[str, list[str | float]]) -> bytes:
    """JSON lines in, the same objects out: numbers stay numbers and nested values stay nested."""
    originals: list[dict[str, Any]] = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    if source.suffix.lower() == ".jsonl":
        lines = source.read_text(encoding=table.encoding or "utf-8").removeprefix("\ufeff").split("\n")
        originals = [json.loads(lines[number - 1]) for number in table.lines]
    lines_out = []
    for original, *values in zip(originals, *added.values(), strict=True):
        lines_out.append(json.dumps({**original, **dict(zip(added, values, strict=True))}, ensure_ascii=False) + "\n")
    return "".join(lines_out).encode("utf-8", "surrogatepass")


def _spreadsheet(source: Path, target: Path, table: Table, added: dict[str, list[str | float]]) -> bytes:
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    rows = [[*table.columns, *added], *([*row, *values] for row, *values in zip(table.rows, *added.values(), strict=True))]
    for number, row in enumerate(rows, start=1):
        for place, value in enumerate(row, start=1):
            cell = sheet.cell(number, place)
            cell.value = value
            if isinstance(value, str):
                cell.data_type = "s"  # otherwise text that begins with = becomes a formula
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()
