"""A run's row in the index, and the SQLite file that holds the rows."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.access import OWNER
from workbench.errors import DiskFull, ProcessLost, WorkbenchError
from workbench.recipe import MEASURED

ACTIVE = ("running", "paused", "stopping")
UNFINISHED = ("queued", *ACTIVE)
# Single figures of an evaluation, in the order in which people read them; which of them a run has depends on its task.
FIGURES = tuple(dict.fromkeys(name for names in MEASURED.values() for name in names))


def figures(metrics: dict[str, Any]) -> dict[str, Any]:
    """The single figures among `metrics`, in order."""
    return {name: metrics[name] for name in FIGURES if name in metrics}


def figures_line(metrics: dict[str, Any]) -> str:
    """The same on one line, those that are measured."""
    return ", ".join(f"{name} {metrics[name]:.4f}" for name in FIGURES if isinstance(metrics.get(name), float))


@dataclass(frozen=True)
class RunRecord:
    """One run as the index knows it. `created` is Unix time in seconds; `error` is {message, fix, error_id} or None; `tags` are separated
    by commas; `tracker` is where its figures go besides, `warning` a sentence about that going wrong."""

    id: str
    name: str
    status: str
    created: float
    method: str
    model: str
    key: str | None = None
    position: int = 0
    step: int = 0
    total_steps: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    kind: str = "train"
    owner: str = OWNER.name
    tags: str = ""
    note: str = ""
    archived: int = 0
    tracker: str = "none"
    warning: str = ""


COLUMNS = (
    "id", "name", "status", "created", "method", "model", "key", "position", "step", "total_steps", "metrics", "error", "kind", "owner",
    "tags", "note", "archived", "tracker", "warning",
)  # fmt: skip


def create_runs_table(database: sqlite3.Connection) -> None:
    """Version 1 of the index."""
    database.execute(
        "CREATE TABLE runs (id TEXT PRIMARY KEY, name TEXT, status TEXT, created REAL, method TEXT, model TEXT, key TEXT UNIQUE,"
        " position INTEGER, step INTEGER, total_steps INTEGER, metrics TEXT, error TEXT)"
    )
    database.execute("CREATE INDEX runs_by_status ON runs (status, position)")


def add_kind_of_run(database: sqlite3.Connection) -> None:
    """Version 2: runs that are other work than training. What is there already was training."""
    database.execute("ALTER TABLE runs ADD COLUMN kind TEXT NOT NULL DEFAULT 'train'")


def add_owner_of_run(database: sqlite3.Connection) -> None:
    """Version 3: runs belong to somebody. What is there already was the owner's."""
    database.execute(f"ALTER TABLE runs ADD COLUMN owner TEXT NOT NULL DEFAULT '{OWNER.name}'")


def add_notes_of_run(database: sqlite3.Connection) -> None:
    """Version 4: what a person writes about a run, and whether it is put away."""
    for name in ("tags", "note"):
        database.execute(f"ALTER TABLE runs ADD COLUMN {name} TEXT NOT NULL DEFAULT ''")
    database.execute("ALTER TABLE runs ADD COLUMN archived INTEGER NOT NULL DEFAULT 0")


def add_tracker_of_run(database: sqlite3.Connection) -> None:
    """Version 5: where a run's figures go besides. Those of what is there already went nowhere."""
    database.execute("ALTER TABLE runs ADD COLUMN tracker TEXT NOT NULL DEFAULT 'none'")
    database.execute("ALTER TABLE runs ADD COLUMN warning TEXT NOT NULL DEFAULT ''")


MIGRATIONS = (create_runs_table, add_kind_of_run, add_owner_of_run, add_notes_of_run, add_tracker_of_run)


def open_index(path: str | Path) -> sqlite3.Connection:
    """The index in a file, or in memory for ":memory:", migrated to the newest version.

    Raises:
        sqlite3.DatabaseError: the file is damaged.
    """
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        for number, migrate in enumerate(MIGRATIONS[version:], start=version + 1):
            migrate(database)
            database.execute(f"PRAGMA user_version = {number}")
        database.execute("SELECT COUNT(*) FROM runs").fetchone()
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database


def ended_by_mistake(error: WorkbenchError) -> dict[str, Any]:
    """The fields of a run that a person's mistake, or the machine, has ended; one whose processes were lost may simply go on, and one
    that lacks room on the disk waits for it."""
    status = "interrupted" if isinstance(error, ProcessLost) else "paused" if isinstance(error, DiskFull) else "failed"
    return {"status": status, "error": {"message": error.message, "fix": error.fix, "error_id": None}}


def ended_by_bug(error_id: str) -> dict[str, Any]:
    """The fields of a run that a bug has ended, which the log has under `error_id`."""
    message = f"Something broke in the workbench during this run (error {error_id})."
    return {"status": "failed", "error": {"message": message, "fix": "The log in the data folder has the details.", "error_id": error_id}}


def record_from_row(row: tuple[Any, ...]) -> RunRecord:
    """A record from a row selected in the order of `COLUMNS`."""
    values = dict(zip(COLUMNS, row, strict=True))
    values["metrics"] = json.loads(values["metrics"] or "{}")
    values["error"] = json.loads(values["error"]) if values["error"] else None
    return RunRecord(**values)


def stored(value: Any) -> Any:
    """A field as SQLite keeps it: mappings as JSON text."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
