"""Bugs: written to the data root's log under an id, which is all that a person is shown."""

from __future__ import annotations

import secrets
import time
import traceback
from pathlib import Path

LOG_FILE = "workbench.log"


def log_bug(root: Path, error: BaseException, doing: str) -> str:
    """Appends the traceback to ROOT/workbench.log and returns the error id that stands before it.

    Args:
        root: data root; when it cannot be written the id is returned all the same.
        doing: what was being done, such as "train 20261124-0651-ab12cd".
    """
    error_id = secrets.token_hex(4)
    text = "".join(traceback.format_exception(error))
    try:
        root.mkdir(parents=True, exist_ok=True)
        with open(root / LOG_FILE, "a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} error {error_id} while {doing}\n{text}\n")
    except OSError:
        pass
    return error_id
