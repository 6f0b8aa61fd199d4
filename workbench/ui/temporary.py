"""The temporary folder of a server: uploads on their way, what was packed to be taken away, copies that gradio serves."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from gradio import route_utils
from starlette.datastructures import FormData

KEPT_SECONDS = 24 * 3600.0
SECONDS_BETWEEN_LOOKS = 3600.0


def sweep(folder: Path, before: float) -> None:
    """Removes what lies in a folder and was last changed before a moment (Unix seconds), with everything inside it: what a sweep through
    Ray writes for days lies in a folder that is as old as the sweep. What cannot be removed stays, links are cut."""
    with suppress(OSError):
        for entry in folder.iterdir():
            with suppress(OSError):
                if _changed_since(entry, before):
                    continue
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink()


def _changed_since(entry: Path, moment: float) -> bool:
    """Whether a file, or anything in a folder, was changed at a moment or later; links are not followed."""
    if entry.lstat().st_mtime >= moment:
        return True
    if entry.is_symlink():
        return False
    for folder, folders, files in os.walk(entry):
        for name in (*folders, *files):
            with suppress(OSError):  # gone meanwhile
                if os.lstat(os.path.join(folder, name)).st_mtime >= moment:
                    return True
    return False


class _Arriving(route_utils.GradioMultiPartParser):
    """An upload on its way. gradio removes what has arrived of one that it refuses, and leaves that of one whose client went away or
    sent more than the guard takes."""

    async def parse(self) -> FormData:
        with ExitStack() as unfinished:
            unfinished.callback(self._remove)
            form = await super().parse()
            unfinished.pop_all()
        return form

    def _remove(self) -> None:
        for file in self._files_to_close_on_error:
            file.close()
            Path(file.name).unlink(missing_ok=True)


def remove_what_was_cut_off() -> None:
    """From here on an upload that does not arrive whole leaves nothing behind."""
    route_utils.GradioMultiPartParser = _Arriving  # type: ignore[misc]


@contextmanager
def swept(folder: Path) -> Iterator[None]:
    """Empties a folder of what earlier servers left, and inside removes once an hour what is older than a day: a model that somebody took
    away has several GB, and nobody asks for it twice."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(SECONDS_BETWEEN_LOOKS):
            sweep(folder, time.time() - KEPT_SECONDS)

    sweep(folder, time.time())
    watcher = threading.Thread(target=look, name="temporary", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
