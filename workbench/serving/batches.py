"""Rows that are read without gradients: in batches of similar length, as large as is quick and as memory has room for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from workbench.models.shortage import is_shortage
from workbench.models.transfer import untold
from workbench.recipe import Recipe

FULL_TOKENS = 1024
READ_ROWS, READ_TOKENS = 32, 4096
"""An evaluation's batches: as many rows and tokens as this, or as a training step's batch has."""
T = TypeVar("T")


def evaluated_at_once(recipe: Recipe) -> tuple[int, int]:
    """Rows and tokens that a batch of an evaluation has at most."""
    training = recipe.training
    step_tokens = training.batch_tokens or training.batch_size * recipe.prompt.max_length
    return max(READ_ROWS, training.batch_size), max(READ_TOKENS, step_tokens)


@dataclass
class Pace:
    """How rows are read. Owned by what reads them.

    Attributes:
        most_tokens: of one batch, padding included; a single row may have more. None bounds the rows alone.
        halves: whether a batch that memory is too small for is cut; not where other processes have to read the same ones.
        between: called before each batch and each token that is written; what it raises ends the work.
    """

    most_tokens: int | None = None
    halves: bool = True
    between: Callable[[], None] = untold

    def batches(self, lengths: Sequence[int], rows: int) -> Iterator[list[int]]:
        """As `full_batches`."""
        for batch in full_batches(lengths, rows, self.most_tokens):
            self.between()
            yield batch

    def answers(self, lengths: Sequence[int], rows: int, answer: Callable[[list[int]], T]) -> Iterator[tuple[list[int], T]]:
        """Every batch of `full_batches`, or the halves that fit, with its answer.

        Args:
            answer: called with row numbers; again with fewer of them where memory runs out.

        Raises:
            OutOfMemoryError and its like: a single row does not fit.
        """
        waiting = deque(full_batches(lengths, rows, self.most_tokens))
        while waiting:
            self.between()
            batch = waiting.popleft()
            found: list[T] = []
            try:
                found.append(answer(batch))
            except (RuntimeError, MemoryError) as error:
                if not self.halves or len(batch) == 1 or not is_shortage(error):
                    raise
            if found:
                yield batch, found[0]
                continue
            # Outside of the handler: an error that is being handled keeps every tensor of the frames that it came through.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            waiting.extendleft([batch[len(batch) // 2 :], batch[: len(batch) // 2]])


def full_batches(lengths: Sequence[int], rows: int, most_tokens: int | None = None) -> Iterator[list[int]]:
    """Row numbers in batches of similar length: `rows` rows, more of them where they are so short that they leave a processor with little
    to do, and fewer where they have more than `most_tokens` tokens together."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order):
            tokens = (end - start + 1) * lengths[order[end]]
            if (end - start >= rows and tokens > FULL_TOKENS) or (most_tokens is not None and tokens > most_tokens):
                break
            end += 1
        yield order[start:end]
        start = end
