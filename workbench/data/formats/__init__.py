"""The registry of file formats. A format is one file in this folder with one `@register_format` line; nothing else is edited.

A reader takes a `Source` and returns a `Table`. Files are told apart by their suffix, and what they hold by their first bytes: a
workbook named .csv is refused instead of being read as letters.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from workbench.data.encoding import AUTO
from workbench.data.table import Table


@dataclass(frozen=True)
class Source:
    """One file's bytes, its name in messages, its suffix such as '.csv', and the encoding that a person declared, or `auto`."""

    name: str
    suffix: str
    data: bytes
    encoding: str = AUTO


RowStream = Callable[[str, Iterable[str], str], Iterator[tuple[int, dict[str, str]]]]
"""From a file's name, its lines with their ends, and the text of its beginning: line and fields of every row, checked as a table's."""


@dataclass(frozen=True)
class FileFormat:
    """A named format: the suffixes it owns, the first bytes its files must have (b"" for text), its reader, and, where rows can be read
    one after another, a reader that holds one at a time."""

    name: str
    suffixes: tuple[str, ...]
    magic: bytes
    title: str
    read: Callable[[Source], Table]
    stream: RowStream | None = None


_FORMATS: dict[str, FileFormat] = {}


def register_format(
    name: str, *, suffixes: tuple[str, ...], title: str, magic: bytes = b"", stream: RowStream | None = None
) -> Callable[[Callable[[Source], Table]], Callable[[Source], Table]]:
    """Registers the decorated reader; a name or suffix that is taken is refused at import."""

    def register(read: Callable[[Source], Table]) -> Callable[[Source], Table]:
        taken = {suffix for known in _FORMATS.values() for suffix in known.suffixes}
        if name in _FORMATS or taken & set(suffixes):
            raise ValueError(f"The file format '{name}' or one of its suffixes {suffixes} is registered already.")
        _FORMATS[name] = FileFormat(name, suffixes, magic, title, read, stream)
        return read

    return register


@cache
def file_formats() -> dict[str, FileFormat]:
    """Every format by suffix; imports the files of this folder at the first call."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {suffix: known for known in _FORMATS.values() for suffix in known.suffixes}
