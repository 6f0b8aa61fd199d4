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

_MAX_SHEET_ROWS = 1_048_576
# So that no file takes over ten seconds of processor time, a few kilobytes that unpack to millions of empty cells among them: a megabyte
# of text takes about 10 milliseconds, a tag 3 to 7 microseconds (a cell of text has six, its row two), a cell that is not there 0.2.
_MAX_UNPACKED_BYTES = 150_000_000
_MAX_TAGS = 1_200_000
_MAX_CELLS = 10_000_000
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


class _Bounded(zipfile.ZipFile):
    """A workbook's parts, as long as all that is read of them, one that is read again included, stays within bounds."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.bytes_left, self.tags_left, self.cells_left = _MAX_UNPACKED_BYTES, _MAX_TAGS, _MAX_CELLS

    def open(self, *args: Any, **options: Any) -> Any:
        """A part, whose content is counted while it is read."""
        part = super().open(*args, **options)
        read = part.read

        def counted(size: int | None = -1) -> bytes:
            content: bytes = read(min(size, self.bytes_left + 1) if size is not None and size >= 0 else self.bytes_left + 1)
            self.bytes_left -= len(content)
            self.tags_left -= content.count(b"<")
            self.check()
            return content

        part.read = counted  # type: ignore[method-assign]
        return part

    def check(self) -> None:
        """Raises ValueError once more was read than is taken."""
        if self.is_too_large:
            raise ValueError

    @property
    def is_too_large(self) -> bool:
        """Whether more was read than is taken."""
        return min(self.bytes_left, self.tags_left, self.cells_left) < 0


def _read(source: Source) -> Table:
    archive = _Bounded(source.data)
    try:
        return _first_table(source, archive)
    except ValueError:  # openpyxl's own as well, around ours
        if archive.is_too_large:
            raise DataError(f"{source.name} is too large for an Excel workbook.", fix="Save it as CSV, or give fewer rows.") from None
        raise


def _first_table(source: Source, archive: _Bounded) -> Table:
    from openpyxl.reader.excel import ExcelReader

    reader = ExcelReader(io.BytesIO(source.data), read_only=True, data_only=True, keep_links=False)
    reader.archive = archive
    reader.read()
    archive.tags_left = _MAX_TAGS  # in which it has looked through sheets that do not say how large they are
    book = reader.wb
    try:
        for sheet in book.worksheets:
            sheet.reset_dimensions()
            rows = _rows(source.name, sheet, archive)
            first = next(rows, None)
            if first is not None:
                header = first[1]
                return build_table(source.name, "xlsx", "binary", header, _padded(source.name, rows, len(header)))
    finally:
        book.close()
    raise DataError(f"{source.name} is empty.", fix="Write column names in the first row of the first sheet, and rows below.")


def _rows(name: str, sheet: Any, archive: _Bounded) -> Iterator[tuple[int, list[str]]]:
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        # A forged row number would otherwise make the reader count through billions of empty rows.
        if number > _MAX_SHEET_ROWS:
            raise DataError(f"{name}, line {number}: a sheet has at most {_MAX_SHEET_ROWS:,} rows.", fix="Save the workbook again.")
        archive.cells_left -= len(cells) + 1
        archive.check()
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
