"""A run in a process of its own, on the same seam as one in a thread: the same recipe, folder, control and events.

A process can be killed, by the kernel when memory runs out or by us when a step hangs, and takes nobody along. What it costs is its
start: several seconds of imports a run. Under a launcher (torchrun, accelerate) it is several processes, of which the first one answers.
"""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psutil

from workbench.errors import MEMORY_FIX, OutOfMemory, ProcessLost, TrainingError, WorkbenchError
from workbench.recipe import PROJECT
from workbench.runs.child import ENDINGS
from workbench.runs.faults import LOG_FILE, LoggedBug

if TYPE_CHECKING:
    from workbench.training.control import Control

SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True)
class Isolation:
    """How long a child may be silent, or unmoved by a stop, before it is ended.

    Args:
        start_seconds: until the first event: imports, and the model.
        silent_seconds: without any event after that, pauses aside; evaluating and saving have to fit into it.
        stop_seconds: from a stop to the end of the process; a step and a save have to fit into it.
        command: what is started, with the run's folder as its last argument.
        launched: the command starts several processes that train the run together.
    """

    start_seconds: float = 1800.0
    silent_seconds: float = 900.0
    stop_seconds: float = 60.0
    command: tuple[str, ...] = (sys.executable, "-m", "workbench.runs.child")
    launched: bool = False

    @classmethod
    def under(cls, launcher: Sequence[str]) -> Isolation:
        """Every run in the processes that a launcher starts, such as `torchrun --standalone --nproc-per-node 2`."""
        return cls(command=(*launcher, "-m", "workbench.runs.child"), launched=True)


def run_isolated(
    folder: Path, control: Control, isolation: Isolation, *, on_event: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """As `run_job` on the recipe in a run folder, in a child process; returns when that has ended.

    Raises:
        WorkbenchError: what the child refused; it was killed; it did not answer and was ended.
        LoggedBug: the child met a bug.
    """
    child = _Child(folder, control, isolation, on_event)
    try:
        return child.follow()
    finally:
        child.end()


class _Child:
    def __init__(self, folder: Path, control: Control, isolation: Isolation, on_event: Callable[[dict[str, Any]], None]) -> None:
        self.control, self.isolation, self.on_event = control, isolation, on_event
        self.lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.kills_before = out_of_memory_kills()
        with open(folder.parent.parent / LOG_FILE, "ab") as log:
            self.process = subprocess.Popen(
                [*isolation.command, str(folder)], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                start_new_session=True,  # Ctrl-C in a terminal is for the server, which then asks for a stop
            )
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()
        self.told, self.spoke = "running", False
        self.heard = time.monotonic()
        self.stop_asked: float | None = None

    def follow(self) -> dict[str, Any]:
        """Passes events on and commands down until the child has answered or is gone."""
        while True:
            self._tell()
            self._end_when_unresponsive()
            try:
                line = self.lines.get(timeout=SECONDS_BETWEEN_LOOKS)
            except queue.Empty:
                continue
            self.heard = time.monotonic()
            if line is None:
                raise self._death()
            if "event" in line:
                self.spoke = True
                self.on_event(line["event"])
            elif "result" in line:
                return line["result"]
            elif "refused" in line:
                raise WorkbenchError(line["refused"]["message"], fix=line["refused"]["fix"])
            elif known := ENDINGS.keys() & line.keys():
                (kind,) = known
                raise ENDINGS[kind](line[kind]["message"], fix=line[kind]["fix"])
            else:
                raise LoggedBug(line["bug"])

    def end(self) -> None:
        """Lets a child that has answered leave by itself, and makes sure that it is gone."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self._kill()
            self.process.wait()

    def _kill(self) -> None:
        """Ends the process and all that it has started, which for a launcher are in sessions of their own."""
        with contextlib.suppress(psutil.Error):
            for started in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    started.kill()
        self.process.kill()

    def _read(self, answers: IO[bytes]) -> None:
        for line in answers:
            with contextlib.suppress(ValueError):  # the last line of a killed child may be half
                self.lines.put(json.loads(line))
        self.lines.put(None)

    def _tell(self) -> None:
        if self.control.stop_requested and self.stop_asked is None:
            self.stop_asked = time.monotonic()
        wanted = self.control.state
        if wanted != self.told:
            self.told, self.heard = wanted, time.monotonic()
            command = {"running": b"resume\n", "paused": b"pause\n", "stopping": b"stop\n"}[wanted]
            with contextlib.suppress(OSError):  # it has died; the end of its lines says so
                self.process.stdin.write(command)
                self.process.stdin.flush()

    def _end_when_unresponsive(self) -> None:
        now, isolation = time.monotonic(), self.isolation
        if self.stop_asked is not None and now - self.stop_asked > isolation.stop_seconds:
            waited = isolation.stop_seconds
        elif not self.control.pause_requested and now - self.heard > (limit := self._longest_silence()):
            waited = limit
        else:
            return
        self._kill()
        raise TrainingError(
            f"The run was unresponsive for {waited:.0f} seconds and was ended.", fix="Resume it: it goes on from its last checkpoint."
        )

    def _longest_silence(self) -> float:
        return self.isolation.silent_seconds if self.spoke else self.isolation.start_seconds

    def _death(self) -> TrainingError:
        code = self.process.wait()
        resumed = "Resume it: it goes on from its last checkpoint."
        if self.isolation.launched:
            return ProcessLost(f"The run's processes ended with code {code} and no answer.", fix=f"{LOG_FILE} may say why. {resumed}")
        if code == -signal.SIGKILL and out_of_memory_kills() > self.kills_before:
            return OutOfMemory("The run was killed: out of memory.", fix=MEMORY_FIX)
        if code < 0:
            return TrainingError(f"The run's process was killed by {signal.Signals(-code).name}.", fix=resumed)
        return TrainingError(f"The run's process ended with code {code} and no answer.", fix=f"{LOG_FILE} may say why. {resumed}")


def out_of_memory_kills() -> int:
    """How many processes the kernel has killed for want of memory: on this machine, and in this container; 0 where it does not say."""
    total = 0
    for file, name in (("/proc/vmstat", "oom_kill"), ("/sys/fs/cgroup/memory.events", "oom_kill")):
        with contextlib.suppress(OSError, ValueError):
            counts = dict(line.split() for line in Path(file).read_text(encoding="ascii").splitlines())
            total += int(counts.get(name, 0))
    return total
