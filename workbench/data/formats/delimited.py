"""Comma-, tab- and semicolon-separated text (RFC 4180), read strictly: quoted fields may hold newlines, rows are as wide as the header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import replace

from workbench.data.encoding import decode
from workbench.data.formats import Source, register_format
from workbench.data.formulas import restored
from workbench.data.labelling import COLUMNS
from workbench.data.table import MAX_COLUMNS, MAX_FIELD_CHARACTERS, Table, build_table, check_value, check_width, column_names
from workbench.errors import DataError

_DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon"}
_SAMPLE_CHARACTERS = 65_536
_SAMPLE_ROWS = 50

# The csv module has one limit for the whole process, 131,072 by default; build_table checks the same bound for every format.
csv.field_size_limit(MAX_FIELD_CHARACTERS)


def stream_csv(name: str, lines: Iterable[str], sample: str) -> Iterator[tuple[int, dict[str, str]]]:
    """See `RowStream`."""
    return _stream(name, lines, sniff_delimiter(sample, ","))


def stream_tsv(name: str, lines: Iterable[str], sample: str) -> Iterator[tuple[int, dict[str, str]]]:
    """See `RowStream`."""
    return _stream(name, lines, sniff_delimiter(sample, "\t"))


@register_format("csv", suffixes=(".csv", ".txt"), title="comma-separated text", stream=stream_csv)
def read_csv(source: Source) -> Table:
    """A table from delimited text; the delimiter is found from the header and the first rows."""
    return _read(source, "csv", ",")


@register_format("tsv", suffixes=(".tsv", ".tab"), title="tab-separated text", stream=stream_tsv)
def read_tsv(source: Source) -> Table:
    """A table from delimited text that most likely has tabs."""
    return _read(source, "tsv", "\t")


def _read(source: Source, format: str, expected: str) -> Table:
    text, encoding = decode(source.data, name=source.name, encoding=source.encoding)
    if not text.strip():
        raise DataError(f"{source.name} is empty.", fix="Choose a file with a line of column names and at least one row.")
    delimiter = sniff_delimiter(text, expected)
    # newline="" splits at \n, \r\n and \r alone and changes none of them; str.splitlines would also split at U+2028 inside a text.
    records = _records(source.name, io.StringIO(text, newline=""), delimiter)
    first = next(records, None)
    if first is None:
        raise DataError(f"{source.name} is empty.", fix="Choose a file with a line of column names and at least one row.")
    _, _, header = first
    table = build_table(source.name, format, encoding, header, _checked(source.name, records, len(header)))
    if table.columns != COLUMNS:
        return table
    # Labels that were given here and saved: in a file of anybody else an apostrophe in front is the text's own.
    return replace(table, rows=[tuple(map(restored, row)) for row in table.rows])


def sniff_delimiter(text: str, expected: str = ",") -> str:
    """The delimiter that the header holds and that gives most of the first rows the header's width; `expected` wins a tie."""
    sample = text[:_SAMPLE_CHARACTERS]
    best, best_score = expected, (-1.0, 0, False)
    for delimiter in _DELIMITERS:
        reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
        widths = [len(row) for row, _ in zip((row for row in reader if row), range(_SAMPLE_ROWS), strict=False)]
        if not widths or widths[0] < 2:
            continue
        # The sample may cut its last row short.
        rows = widths[1:-1] if len(sample) < len(text) and len(widths) < _SAMPLE_ROWS else widths[1:]
        share = sum(width == widths[0] for width in rows) / len(rows) if rows else 1.0
        score = (share, min(widths[0], MAX_COLUMNS), delimiter == expected)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _stream(name: str, lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, dict[str, str]]]:
    records = _records(name, lines, delimiter)
    first = next(records, None)
    if first is None:
        raise DataError(f"{name} is empty.", fix="Choose a file with a line of column names and at least one row.")
    columns = column_names(name, first[2])
    for line, values in _checked(name, records, len(columns)):
        row = dict(zip(columns, values, strict=True))
        for column, value in row.items():
            check_value(name, line, column, value)
        yield line, row


def _records(name: str, lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, int, list[str]]]:
    """(first line, last line, fields) of every row that is not blank."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _quote_error(name, line, reader.line_num, str(error), delimiter) from None
        if row:
            yield line, reader.line_num, row


def _quote_error(name: str, line: int, last_line: int, reason: str, delimiter: str) -> DataError:
    if "field limit" in reason:
        return DataError(
            f"{name}, line {line}: a field is longer than {MAX_FIELD_CHARACTERS:,} characters.",
            fix="Close the quote that opens on this line, or shorten the text.",
        )
    until = f" up to line {last_line}" if last_line > line else ""
    return DataError(
        f"{name}, line {line}: a quote opens here and is not closed before the next {_DELIMITERS[delimiter]} or line end{until}.",
        fix='Close the quote; inside a quoted text, write each quote twice ("").',
    )


def _checked(name: str, records: Iterator[tuple[int, int, list[str]]], width: int) -> Iterator[tuple[int, list[str]]]:
    for line, last_line, row in records:
        check_width(name, line, len(row), width, last_line=last_line)
        yield line, row
