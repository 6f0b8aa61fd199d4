"""A file's content as text: the one shape that every file format is read into, with the checks that all of them share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from workbench.errors import DataError, nearest

MAX_FIELD_CHARACTERS = 1_000_000
MAX_COLUMNS = 4_096
MAX_ROWS = 2_000_000
# A text file cannot hold more; a workbook or a Parquet file of some kilobytes can stand for terabytes of the same text.
MAX_CHARACTERS = 200_000_000

# Tokenizers and SQLite refuse half surrogates, and a NUL ends a string in much software: neither is text anyone meant to write.
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class Table:
    """Rows of text under named columns.

    Args:
        name: the file's name, as messages show it.
        format: the registered format, such as 'csv'.
        encoding: how the bytes were decoded, such as 'utf-8' or 'gb18030'; 'binary' for workbooks and Parquet.
        columns: distinct names, in the file's order.
        rows: one tuple per row, as long as `columns`.
        lines: the line on which each row starts, from 1; the row number where a format has no lines.
        whole: False where the file is so large that only its first rows are here.
    """

    name: str
    format: str
    encoding: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    lines: list[int]
    whole: bool = True

    def __len__(self) -> int:
        return len(self.rows)


def build_table(name: str, format: str, encoding: str, header: Sequence[str], records: Iterable[tuple[int, Sequence[str]]]) -> Table:
    """A checked table from a header and (line, values) records of the header's width.

    Raises:
        DataError: unusable header, no rows, too many rows or characters, a value that is too long or is not text.
    """
    columns = column_names(name, header)
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    characters = 0
    for line, values in records:
        if len(rows) == MAX_ROWS:
            raise DataError(
                f"{name}, line {line}: the file has more than {MAX_ROWS:,} rows.", fix="Take a sample of the rows, or split the file."
            )
        for column, value in zip(columns, values, strict=True):
            check_value(name, line, column, value)
        characters += sum(map(len, values))
        if characters > MAX_CHARACTERS:
            raise DataError(f"{name}, line {line}: the rows so far unpack to over {MAX_CHARACTERS:,} characters.", fix="Take fewer rows.")
        rows.append(tuple(values))
        lines.append(line)
    if not rows:
        raise DataError(f"{name} has a header but no rows.", fix="Add at least one row below the column names.")
    return Table(name, format, encoding, columns, rows, lines)


def rows_where(table: Table, wanted: Mapping[str, str]) -> Table:
    """The rows that hold these values, surrounding blanks aside; the table itself when nothing is wanted.

    Raises:
        DataError: a column that the file does not have, or values that no row holds.
    """
    for column in wanted:
        if column not in table.columns:
            raise DataError(
                f"{table.name}, line 1: there is no column '{shorten(column)}' to choose rows by.",
                fix=f"{nearest(column, table.columns)} Set data.only to columns of the file: {shorten(', '.join(table.columns), 200)}.",
            )
    places = [(table.columns.index(column), value.strip()) for column, value in wanted.items()]
    kept = [number for number, row in enumerate(table.rows) if all(row[place].strip() == value for place, value in places)]
    if not kept:
        raise DataError(
            f"{table.name}: no row holds what data.only asks for ({shorten(', '.join(wanted.values()))}).",
            fix="Correct the value, or leave data.only out.",
        )
    if len(kept) == len(table.rows):
        return table
    return replace(table, rows=[table.rows[number] for number in kept], lines=[table.lines[number] for number in kept])


def column_names(name: str, header: Sequence[str]) -> tuple[str, ...]:
    """Column names without surrounding blanks; a nameless column is called by its number, and two of the same name are refused."""
    if len(header) > MAX_COLUMNS:
        raise DataError(f"{name}, line 1: there are more than {MAX_COLUMNS:,} columns.", fix="Keep the text and label columns only.")
    columns = tuple(column.strip() or f"column {number}" for number, column in enumerate(header, start=1))
    seen: set[str] = set()
    for number, column in enumerate(columns, start=1):
        if column in seen:
            raise DataError(
                f"{name}, line 1: the column name '{shorten(column)}' stands twice.",
                fix=f"Rename column {number}, so that each name stands once.",
            )
        check_value(name, 1, f"column {number}", column)
        seen.add(column)
    return columns


def check_value(name: str, line: int, column: str, value: str) -> None:
    """Refuses a value that is too long or holds characters that are not text."""
    if len(value) > MAX_FIELD_CHARACTERS:
        raise DataError(
            f"{name}, line {line}: column '{shorten(column)}' holds {len(value):,} characters, more than {MAX_FIELD_CHARACTERS:,}.",
            fix="Shorten the text; an unbalanced quote above this line can also swallow many lines.",
        )
    found = _NOT_TEXT.search(value)
    if found:
        what = "a NUL character" if found.group() == "\x00" else "half of a surrogate pair"
        raise DataError(
            f"{name}, line {line}: column '{shorten(column)}' holds {what}.", fix="Remove that character and save the file again."
        )


def check_width(name: str, line: int, fields: int, width: int, *, last_line: int | None = None) -> None:
    """Refuses a row that has another number of fields than the header. `last_line` is where a row of several lines ends."""
    if fields == width:
        return
    if last_line is not None and last_line > line:
        place = f"{name}, line {line} to {last_line}"
        fix = f"A quote opens near line {line} and closes on line {last_line}: balance the quotes, or write a quote inside a text twice."
    else:
        place = f"{name}, line {line}"
        fix = (
            "Quote the field that contains the delimiter."
            if fields > width
            else "Add the missing field, or join the line with the one it belongs to."
        )
    raise DataError(f"{place}: {count(fields, 'field')} where the header has {width}.", fix=fix)


def count(number: int, noun: str) -> str:
    """A number with its noun: '1 row', '2 rows', '2 classes'."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def shorten(value: str, length: int = 60) -> str:
    """A value for a message: on one line, and not longer than `length`."""
    flat = " ".join(value.split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"
