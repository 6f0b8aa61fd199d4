"""Rows of the recipe's files for looking at, read once per version of a file."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from workbench.access import check_data_file
from workbench.data.conversations import ConversationSplits, load_conversations
from workbench.data.dataset import Dataset, Splits, dataset_from, load_splits
from workbench.data.encoding import AUTO
from workbench.data.readers import MAX_FILE_BYTES, read_table
from workbench.data.streams import first_rows, streams_well
from workbench.data.table import Table, rows_where
from workbench.errors import DataError
from workbench.recipe import PRESETS, PROJECT, DataPart, Recipe

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".xlsx", ".parquet")


def preset_files() -> list[str]:
    """Data files that come with the project, as a recipe writes them."""
    folder = PRESETS / "data"
    return [p.relative_to(PROJECT).as_posix() for p in sorted(folder.glob("*")) if p.suffix in SUFFIXES]


def table(path: str, *, encoding: str = AUTO, strict: bool = True) -> Table:
    """The file as a table; of one that training reads as a stream the first rows, and `Table.whole` is False.

    Args:
        encoding, strict: as `read_table`.

    Raises:
        DataError: it cannot be read.
        AccessError: a client of a shared server may not read there.
    """
    check_data_file(path)  # before the cache, which does not know who asks
    return _table(path, _version(path), encoding, strict)


def whole_table(path: str, *, encoding: str = AUTO, strict: bool = True) -> Table:
    """As `table`, for what needs every row: a file of which only the first rows would be there is refused."""
    found = table(path, encoding=encoding, strict=strict)
    if not found.whole:
        raise DataError(f"{found.name} is larger than {MAX_FILE_BYTES // 2**20} MB.", fix="Take a sample of its rows.")
    return found


def training_table(recipe: Recipe) -> Table:
    """The rows of the training file that the recipe reads; the first ones of a file that a classifier reads as a stream.

    Raises:
        DataError, AccessError: as `table`; no row holds what `data.only` asks for, or what is asked for needs a smaller file.
    """
    read = whole_table if recipe.data.only or recipe.task == "generation" else table
    return rows_where(read(recipe.data.train, encoding=recipe.data.encoding), recipe.data.only)


def dataset(recipe: Recipe) -> Dataset:
    """The training file's examples under the recipe's columns."""
    return dataset_from(training_table(recipe), recipe.data.columns)


def splits(recipe: Recipe) -> Splits | ConversationSplits:
    """What a training of the recipe would take from its files.

    Raises:
        DataError, AccessError: as `load_splits` and `load_conversations`; the training file is read as a stream.
    """
    files = [file for file in (recipe.data.train, recipe.data.validation, recipe.data.unlabeled) if file]
    for file in files:
        check_data_file(file)  # as in `table`
    return _splits(recipe.task, recipe.data.model_dump_json(), tuple(map(_version, files)))


def _version(path: str) -> tuple[int, int]:
    try:
        stat = os.stat(path)
    except (OSError, ValueError):
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=6)
def _table(path: str, version: tuple[int, int], encoding: str, strict: bool) -> Table:
    return first_rows(path, encoding) if streams_well(path) else read_table(Path(path), encoding=encoding, strict=strict)


@lru_cache(maxsize=2)
def _splits(task: str, data: str, versions: tuple[tuple[int, int], ...]) -> Splits | ConversationSplits:
    return (load_conversations if task == "generation" else load_splits)(DataPart.model_validate_json(data), whole_table)
