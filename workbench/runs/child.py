"""The process in which an isolated run works: `python -m workbench.runs.child FOLDER`.

It reads pause, resume and stop as lines from its input and ends at once when that closes, for then its server is gone and another one
may go on with the run. It writes one JSON object a line: {"event": ...}, and last {"result": ...}, {"refused": ...}, {"lost": ...},
{"short": ...} (of memory) or {"bug": ...}.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import yaml

from workbench.errors import DiskFull, OutOfMemory, ProcessLost, WorkbenchError
from workbench.recipe import recipe_from
from workbench.runs.faults import ended_as_sentence

ENDINGS: dict[str, type[WorkbenchError]] = {"lost": ProcessLost, "short": OutOfMemory, "full": DiskFull}
"""Mistakes that the server has to tell from others, by the name of their line."""


def main() -> None:
    """Works on the run in the folder named by the first argument; the process's exit code says nothing.

    Under a launcher the first process does, and the others train along.
    """
    from workbench.settings import launched
    from workbench.training.processes import follow, joined
    from workbench.training.trainer import train_along

    folder = Path(sys.argv[1])
    # Whatever a library prints must not stand between the lines of the protocol.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(kind: str, content: Any) -> None:
        answers.write(json.dumps({kind: content}) + "\n")
        answers.flush()

    if not launched():
        say(*_work(folder, say))
        return
    with joined() as together:
        if not together.leads:
            follow(train_along, together)
            return
        # A launcher ends everybody when one process has ended; this one has to say so before.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        answer = _work(folder, say)
    say(*answer)


def _work(folder: Path, say: Callable[[str, Any], None]) -> tuple[str, Any]:
    """The last line of the protocol: its kind and content."""
    from workbench.models.pool import ModelPool
    from workbench.runs.jobs import run_job
    from workbench.training.control import Control

    control = Control()
    threading.Thread(target=_obey, args=(sys.stdin, control), daemon=True).start()
    last: list[tuple[str, Any]] = []

    def mistake(error: WorkbenchError) -> None:
        kind = next((name for name, one in ENDINGS.items() if isinstance(error, one)), "refused")
        last.append((kind, {"message": error.message, "fix": error.fix}))

    def bug(error_id: str) -> None:
        last.append(("bug", error_id))

    with ended_as_sentence(folder.parent.parent, f"run {folder.name}", mistake, bug):
        recipe = recipe_from(yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8")), source=folder.name)
        last.append(("result", run_job(recipe, folder, control, ModelPool(), on_event=lambda event: say("event", event))))
    return last[-1]


def _obey(commands: IO[str], control: Any) -> None:
    for line in commands:
        getattr(control, {"pause": "request_pause", "resume": "request_resume", "stop": "request_stop"}[line.strip()])()
    os._exit(1)


if __name__ == "__main__":
    main()
