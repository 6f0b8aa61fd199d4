"""Sides measured in turns (A B A B), so that a busy neighbour or a warm cache troubles all of them alike."""

from __future__ import annotations

import ctypes
import gc
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figures:
    """Medians over the rounds of one side. `cpu_seconds` counts this process alone; `peak_bytes` is memory above that at the start."""

    cpu_seconds: float
    seconds: float
    flops: int
    peak_bytes: int
    rounds: int

    def to_json(self) -> dict[str, float | int]:
        """Rounded for people: seconds, 1e9 operations (`gflop`) and 1e6 bytes (`peak_mb`)."""
        return {
            "cpu_seconds": round(self.cpu_seconds, 4),
            "seconds": round(self.seconds, 4),
            "gflop": round(self.flops / 1e9, 2),
            "peak_mb": round(self.peak_bytes / 1e6, 1),
            "rounds": self.rounds,
        }


def interleaved(
    sides: Mapping[str, Callable[[], Any]], *, rounds: int, warm_up: bool = True, flops: bool = True
) -> dict[str, Figures]:
    """Runs every side once to warm up (and to count its FLOPs), then `rounds` times in turns.

    Args:
        sides: name -> a function that does the whole work once, from the same state each time; what runs in a process of its own
            answers with the Figures that it measured there.
        warm_up: the first round is not timed; without it FLOPs are counted within the only round, which slows small ones.
    """
    counted = {name: (_count_flops(run) if flops else (run(), 0)[1]) for name, run in sides.items()} if warm_up else dict.fromkeys(sides, 0)
    taken: dict[str, list[tuple[float, float, int]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            taken[name].append(_once(run))
    return {
        name: Figures(
            cpu_seconds=statistics.median(cpu for cpu, _, _ in turns),
            seconds=statistics.median(wall for _, wall, _ in turns),
            flops=counted[name],
            peak_bytes=int(statistics.median(peak for _, _, peak in turns)),
            rounds=rounds,
        )
        for name, turns in taken.items()
    }


def ratio(ours: Figures, theirs: Figures) -> float:
    """How many times less processor time ours takes."""
    return round(theirs.cpu_seconds / max(ours.cpu_seconds, 1e-9), 2)


def _count_flops(run: Callable[[], Any]) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def _once(run: Callable[[], Any]) -> tuple[float, float, int]:
    give_back_memory()
    with PeakMemory() as memory:
        cpu, wall = time.process_time(), time.perf_counter()
        found = run()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if isinstance(found, Figures):
        return found.cpu_seconds, found.seconds, found.peak_bytes
    return cpu, wall, memory.peak_bytes


class PeakMemory:
    """The most resident memory above that at the start, looked at every five milliseconds; 0 where /proc is missing."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._ended = threading.Event()

    def __enter__(self) -> PeakMemory:
        self._start = resident_bytes()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._ended.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.005):
            self.peak_bytes = max(self.peak_bytes, resident_bytes() - self._start)


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    import resource

    return pages * resource.getpagesize()


def give_back_memory() -> None:
    """Collects what is dead, and has glibc return it, so that one side's leftovers are not counted for the next."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return
