"""Rows of the recipe's files for looking at, read once per version of a file."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from workbench.access import check_data_file
from workbench.data.dataset import Dataset, dataset_from
from workbench.data.readers import read_table
from workbench.data.table import Table, rows_where
from workbench.recipe import PRESETS, PROJECT, Recipe

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".xlsx", ".parquet")


def preset_files() -> list[str]:
    """Data files that come with the project, as a recipe writes them."""
    folder = PRESETS / "data"
    return [p.relative_to(PROJECT).as_posix() for p in sorted(folder.glob("*")) if p.suffix in SUFFIXES]


def table(path: str) -> Table:
    """The file as a table.

    Raises:
        DataError: it cannot be read.
        AccessError: a client of a shared server may not read there.
    """
    check_data_file(path)  # before the cache, which does not know who asks
    try:
        stat = os.stat(path)
        version = (stat.st_mtime_ns, stat.st_size)
    except OSError:
        version = (0, 0)
    return _table(path, version)


def training_table(recipe: Recipe) -> Table:
    """The rows of the training file that the recipe reads.

    Raises:
        DataError, AccessError: as `table`; no row holds what `data.only` asks for.
    """
    return rows_where(table(recipe.data.train), recipe.data.only)


def dataset(recipe: Recipe) -> Dataset:
    """The training file's examples under the recipe's columns."""
    return dataset_from(training_table(recipe), recipe.data.columns)


@lru_cache(maxsize=4)
def _table(path: str, version: tuple[int, int]) -> Table:
    return read_table(Path(path))
