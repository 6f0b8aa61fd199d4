"""Seeded, stratified splits and k-shot samples that are the same on every machine.

Rows are ordered by SHA-256 of seed, text and label instead of a generator's state, so a split depends on the rows alone: it is the
same whatever the file's order, and a validation set of 200 is contained in one of 1,000 under the same seed. Training shots are
taken from the other end of the order, so they do not move when the validation set grows.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence


def seeded_order(keys: Sequence[str], seed: int) -> list[int]:
    """Indices of `keys` in a random-looking order that depends on the seed and the keys alone."""
    digest = [hashlib.sha256(f"{seed}\x1f{key}".encode("utf-8", "surrogatepass")).digest() for key in keys]
    return sorted(range(len(keys)), key=lambda i: (digest[i], i))


def rows_of_page(keys: Sequence[str], page: int, size: int) -> list[int]:
    """Indices of `size` of the first 2,000 rows, by their keys in a random-looking order; each page shows the next ones, and after the last
    comes the first."""
    order = seeded_order(keys[:2000], seed=0)
    start = page * size % max(len(order), 1)
    return (order + order)[start : start + min(size, len(order))]


def proportional_counts(sizes: dict[str, int], total: int) -> dict[str, int]:
    """Shares `total` among classes in proportion to their sizes, by largest remainder; ties go to the first name.

    No class gives more rows than it has, and a class of two rows or more keeps at least one behind.
    """
    everything = sum(sizes.values())
    total = min(total, everything)
    if everything == 0:
        return dict.fromkeys(sizes, 0)
    exact = {name: total * size / everything for name, size in sizes.items()}
    counts = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(sizes, key=lambda name: (counts[name] - exact[name], name))
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return {name: min(count, max(sizes[name] - 1, 0)) for name, count in counts.items()}


def split_indices(
    texts: Sequence[str], labels: Sequence[str], *, validation: int, shots: int | None, seed: int
) -> tuple[list[int], list[int]]:
    """Training and validation row numbers, disjoint, each in a seeded order.

    Args:
        texts, labels: one entry per row.
        validation: number of validation rows, shared among the classes in proportion to their sizes.
        shots: training rows per class, or None for every row that is left.
        seed: the same seed gives the same rows on every machine.
    """
    by_label: dict[str, list[int]] = defaultdict(list)
    order = seeded_order([f"{label}\x1f{text}" for text, label in zip(texts, labels, strict=True)], seed)
    for index in order:
        by_label[labels[index]].append(index)
    counts = proportional_counts({label: len(rows) for label, rows in by_label.items()}, validation)
    held_out = {index for label, rows in by_label.items() for index in rows[: counts[label]]}
    if shots is None:
        chosen = set(range(len(texts))) - held_out
    else:
        chosen = {
            index
            for label, rows in by_label.items()
            for index in rows[max(counts[label], len(rows) - shots) :]
        }
    return [i for i in order if i in chosen], [i for i in order if i in held_out]
