"""Batches of similar length, shuffled, as a pure function of seed and epoch: step n needs no memory of the steps before it."""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence

import numpy as np


class BatchPlan:
    """Row numbers for every optimizer step of a run.

    Rows are shuffled, cut into pools, sorted by length within a pool and cut into batches; the batches are shuffled again. A pool is
    at most a quarter of the data (and 50 batches), so that small sets keep changing their batches from epoch to epoch.

    Args:
        lengths: tokens per row.
        batch_size: rows per batch.
        accumulation: batches per optimizer step.
        most_tokens: a batch that has more, padding included, is cut into parts for the forward pass; a step's rows stay what they are.
    """

    def __init__(
        self, lengths: Sequence[int] | np.ndarray, *, batch_size: int, accumulation: int = 1, seed: int = 0, most_tokens: int | None = None
    ) -> None:
        self.lengths, self.batch_size, self.accumulation, self.seed = lengths, batch_size, accumulation, seed
        self.most_tokens = most_tokens
        batches = -(-len(lengths) // batch_size)
        self.steps_per_epoch = -(-batches // accumulation)
        self._cached: tuple[int, list[np.ndarray]] | None = None

    def step(self, number: int) -> list[list[int]]:
        """The batches of optimizer step `number` (from 0): `accumulation` lists of row numbers, or more of them within `most_tokens`."""
        return [part for batch in self._step(number) for part in self._parts(batch)]

    def share(self, number: int, rank: int, size: int) -> list[list[int]]:
        """As `step`, for process `rank` of `size`: every size-th row of each batch, which is in order of length. All processes get equally
        many lists; where a batch has fewer rows than there are processes, or fewer parts for this one, some are empty."""
        mine: list[list[int]] = []
        for batch in self._step(number):
            shares = [self._parts(batch[other::size]) for other in range(size)]
            mine += shares[rank] + [[]] * (max(map(len, shares)) - len(shares[rank]))
        return mine

    def epoch(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch; every row exactly once."""
        return [batch.tolist() for batch in self._batches(epoch)]

    def _step(self, number: int) -> list[list[int]]:
        epoch, place = divmod(number, self.steps_per_epoch)
        if self._cached is None or self._cached[0] != epoch:
            self._cached = (epoch, self._batches(epoch))
        return [batch.tolist() for batch in self._cached[1][place * self.accumulation : (place + 1) * self.accumulation]]

    def _batches(self, epoch: int) -> list[np.ndarray]:
        """Arrays of four bytes a row: a list of so many numbers would take ten times as much."""
        generator = random.Random(f"batches-{self.seed}-{epoch}")
        rows = array("i", range(len(self.lengths)))
        generator.shuffle(rows)
        size = self.batch_size
        pool = size * max(1, min(50, len(rows) // 4 // size))
        batches: list[np.ndarray] = []
        for start in range(0, len(rows), pool):
            ordered = sorted(rows[start : start + pool], key=lambda row: self.lengths[row])
            batches += [np.array(ordered[i : i + size], dtype=np.int32) for i in range(0, len(ordered), size)]
        generator.shuffle(batches)
        return batches

    def _parts(self, batch: list[int]) -> list[list[int]]:
        """A batch, which is in order of length, cut where it would pass `most_tokens`; a row that does so by itself stays whole."""
        if self.most_tokens is None:
            return [batch]
        parts: list[list[int]] = [[]]
        for row in batch:
            if parts[-1] and (len(parts[-1]) + 1) * self.lengths[row] > self.most_tokens:
                parts.append([])
            parts[-1].append(row)
        return parts
