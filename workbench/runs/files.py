"""A trained run over a file: `evaluate` compares with the file's labels or answers, `predict` adds columns and keeps the rest as it was."""

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
from workbench.data.formulas import inert
from workbench.data.readers import read_table
from workbench.errors import DataError, nearest
from workbench.models.transfer import Progress, TimedStage, untold
from workbench.recipe import Recipe
from workbench.serving import SMALLEST_PROBABILITY

if TYPE_CHECKING:
    from workbench.data.table import Table
    from workbench.runs.boards import CellModel
    from workbench.runs.service import RunService
    from workbench.serving.generator import Generator
    from workbench.serving.predictor import Prediction, Predictor

Added = dict[str, list[str | float]]
# What Excel's format holds: rows of a sheet, the first one for the names, and characters of a cell.
MOST_SHEET_ROWS, LONGEST_CELL = 1_048_576, 32_767


def answering(service: RunService, run_id: str) -> Predictor | Generator:
    """What answers for a run, with a class or with text; RunError when there is no such run or nothing is tuned yet."""
    writes = service.store.recipe(run_id).task == "generation"
    return service.generator(run_id) if writes else service.predictor(run_id)


def evaluate_file(predictor: Predictor | Generator, data: str | Path, progress: Progress = untold) -> dict[str, Any]:
    """Metrics of what answers on a labelled file: {"metrics": {...}, "examples": n, "telling_rows": [...]}; of a model that writes on a
    file with answers, without telling rows.

    Args:
        progress: told the stages read and answer, of the latter the share done and the time left.

    Raises:
        DataError: the file cannot be read, lacks a column, or has a label that the run does not know.
    """
    from workbench.serving.generator import Generator

    progress("read", None)
    if isinstance(predictor, Generator):
        from workbench.runs.answer_files import evaluate_answers

        return evaluate_answers(predictor, data, progress)
    return evaluate_examples(predictor, labelled_examples(data, predictor.recipe, predictor.labels), progress)


def evaluate_examples(predictor: Predictor, examples: list[InputExample], progress: Progress = untold) -> dict[str, Any]:
    """As `evaluate_file`, on examples whose labels the predictor knows; at least one."""
    from workbench.training.telling_rows import telling_rows

    rows = predictor.probabilities([example.fields for example in examples], between=TimedStage("answer", progress))
    metrics = metrics_of(rows, [str(example.label) for example in examples], predictor.labels)
    return {"metrics": metrics, "examples": len(rows), "telling_rows": telling_rows(_logs(rows), examples, predictor.labels)}


def labelled_examples(data: str | Path, recipe: Recipe, labels: tuple[str, ...]) -> list[InputExample]:
    """The rows of a file that have a text and a label.

    Raises:
        DataError: the file cannot be read, lacks a column, or has a label that is not among `labels`.
    """
    table = read_table(data, encoding=recipe.data.encoding, strict=False)
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

    return classification_metrics(_logs(rows), [known.index(label) for label in labels], known)


def _logs(rows: list[list[float]]) -> list[list[float]]:
    return [[math.log(max(p, SMALLEST_PROBABILITY)) for p in row] for row in rows]


def predict_file(
    predictor: Predictor | CellModel | Generator, data: str | Path, out: str | Path, progress: Progress = untold
) -> dict[str, Any]:
    """Writes `data` with the columns prediction and probability_LABEL added to `out`, or with the column answer where text is written;
    the suffix of `out` is its format.

    Args:
        progress: told the stages read, answer and save, of the second the share done and the time left; what it raises ends the work, and
            nothing is written.

    Returns:
        {"out": path, "examples": n, "counts": {label: n}}; of a model that writes no counts, but "metrics" where the file holds answers.

    Raises:
        DataError: the file cannot be read or lacks a column, or `out` cannot be written.
    """
    from workbench.serving.generator import Generator

    source, target = Path(data), Path(out)
    writers = {".csv": _delimited, ".tsv": _delimited, ".jsonl": _json_lines, ".xlsx": _spreadsheet}
    if target.suffix.lower() not in writers:
        raise DataError(f"--out {target.name} is not a format that predictions are written in.", fix=f"End it in {', '.join(writers)}.")
    if target.resolve() == source.resolve():
        raise DataError(f"--out {target.name} is the data file itself.", fix="Give another name.")
    progress("read", None)
    table = read_table(source, encoding=predictor.recipe.data.encoding, strict=False)
    if writers[target.suffix.lower()] is _spreadsheet:
        _check_sheet(table)
    if isinstance(predictor, Generator):
        from workbench.runs.answer_files import written_answers

        answers, told = written_answers(predictor, table, progress)
        added: Added = {_free("answer", table.columns): list(answers)}
    else:
        fields = fields_of(table, predictor.recipe.data.columns)
        predictions = predictor.predict(fields, label_words=False, between=TimedStage("answer", progress))
        added, told = _added(table, predictions, predictor.labels), {"counts": dict(Counter(p.label for p in predictions))}
    progress("save", None)
    content = writers[target.suffix.lower()](source, target, table, added)
    staged = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.write_bytes(content)
        os.replace(staged, target)
    except OSError as error:
        raise DataError(f"--out {target} cannot be written: {error.strerror}.", fix="Give a folder that you may write to.") from None
    finally:
        staged.unlink(missing_ok=True)
    return {"out": str(target), "examples": len(table.rows), **told}


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


def _added(table: Table, predictions: list[Prediction], labels: tuple[str, ...]) -> Added:
    """Column -> values; a name that the file already has gets a number, so that nothing of the file is lost."""
    added: Added = {_free("prediction", table.columns): [p.label for p in predictions]}
    for label in labels:
        added[_free(f"probability_{label}", (*table.columns, *added))] = [round(p.probabilities[label], 8) for p in predictions]
    return added


def _free(name: str, taken: tuple[str, ...]) -> str:
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _delimited(source: Path, target: Path, table: Table, added: Added) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter="\t" if target.suffix.lower() == ".tsv" else ",", lineterminator="\n", quoting=_quoting(table))
    writer.writerow([*table.columns, *added])
    for row, *values in zip(table.rows, *added.values(), strict=True):
        writer.writerow([*row, *(_inert(value) for value in values)])
    try:
        return text.getvalue().encode(table.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return text.getvalue().encode("utf-8", "surrogatepass")


def _quoting(table: Table) -> Any:
    """Every cell is quoted where one holds a lone carriage return, which Python writes as it is and readers take for the end of a row."""
    lone = any("\r" in cell for row in table.rows for cell in row)
    return csv.QUOTE_ALL if lone else csv.QUOTE_MINIMAL


def _inert(value: str | float) -> str | float:
    """A label or an answer that a spreadsheet would take for a formula, quoted; the file's own cells are not ours to change."""
    return inert(value) if isinstance(value, str) else value


def _json_lines(source: Path, target: Path, table: Table, added: Added) -> bytes:
    """JSON lines in, the same objects out: numbers stay numbers and nested values stay nested."""
    originals: list[dict[str, Any]] = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    if source.suffix.lower() == ".jsonl":
        lines = source.read_text(encoding=table.encoding or "utf-8").removeprefix("\ufeff").split("\n")
        originals = [json.loads(lines[number - 1]) for number in table.lines]
    lines_out = []
    for original, *values in zip(originals, *added.values(), strict=True):
        lines_out.append(json.dumps({**original, **dict(zip(added, values, strict=True))}, ensure_ascii=False) + "\n")
    return "".join(lines_out).encode("utf-8", "surrogatepass")


def _check_sheet(table: Table) -> None:
    if len(table.rows) >= MOST_SHEET_ROWS or any(len(cell) > LONGEST_CELL for row in table.rows for cell in row):
        raise DataError(
            f"{table.name} does not fit a spreadsheet, which holds {MOST_SHEET_ROWS} rows and {LONGEST_CELL} characters in a cell.",
            fix="Write .csv or .jsonl.",
        )


def _spreadsheet(source: Path, target: Path, table: Table, added: Added) -> bytes:
    from openpyxl import Workbook
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    book = Workbook()
    sheet = book.active
    rows = [[*table.columns, *added], *([*row, *values] for row, *values in zip(table.rows, *added.values(), strict=True))]
    for number, row in enumerate(rows, start=1):
        for place, value in enumerate(row, start=1):
            cell = sheet.cell(number, place)
            # Form feeds and the like, which stand in texts from slides and which no spreadsheet can hold.
            cell.value = ILLEGAL_CHARACTERS_RE.sub(" ", value) if isinstance(value, str) else value
            if isinstance(value, str):
                cell.data_type = "s"  # otherwise text that begins with = becomes a formula
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()
