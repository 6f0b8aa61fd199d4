"""Batches of similar length, shuffled, as a pure function of seed and epoch: step n needs no memory of the steps before it."""

from __future__ import annotations

import random
from collections.abc import Sequence


class BatchPlan:
    """Row numbers for every optimizer step of a run.

    Rows are shuffled, cut into pools, sorted by length within a pool and cut into batches; the batches are shuffled again. A pool is
    at most a quarter of the data (and 50 batches), so that small sets keep changing their batches from epoch to epoch.

    Args:
        lengths: tokens per row.
        batch_size: rows per forward pass.
        accumulation: forward passes per optimizer step.
    """

    def __init__(self, lengths: Sequence[int], *, batch_size: int, accumulation: int = 1, seed: int = 0) -> None:
        self.lengths, self.batch_size, self.accumulation, self.seed = lengths, batch_size, accumulation, seed
        batches = -(-len(lengths) // batch_size)
        self.steps_per_epoch = -(-batches // accumulation)
        self._cached: tuple[int, list[list[int]]] | None = None

    def step(self, number: int) -> list[list[int]]:
        """The batches of optimizer step `number` (from 0): up to `accumulation` lists of row numbers."""
        epoch, place = divmod(number, self.steps_per_epoch)
        if self._cached is None or self._cached[0] != epoch:
            self._cached = (epoch, self.epoch(epoch))
        return self._cached[1][place * self.accumulation : (place + 1) * self.accumulation]

    def epoch(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch; every row exactly once."""
        generator = random.Random(f"batches-{self.seed}-{epoch}")
        rows = list(range(len(self.lengths)))
        generator.shuffle(rows)
        size = self.batch_size
        pool = size * max(1, min(50, len(rows) // 4 // size))
        batches: list[list[int]] = []
        for start in range(0, len(rows), pool):
            ordered = sorted(rows[start : start + pool], key=lambda row: self.lengths[row])
            batches += [ordered[i : i + size] for i in range(0, len(ordered), size)]
        generator.shuffle(batches)
        return batches
