"""Bugs: written to the data root's log under an id, which is all that a person is shown; and the seam at which they end."""

from __future__ import annotations

import secrets
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.settings import make_data_root

LOG_FILE = "workbench.log"


class LoggedBug(Exception):
    """A bug that was logged already where it happened; `error_id` is where it stands."""

    def __init__(self, error_id: str) -> None:
        super().__init__(error_id)
        self.error_id = error_id


@contextmanager
def ended_as_sentence(
    root: Path,
    doing: str,
    mistake: Callable[[WorkbenchError], None],
    bug: Callable[[str], None],
    *,
    through: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """The block in which somebody's request or run is worked on; what goes wrong in it ends here, so that it takes nothing else down.

    Args:
        root: data root, whose log keeps a bug.
        doing: what is being done, for the log.
        mistake: tells a person's mistake.
        bug: tells a bug by the id under which the log has it.
        through: kinds that pass as they are.
    """
    try:
        yield
    except through:
        raise
    except WorkbenchError as error:
        mistake(error)
    except LoggedBug as error:
        bug(error.error_id)
    except Exception as error:
        bug(log_bug(root, error, doing))


def log_bug(root: Path, error: BaseException, doing: str) -> str:
    """Appends the traceback to ROOT/workbench.log and returns the error id that stands before it.

    Args:
        root: data root; when it cannot be written the id is returned all the same.
        doing: what was being done, such as "train 20261124-0651-ab12cd".
    """
    error_id = secrets.token_hex(4)
    text = "".join(traceback.format_exception(error))
    try:
        make_data_root(root)
        with open(root / LOG_FILE, "a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} error {error_id} while {doing}\n{text}\n")
    except OSError:
        pass
    return error_id
