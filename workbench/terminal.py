"""What the commands share: lines on stderr, a line that says how far work is, and the runs of the data root."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm.std import tqdm

from workbench.models.transfer import Progress
from workbench.runs.isolation import Isolation
from workbench.runs.service import RunService
from workbench.ui.markup import stage_text
from workbench.ui.text import Words


def say(line: str) -> None:
    """A line for people, at once; stdout is for the answer."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def runs_of(arguments: argparse.Namespace, *, writable: bool = False) -> Iterator[RunService]:
    """The runs under `--runs`, trained with `--isolate` as it says; what waits in the queue there is left to the page."""
    isolation = Isolation() if getattr(arguments, "isolate", False) else None
    service = RunService(Path(arguments.runs).expanduser(), writable=writable, adopt_queue=False, isolation=isolation)
    try:
        yield service
    finally:
        service.close()


@contextmanager
def watched() -> Iterator[Progress]:
    """A progress that draws on stderr where that is a terminal, and takes its line away in the end; in a pipe it says nothing."""
    words = Words("en")
    with tqdm(total=1.0, file=sys.stderr, disable=None, leave=False, bar_format="{desc}") as bar:

        def tell(stage: str, share: float | None) -> None:
            bar.bar_format = "{desc}" if share is None else "{desc} |{bar:30}| {percentage:3.0f}%"
            bar.n = share or 0.0
            bar.set_description_str(stage_text(stage, words))

        yield tell
