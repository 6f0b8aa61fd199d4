"""Folders that are whole or not there: staging, fsync, SHA-256 manifest, rename, fsync of the parent.

safetensors has no checksum: 54 of 60 single-bit flips load silently. The manifest's SHA-256 is the check. It is written last within
the staging folder, and the rename comes after it, so a folder with its final name and a matching manifest was written completely.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
STAGING_PREFIX = ".staging-"
OLD_PREFIX = ".old-"
FACTS = "facts.json"


def write_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Creates or replaces `target` with what `fill` writes into the folder that it is given.

    Raises:
        OSError and whatever `fill` raises; the staging folder is removed and the former `target` is still there.
    """
    staging = target.with_name(STAGING_PREFIX + target.name)
    old = target.with_name(OLD_PREFIX + target.name)
    shutil.rmtree(staging, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    staging.mkdir()
    with contextlib.ExitStack() as undo:
        undo.callback(_put_back, staging, old, target)
        fill(staging)
        files = {str(f.relative_to(staging).as_posix()): f for f in sorted(staging.rglob("*")) if f.is_file()}
        entries = {name: {"sha256": sync_and_hash(f), "bytes": f.stat().st_size} for name, f in files.items()}
        write_file(staging / MANIFEST, json.dumps({"files": entries}, indent=1, sort_keys=True))
        for folder in [*(d for d in staging.rglob("*") if d.is_dir()), staging]:
            sync_folder(folder)
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
            os.replace(target, old)
        os.replace(staging, target)
        sync_folder(target.parent)
        shutil.rmtree(old, ignore_errors=True)
        undo.pop_all()


def _put_back(staging: Path, old: Path, target: Path) -> None:
    shutil.rmtree(staging, ignore_errors=True)
    if old.exists() and not target.exists():
        os.replace(old, target)


def recover_folder(target: Path) -> None:
    """Puts the former folder back when a process died between the two renames of `write_folder`, and clears what it left."""
    old = target.with_name(OLD_PREFIX + target.name)
    if old.exists() and not target.exists():
        os.replace(old, target)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(target.with_name(STAGING_PREFIX + target.name), ignore_errors=True)


def damage(folder: Path) -> str | None:
    """Why a folder cannot be trusted, as half a sentence, or None when every byte is as it was written."""
    entries = _entries(folder)
    if entries is None:
        return "its manifest is missing or unreadable"
    for name, entry in entries.items():
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != entry.get("bytes") or file_hash(file) != entry.get("sha256"):
            return f"the checksum of {name} does not match"
    return None


def holds(folder: Path, facts: dict[str, object]) -> bool:
    """Whether a folder of the run is what it was written to be, undamaged and made from the same `facts`, which its FACTS file names."""
    try:
        found = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return found == facts and damage(folder) is None


def write_file(path: Path, text: str) -> None:
    """Writes text and flushes it to the disk. Not atomic: use within a staging folder, or `replace_file`."""
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def replace_file(path: Path, text: str) -> None:
    """Writes a file so that readers see the former or the new content, never a part."""
    temporary = path.with_name(f".{path.name}.tmp")
    write_file(temporary, text)
    os.replace(temporary, path)
    sync_folder(path.parent)


def copy_files(source: Path, target: Path) -> None:
    """Copies a folder's files, without its manifest, into an existing one."""
    for file in sorted(source.iterdir()):
        if file.is_file() and file.name != MANIFEST:
            shutil.copyfile(file, target / file.name)


def sync_folder(folder: Path) -> None:
    """Returns once the folder's names (creations and renames) are on the disk."""
    if os.name == "nt":  # Windows cannot open a folder to flush it.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_and_hash(file: Path) -> str:
    """Returns once the file's content is on the disk, with its SHA-256."""
    with open(file, "rb+") as stream:
        os.fsync(stream.fileno())
    return file_hash(file)


def file_hash(file: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _entries(folder: Path) -> dict[str, dict[str, Any]] | None:
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        entries = content["files"]
        return entries if entries and all(isinstance(entry, dict) for entry in entries.values()) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
