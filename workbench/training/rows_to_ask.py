"""A few rows that a run leaves in its folder, so that an export can be held against its answers when the data file has gone elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from workbench.training.folder import replace_file

ROWS_KEPT = 8
FILE = "rows.json"


def keep_rows(folder: Path, rows: Iterable[dict[str, str]]) -> None:
    """Writes what the rows say, field by field, without their labels."""
    replace_file(folder / FILE, json.dumps(list(rows), ensure_ascii=False, indent=1))


def kept_rows(folder: Path) -> list[dict[str, str]]:
    """The rows that a run has left; none for runs of before they were kept, and where the file is damaged."""
    try:
        rows = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return list(rows) if all(isinstance(text, str) for row in rows for text in row.values()) else []
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return []
