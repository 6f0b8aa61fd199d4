"""What training one cell of a board costs: seconds at work, processor time, memory added and energy.

A pause costs nothing, and what an earlier life of an interrupted cell cost is counted: it is kept in the cell's folder while it works.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.training.control import Control
from workbench.training.folder import replace_file

RAPL = Path("/sys/class/powercap")
SPENT = "spent.json"
SECONDS_BETWEEN_LOOKS, LOOKS_BETWEEN_NOTES = 0.05, 20


@dataclass
class Cost:
    """`peak_memory_bytes` is what came on top of what the program held before: on a graphics card where the cell used one, else in the
    machine's memory. `energy_joules` is None where the machine does not tell."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    energy_joules: float | None = None
    peak_memory_bytes: int = 0


class PackageEnergy:
    """What the processor packages use, by Intel's and AMD's RAPL counters; most containers have none. It counts everything that runs on
    the machine. Each counter starts anew at `max_energy_range_uj`, after minutes under load: look more often than that."""

    def __init__(self, root: Path = RAPL) -> None:
        self._folders = [folder for folder in sorted(root.glob("intel-rapl:*")) if folder.name.count(":") == 1]
        self._last = self._read()
        self.joules: float | None = 0.0 if self._last else None

    def look(self) -> None:
        """Adds what was used since the last look."""
        now = self._read()
        if self.joules is None or len(now) != len(self._last):
            self.joules = None
            return
        used = [new - old if new >= old else new - old + size for (new, size), (old, _) in zip(now, self._last, strict=True)]
        self.joules += sum(used) / 1e6
        self._last = now

    def _read(self) -> list[tuple[int, int]]:
        """Counter and range of each package in microjoules; nothing where one cannot be read."""
        try:
            return [tuple(int((folder / name).read_text()) for name in ("energy_uj", "max_energy_range_uj")) for folder in self._folders]
        except (OSError, ValueError):
            return []


@contextmanager
def cost_of(folder: Path, control: Control) -> Iterator[Cost]:
    """Measures the block, which trains in `folder`, looking 20 times a second; the figures stand once it has ended."""
    before, cost = _spent(folder), Cost()
    _give_back()
    energy, held, held_on_card = PackageEnergy(), _resident(), _on_card()
    started, cpu, waited, done = time.perf_counter(), time.process_time(), control.waited_seconds, threading.Event()

    def look() -> None:
        energy.look()
        cost.seconds = before.seconds + time.perf_counter() - started - (control.waited_seconds - waited)
        cost.cpu_seconds = before.cpu_seconds + time.process_time() - cpu
        cost.energy_joules = None if energy.joules is None else (before.energy_joules or 0.0) + energy.joules
        on_card = _on_card(peak=True) - held_on_card
        cost.peak_memory_bytes = max(cost.peak_memory_bytes, before.peak_memory_bytes, on_card if on_card > 0 else _resident() - held)

    def watch() -> None:
        looks = 0
        while not done.wait(SECONDS_BETWEEN_LOOKS):
            look()
            looks += 1
            if looks % LOOKS_BETWEEN_NOTES == 0:
                _keep(folder, cost)

    watcher = threading.Thread(target=watch, name="cost", daemon=True)
    watcher.start()
    try:
        yield cost
    finally:
        done.set()
        watcher.join()
        look()
        _keep(folder, cost)


def forget_cost(folder: Path) -> None:
    """The next time costs what it costs."""
    (folder / SPENT).unlink(missing_ok=True)


def _spent(folder: Path) -> Cost:
    try:
        return Cost(**json.loads((folder / SPENT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Cost()


def _keep(folder: Path, cost: Cost) -> None:
    with contextlib.suppress(OSError):  # a full disk is said by what the cell itself writes
        replace_file(folder / SPENT, json.dumps(asdict(cost)))


def _give_back() -> None:
    """Gives the memory of what is gone back to the machine: the order of cells must not matter."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def _resident() -> int:
    import psutil

    return psutil.Process().memory_info().rss


def _on_card(*, peak: bool = False) -> int:
    """Bytes allocated on the graphics card in use, or the most since the last such call without `peak`; 0 without one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    if peak:
        return int(torch.cuda.max_memory_allocated())
    torch.cuda.reset_peak_memory_stats()
    return int(torch.cuda.memory_allocated())
