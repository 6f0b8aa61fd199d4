"""Where runs are kept.

    ROOT/writer.lock           one writing process
    ROOT/index.sqlite3         index (WAL); may be deleted, it is rebuilt from the folders
    ROOT/runs/ID/state.json    status, creation time, metrics: written whole, replaced by rename
    ROOT/runs/ID/...           recipe.yaml, events.jsonl, checkpoints, best, final, result.json (the trainer's)
                               cells, answer.yaml (a job's)

Only the runs that the one who asks may see are there for them (`workbench.access`); to everybody else they do not exist.

A process that only reads takes no lock and writes nothing, so `runs` and `show` answer while a server trains.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import yaml

from workbench.access import Role, acting, may_see
from workbench.errors import RunError, WorkbenchError, nearest
from workbench.recipe import Recipe, recipe_from
from workbench.runs.lock import RootLock, is_held
from workbench.runs.record import ACTIVE, COLUMNS, UNFINISHED, RunRecord, open_index, record_from_row, stored
from workbench.settings import make_data_root
from workbench.training.folder import sync_folder

ANSWER = "answer.yaml"
RUN_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class HasId(Protocol):
    """A run's record or summary."""

    @property
    def id(self) -> str:
        """The run's full id."""
        ...


R = TypeVar("R", bound=HasId)


class RunStore:
    """The run folders of one data root and their index.

    One writing store per data root, owned by a `RunService`; any number of reading ones. Safe to use from several threads.

    Args:
        root: data root; created when missing and `writable`.
        writable: take the lock, and mark what a dead process left running as interrupted.

    Raises:
        RunError: another process writes here, or the folder cannot be used.
    """

    def __init__(self, root: str | Path, *, writable: bool = True) -> None:
        self.root = Path(root).expanduser().resolve()
        self.writable = writable
        self._guard = threading.RLock()
        self._lock = RootLock(self.root)
        self._database: Any = None
        self._recipes: dict[Path, tuple[int, Recipe]] = {}
        if writable:
            self._take_root()
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            with plain_disk_errors():
                self._database = self._open_index()
                self._sync_with_folders()
                if writable:
                    self._mark_interrupted()
            undo.pop_all()

    # -- what is there

    def records(self) -> list[RunRecord]:
        """Every run that the one who asks may see, newest first."""
        rows = self._query(f"SELECT {', '.join(COLUMNS)} FROM runs ORDER BY created DESC, position DESC, id DESC")
        return [self._as_seen(record) for record in map(record_from_row, rows) if may_see(record.owner)]

    def record(self, run_id: str) -> RunRecord:
        """One run by its full id.

        Raises:
            RunError: there is none, or none that the one who asks may see.
        """
        rows = self._query(f"SELECT {', '.join(COLUMNS)} FROM runs WHERE id = ?", run_id)
        if not rows or not may_see(record_from_row(rows[0]).owner):
            raise RunError(f"There is no run '{run_id[:64]}'.", fix="Choose another run.")
        return self._as_seen(record_from_row(rows[0]))

    def count_unfinished(self, owners: str) -> int:
        """How many runs wait or are worked on of everybody whose name begins with `owners`, seen by the one who asks or not."""
        return sum(record.owner.startswith(owners) for record in self.unfinished())

    def resolve(self, prefix: str) -> str:
        """The id that is, or alone begins with, `prefix`.

        Raises:
            RunError: no run or several runs begin so.
        """
        ids = [run_id for run_id, owner in self._query("SELECT id, owner FROM runs ORDER BY id") if may_see(owner)]
        if prefix in ids:
            return prefix
        matches = [run_id for run_id in ids if prefix and run_id.startswith(prefix)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise RunError(f"'{prefix}' is the start of {len(matches)} runs: {', '.join(matches[:5])}.", fix="Give more of the id.")
        raise RunError(f"There is no run '{prefix[:64]}'.", fix=nearest(prefix[:64], ids[-20:]) if ids else "Train one first.")

    def with_key(self, key: str) -> str | None:
        """The run that was submitted under this idempotency key, or None."""
        rows = self._query("SELECT id FROM runs WHERE key = ?", _own_key(key))
        return rows[0][0] if rows else None

    def next_queued(self) -> list[str]:
        """Ids of the queued runs, first come first."""
        return [row[0] for row in self._query("SELECT id FROM runs WHERE status = 'queued' ORDER BY position, id")]

    def unfinished(self) -> list[RunRecord]:
        """Everybody's runs that wait or are at work, first come first; whom they are shown to is the caller's matter."""
        marks = ", ".join("?" * len(UNFINISHED))
        query = f"SELECT {', '.join(COLUMNS)} FROM runs WHERE status IN ({marks}) ORDER BY position, id"
        return [record_from_row(row) for row in self._query(query, *UNFINISHED)]

    def folder(self, run_id: str) -> Path:
        """The run's folder, always inside the data root.

        Raises:
            RunError: the id is not of the form that the store makes.
        """
        if not RUN_ID.fullmatch(run_id):
            raise RunError(f"'{run_id[:64]}' is not a run id.", fix="Ids are made of a-z, 0-9 and hyphens.")
        return self.root / "runs" / run_id

    def recipe(self, run_id: str) -> Recipe:
        """The recipe that the run was started with.

        Raises:
            RunError: its file is missing or damaged.
        """
        return self._read_recipe(run_id, "recipe.yaml")

    def readable(self, runs: Iterable[R]) -> Iterator[tuple[R, Recipe]]:
        """Those of `runs` whose recipe can be read, with it; others are damaged, or of a version with other fields."""
        for run in runs:
            try:
                recipe = self.recipe(run.id)
            except WorkbenchError:
                continue
            yield run, recipe

    def answer_recipe(self, run_id: str) -> Recipe:
        """The recipe under which the run's tuned weights answer: its own, unless its job left another in answer.yaml.

        Raises:
            RunError: the file is missing or damaged.
        """
        named = ANSWER if (self.folder(run_id) / ANSWER).is_file() else "recipe.yaml"
        return self._read_recipe(run_id, named)

    # -- what changes

    def refuse_when_reading(self) -> None:
        """Raises RunError where these runs can be looked at only."""
        if not self.writable:
            raise RunError("These runs are open for reading only.", fix="Open the data folder for writing.")

    def add(self, recipe: Recipe, key: str | None = None, tracker: str = "none") -> str:
        """A new queued run; returns its id. The recipe is on disk before the run can be seen.

        Raises:
            RunError: the disk did not take it; nothing is left of the run.
        """
        with self._guard, plain_disk_errors():
            run_id = new_id()
            folder = self.folder(run_id)
            with contextlib.ExitStack() as undo:
                undo.callback(shutil.rmtree, folder, ignore_errors=True)
                undo.callback(self._execute, "DELETE FROM runs WHERE id = ?", run_id)
                folder.mkdir(parents=True)
                write_whole(folder / "recipe.yaml", recipe.to_yaml())
                self._insert(
                    RunRecord(
                        id=run_id,
                        name=recipe.name,
                        status="queued",
                        created=time.time(),
                        method=str(recipe.method.get("name", "")),
                        model=recipe.model.path,
                        key=None if key is None else _own_key(key),
                        position=self._next_position(),
                        kind=recipe.kind,
                        owner=acting().name,
                        tracker=tracker,
                    )
                )
                self._write_state(self.record(run_id))
                undo.pop_all()
        return run_id

    def enqueue(self, run_id: str) -> None:
        """Puts an existing run at the end of the queue."""
        self.update(run_id, status="queued", position=self._next_position(), error=None)

    def update(self, run_id: str, *, durable: bool = True, **changes: Any) -> None:
        """Sets fields of a run in the index and, if `durable`, in the folder's state.json as well.

        Raises:
            RunError: the disk did not take it.
        """
        with self._guard, plain_disk_errors():
            if durable:
                # The folder first: a process that dies in between leaves the truth, and the next one finds it there.
                self._write_state(replace(self.record(run_id), **changes))
            values = [stored(value) for value in changes.values()]
            self._execute(f"UPDATE runs SET {', '.join(f'{name} = ?' for name in changes)} WHERE id = ?", *values, run_id)

    def remove(self, run_id: str) -> None:
        """Deletes a run's folder and its row; the folder leaves the list by one rename before its files go."""
        with self._guard, plain_disk_errors():
            folder = self.folder(run_id)
            grave = self.root / "runs" / f".deleted-{run_id}-{secrets.token_hex(2)}"
            if folder.exists():
                folder.rename(grave)
            self._execute("DELETE FROM runs WHERE id = ?", run_id)
            for file in ("recipe.yaml", ANSWER):
                self._recipes.pop(folder / file, None)
        shutil.rmtree(grave, ignore_errors=True)

    def close(self) -> None:
        """Closes the index and gives the lock back; calling it twice does no harm."""
        with self._guard:
            if self._database is not None:
                self._database.close()
            self._lock.release()

    # -- inside

    def _take_root(self) -> None:
        with plain_disk_errors():
            make_data_root(self.root, "runs")
            self._lock.acquire()

    def _open_index(self) -> sqlite3.Connection:
        path = self.root / "index.sqlite3"
        if not self.writable:
            return open_index(":memory:")
        try:
            return open_index(path)
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            return open_index(path)

    def _sync_with_folders(self) -> None:
        """Folders are the truth: rows without a folder go, folders without a row come in."""
        base = self.root / "runs"
        folders = {p.name for p in base.iterdir() if RUN_ID.fullmatch(p.name) and p.is_dir()} if base.is_dir() else set()
        known = {row[0] for row in self._query("SELECT id FROM runs")}
        for run_id in known - folders:
            self._execute("DELETE FROM runs WHERE id = ?", run_id)
        for run_id in sorted(folders - known):
            record = self._record_from_folder(run_id)
            if record is not None:
                copied = record.key is not None and bool(self._query("SELECT id FROM runs WHERE key = ?", record.key))
                self._insert(replace(record, key=None) if copied else record)

    def _read_recipe(self, run_id: str, file: str) -> Recipe:
        """A page asks twice a second, and reading YAML costs more than drawing the run: read again only when the file has changed."""
        path = self.folder(run_id) / file
        try:
            changed = path.stat().st_mtime_ns
            known = self._recipes.get(path)
            if known is None or known[0] != changed:
                content = yaml.safe_load(path.read_text(encoding="utf-8"))
                known = self._recipes[path] = (changed, recipe_from(content, source=f"run {run_id}"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            self._recipes.pop(path, None)
            raise RunError(f"The recipe of run {run_id} cannot be read.", fix="Delete the run and train again.") from None
        return known[1]

    def _record_from_folder(self, run_id: str) -> RunRecord | None:
        folder = self.folder(run_id)
        state = read_json(folder / "state.json")
        try:
            return RunRecord(**{name: value for name, value in state.items() if name in COLUMNS and name != "id"}, id=run_id)
        except TypeError:
            pass
        try:
            recipe = self.recipe(run_id)
        except WorkbenchError:
            return None
        result = read_json(folder / "result.json")
        return RunRecord(
            id=run_id,
            name=recipe.name,
            status=str(result.get("status", "interrupted")),
            created=(folder / "recipe.yaml").stat().st_mtime,
            method=str(recipe.method.get("name", "")),
            model=recipe.model.path,
            metrics=result.get("metrics") or {},
            kind=recipe.kind,
        )

    def _mark_interrupted(self) -> None:
        for (run_id,) in self._query(f"SELECT id FROM runs WHERE status IN ({', '.join('?' * len(ACTIVE))})", *ACTIVE):
            ended = self._record_from_folder(run_id)
            if ended is not None and ended.status in ("finished", "failed", "stopped"):
                self.update(run_id, status=ended.status, metrics=ended.metrics, error=ended.error)
            else:
                self.update(run_id, status="interrupted")
        for grave in (self.root / "runs").glob(".deleted-*"):
            shutil.rmtree(grave, ignore_errors=True)

    def _as_seen(self, record: RunRecord) -> RunRecord:
        """A reader shows what a dead process left running as interrupted, without writing it."""
        if not self.writable and record.status in ACTIVE and not is_held(self.root):
            return replace(record, status="interrupted")
        return record

    def _insert(self, record: RunRecord) -> None:
        values = [stored(getattr(record, name)) for name in COLUMNS]
        self._execute(f"INSERT INTO runs ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})", *values)

    def _write_state(self, record: RunRecord) -> None:
        write_whole(self.folder(record.id) / "state.json", json.dumps(asdict(record), ensure_ascii=False, indent=1))

    def _next_position(self) -> int:
        return int(self._query("SELECT COALESCE(MAX(position), 0) + 1 FROM runs")[0][0])

    def _query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._guard, plain_disk_errors():
            return self._database.execute(statement, values).fetchall()

    def _execute(self, statement: str, *values: Any) -> None:
        with self._guard, plain_disk_errors():
            self._database.execute(statement, values)


def _own_key(key: str) -> str:
    """An idempotency key under its sender's name, so that nobody meets the run of somebody else by choosing the same one."""
    return key if acting().role == Role.OWNER else f"{acting().name}/{key}"


@contextmanager
def plain_disk_errors() -> Iterator[None]:
    """Raises RunError where the data root cannot be read or written: the disk is full, it is not ours, or the index is damaged."""
    try:
        yield
    except (OSError, sqlite3.DatabaseError) as error:
        if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError):  # mistakes of ours
            raise
        reason = getattr(error, "strerror", None) or str(error)
        fix = "Free disk space, or give a folder of yours with --runs."
        raise RunError(f"The folder for runs cannot be written: {reason}.", fix=fix) from error


def new_id() -> str:
    """A fresh id: date and time in UTC and six random characters, such as 20261124-0651-ab12cd."""
    return f"{time.strftime('%Y%m%d-%H%M', time.gmtime())}-{secrets.token_hex(3)}"


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that a reader, or a power cut, sees the old text or the new one and nothing between."""
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(staged, "w", encoding="utf-8", errors="surrogatepass") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(staged, path)
        sync_folder(path.parent)
    finally:
        staged.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one when the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
