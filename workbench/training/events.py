"""The event log of a run: one JSON object a line, numbered without a break, readable while it grows.

Numbers never repeat within a run. When a run resumes, the events after its checkpoint are dropped and new ones go on counting from
the highest number ever given, so a page that asks for "everything since n" misses nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.training.folder import replace_file

ALIVE = "alive"
"""The kind of an event that is only told and never written: work goes on between two others."""


class EventLog:
    """Appends to and reads `events.jsonl`. Opening changes nothing on disk; the first append repairs a torn last line."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._stream: Any = None
        self._next: int | None = None

    @property
    def next(self) -> int:
        """The number that the next event will carry."""
        if self._next is None:
            self._next = max((event["seq"] for event in self._events()), default=-1) + 1
        return self._next

    def append(self, kind: str, **content: Any) -> dict[str, Any]:
        """Writes one event, flushed. Values must be JSON; NaN and infinity are refused, so none is ever drawn as a number."""
        with self._lock:
            event = {"seq": self.next, "time": time.time(), "kind": kind, **content}
            line = json.dumps(event, ensure_ascii=False, allow_nan=False)
            if self._stream is None:
                self._stream = self._open()
            self._stream.write(line + "\n")
            self._stream.flush()
            self._next = event["seq"] + 1
            return event

    def read(self, since: int = 0) -> list[dict[str, Any]]:
        """Events numbered `since` and up. A line that is not whole yet is left for the next time."""
        return [event for event in self._events() if event["seq"] >= since]

    def truncate(self, end: int) -> None:
        """Drops the events numbered `end` and up; numbering goes on where it was."""
        with self._lock:
            self._next = self.next
            self._close()
            kept = [json.dumps(event, ensure_ascii=False) + "\n" for event in self._events() if event["seq"] < end]
            replace_file(self.path, "".join(kept))

    def flush(self) -> None:
        """Returns when everything written is on the disk."""
        with self._lock:
            if self._stream is not None:
                os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Closes the file; a later event opens it again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            with contextlib.suppress(OSError):  # a full disk, which whoever wrote the line has heard of
                stream.close()

    def _open(self) -> Any:
        stream = open(self.path, "ab+")  # noqa: SIM115 - lives as long as the log
        content_end = stream.seek(0, os.SEEK_END)
        if content_end:
            stream.seek(content_end - 1)
            if stream.read(1) != b"\n":  # the process was killed inside a line: end it, readers skip it
                stream.write(b"\n")
        stream.close()
        return open(self.path, "a", encoding="utf-8")

    def _events(self) -> Iterator[dict[str, Any]]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        for line in content.split(b"\n"):
            try:
                event = json.loads(line) if line else None
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict) and isinstance(event.get("seq"), int):
                yield event
