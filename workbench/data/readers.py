"""One door for data files: finds the format, checks size and first bytes, and hands over to `workbench.data.formats`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from workbench.access import check_data_file
from workbench.data.encoding import AUTO, speaks_for_itself
from workbench.data.formats import FileFormat, Source, file_formats
from workbench.data.table import Table
from workbench.errors import DataError, nearest

MAX_FILE_BYTES = 100 * 1024 * 1024

Reads = Callable[..., Table]
"""`read_table`, or what answers like it from rows that were read before."""

# First bytes of files that people rename or pick by mistake: what it is, and the suffix to use or None.
_MAGIC = (
    (b"PK\x03\x04", "an Excel workbook or another ZIP archive", ".xlsx"),
    (b"PAR1", "a Parquet file", ".parquet"),
    (b"\xd0\xcf\x11\xe0", "an old or encrypted Office file", None),
    (b"\x1f\x8b", "a gzip archive", None),
    (b"%PDF-", "a PDF document", None),
    (b"\x89PNG", "an image", None),
)


def read_table(path: str | Path, *, encoding: str = AUTO, strict: bool = True, name: str | None = None) -> Table:
    """Reads csv, tsv, jsonl, json, xlsx or parquet; every value stays text.

    Args:
        path: the file. Its suffix tells the format, or that of `name` when the file on disk has a made-up name.
        encoding: how text files are decoded; `auto` detects it.
        strict: whether the encoding was chosen for this very file. Otherwise it is for files that leave a doubt, and UTF-8 stays UTF-8.
        name: what messages call the file; its own name by default.

    Raises:
        DataError: naming the file, the line where there is one, and the fix.
        AccessError: a client of a shared server may not read there.
    """
    file = Path(path)
    check_data_file(file)
    shown = name or file.name or str(path)
    data = _bytes(file, shown)
    suffix = next((s for s in (Path(shown).suffix.lower(), file.suffix.lower()) if s in file_formats()), None)
    if suffix is None:
        known = ", ".join(sorted(file_formats()))
        raise DataError(f"{shown}: files ending in '{file.suffix}' cannot be read as a table.", fix=f"Use one of {known}.")
    if not data:
        raise DataError(f"{shown} is empty.", fix="Choose a file with column names and at least one row.")
    found = file_formats()[suffix]
    _check_content(shown, data, found)
    if not strict and not found.magic and speaks_for_itself(data):
        encoding = AUTO
    return found.read(Source(shown, suffix, data, encoding))


def _bytes(file: Path, shown: str) -> bytes:
    try:
        if not file.exists():
            siblings = [p.name for p in file.parent.iterdir() if p.suffix.lower() in file_formats()] if file.parent.is_dir() else []
            fix = nearest(file.name, siblings) if siblings else "Check the path; a relative one starts at the working folder."
            raise DataError(f"There is no file '{file}'.", fix=fix)
        if not file.is_file():
            raise DataError(f"{shown} is not a file.", fix="Choose one data file, not a folder.")
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not valid"
        raise DataError(f"{shown!r} cannot be opened: {reason}.", fix="Check the path and the file's permissions.") from None
    if len(data) > MAX_FILE_BYTES:
        raise DataError(f"{shown} is larger than {MAX_FILE_BYTES // 2**20} MB.", fix="Take a sample of its rows.")
    return data


def _check_content(shown: str, data: bytes, found: FileFormat) -> None:
    if found.magic:
        if not data.startswith(found.magic):
            what = next((title for magic, title, _ in _MAGIC if data.startswith(magic)), "something else")
            raise DataError(f"{shown} is not {found.title} but {what}.", fix="Give the file the suffix of what it holds, or save it again.")
        return
    for magic, title, suffix in _MAGIC:
        if data.startswith(magic):
            fix = f"Rename it to end in {suffix}, or save it as CSV." if suffix else "Save its table as CSV or .xlsx."
            raise DataError(f"{shown} is {title}, not {found.title}.", fix=fix)
