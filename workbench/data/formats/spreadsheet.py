"""Excel workbooks (.xlsx): the first sheet that holds anything, each cell as the text a person sees in it.

Text cells stay as they are, 1.0 is '1', truth values are 'TRUE' and 'FALSE', a number formatted with leading zeros keeps them, and a
formula gives its last computed value.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from workbench.data.formats import Source, register_format
from workbench.data.table import Table, build_table, check_width
from workbench.errors import DataError

_MAX_UNPACKED_BYTES = 600 * 1024 * 1024
_MAX_SHEET_ROWS = 1_048_576
# What zipfile, ElementTree and openpyxl raise on damaged workbooks; xml's ParseError is a SyntaxError, an encrypted member a RuntimeError.
_DAMAGED = (
    zipfile.BadZipFile,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    OSError,
    EOFError,
    zlib.error,
    SyntaxError,
    OverflowError,
    RuntimeError,
    struct.error,
    AssertionError,
)


@register_format("xlsx", suffixes=(".xlsx", ".xlsm"), title="an Excel workbook", magic=b"PK\x03\x04")
def read_xlsx(source: Source) -> Table:
    """A table from the first sheet with content; its first row holds the column names."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _read(source)
    except _DAMAGED:
        raise DataError(
            f"{source.name} is not a readable Excel workbook.", fix="Open it in a spreadsheet program and save it again as .xlsx."
        ) from None


def _read(source: Source) -> Table:
    from openpyxl import load_workbook

    with zipfile.ZipFile(io.BytesIO(source.data)) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > _MAX_UNPACKED_BYTES:
        raise DataError(
            f"{source.name} unpacks to {unpacked:,} bytes.",
            fix=f"Keep the workbook under {_MAX_UNPACKED_BYTES:,} bytes, or save it as CSV.",
        )
    book = load_workbook(io.BytesIO(source.data), read_only=True, data_only=True, keep_links=False)
    try:
        for sheet in book.worksheets:
            sheet.reset_dimensions()
            rows = _rows(source.name, sheet)
            first = next(rows, None)
            if first is not None:
                header = first[1]
                return build_table(source.name, "xlsx", "binary", header, _padded(source.name, rows, len(header)))
    finally:
        book.close()
    raise DataError(f"{source.name} is empty.", fix="Write column names in the first row of the first sheet, and rows below.")


def _rows(name: str, sheet: Any) -> Iterator[tuple[int, list[str]]]:
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        # A forged row number would otherwise make the reader count through billions of empty rows.
        if number > _MAX_SHEET_ROWS:
            raise DataError(f"{name}, line {number}: a sheet has at most {_MAX_SHEET_ROWS:,} rows.", fix="Save the workbook again.")
        values = [cell_text(cell.value, getattr(cell, "number_format", "")) for cell in cells]
        while values and not values[-1]:
            values.pop()
        if values:
            yield number, values


def _padded(name: str, rows: Iterator[tuple[int, list[str]]], width: int) -> Iterator[tuple[int, list[str]]]:
    for line, values in rows:
        values += [""] * (width - len(values))
        check_width(name, line, len(values), width)
        yield line, values


def cell_text(value: Any, number_format: str | None = None) -> str:
    """A cell's value as the text that a spreadsheet shows for it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    if isinstance(value, int) and number_format and re.fullmatch("0{2,}", number_format):
        return f"{value:0{len(number_format)}d}"
    return str(value)
