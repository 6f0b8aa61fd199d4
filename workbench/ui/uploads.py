"""Files that people give to the page: kept in the data root, where runs find them again."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from pathlib import Path

from workbench.access import acting
from workbench.errors import AccessError, DataError
from workbench.settings import DISK_FLOOR_BYTES
from workbench.ui.rows import SUFFIXES


def keep_upload(upload: str, root: Path) -> str:
    """Moves an uploaded file into the data root under its content's hash, so that runs can be resumed later; returns its path.

    Raises:
        DataError: no data file, or no room for it.
        AccessError: a client of a shared server names a file that nobody uploaded.
    """
    source = check_upload(upload)
    if source.suffix.lower() not in SUFFIXES:
        raise DataError(f"{source.name} is not a data file.", fix=f"Give one of {', '.join(SUFFIXES)}.")
    with open(source, "rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()[:16]
    folder = root / "uploads" / digest
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / safe_name(source.name)
    if kept.exists():
        source.unlink(missing_ok=True)
    else:
        if shutil.disk_usage(root).free < DISK_FLOOR_BYTES:
            raise DataError("The disk is nearly full, so nothing can be uploaded.", fix="Delete runs that are no longer needed.")
        shutil.move(source, kept)
    return str(kept)


def check_upload(upload: str) -> Path:
    """The place of a file that was just uploaded; AccessError when a client of a shared server names any other."""
    source = Path(upload)
    if acting().places is not None and not source.resolve().is_relative_to(Path(tempfile.gettempdir()).resolve()):
        raise AccessError("Only a file that was uploaded just now can be taken.", fix="Upload it again.")
    return source


def safe_name(name: str) -> str:
    """An uploaded file's name as it is stored: letters of any script become words apart, so that no mark or trick survives."""
    stem, dot, suffix = name.rpartition(".")
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", stem or name).strip("-.")[:60] or "data"
    return f"{plain}{dot}{suffix.lower()}" if stem else plain
