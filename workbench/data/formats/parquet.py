"""Parquet files: flat columns, each value as text (a truth value is 'True' or 'False', a missing one is '')."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from workbench.data.formats import Source, register_format
from workbench.data.table import MAX_ROWS, Table, build_table, shorten
from workbench.errors import DataError

_MAX_UNPACKED_BYTES = 600 * 1024 * 1024
_BATCH_ROWS = 8_192


@register_format("parquet", suffixes=(".parquet", ".pq"), title="a Parquet file", magic=b"PAR1")
def read_parquet(source: Source) -> Table:
    """A table from all columns; rows are numbered from 1."""
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(io.BytesIO(source.data))
        _check_size(source.name, file.metadata)
        # Texts stay in their dictionaries: one of a megabyte that two million rows point at must not become two million texts.
        texts = [field.name for field in file.schema_arrow if pyarrow.types.is_string(field.type) or pyarrow.types.is_binary(field.type)]
        file = parquet.ParquetFile(io.BytesIO(source.data), read_dictionary=texts)
        for field in file.schema_arrow:
            if pyarrow.types.is_nested(field.type):
                raise DataError(
                    f"{source.name}: the column '{shorten(field.name)}' holds lists or objects.",
                    fix="Drop that column, or write its parts as columns.",
                )
        return build_table(source.name, "parquet", "binary", file.schema_arrow.names, _rows(source.name, file))
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError):
        raise DataError(
            f"{source.name} is not a readable Parquet file.", fix="Write it again, for example with pandas' to_parquet."
        ) from None


def _check_size(name: str, metadata: Any) -> None:
    unpacked = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    if unpacked > _MAX_UNPACKED_BYTES or metadata.num_rows > MAX_ROWS:
        raise DataError(
            f"{name} unpacks to {unpacked:,} bytes in {metadata.num_rows:,} rows.",
            fix=f"Keep it under {_MAX_UNPACKED_BYTES:,} bytes and {MAX_ROWS:,} rows.",
        )


def _rows(name: str, file: Any) -> Iterator[tuple[int, list[str]]]:
    number = 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS):
        for values in zip(*map(_values, batch.columns), strict=True):
            number += 1
            yield number, [_as_text(name, number, value) for value in values]


def _values(column: Any) -> list[Any]:
    """A column's values; those that are equal in a dictionary are one object."""
    if not hasattr(column, "dictionary"):
        return column.to_pylist()
    known = column.dictionary.to_pylist()
    return [None if index is None else known[index] for index in column.indices.to_pylist()]


def _as_text(name: str, line: int, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise DataError(f"{name}, line {line}: a value is bytes that are not UTF-8 text.", fix="Write the column as text.") from None
    return str(value)
