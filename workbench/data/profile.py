"""What a data set looks like: labels, lengths against the truncation point, and duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.data.dataset import Dataset

_BINS = 24
_BATCH_ROWS = 1_024


@dataclass(frozen=True)
class Profile:
    """Figures for one data set.

    Args:
        rows: number of examples.
        label_counts: label -> rows, the largest class first; rows without a label are not counted.
        length_edges: bounds of the length histogram in `unit`, one more than `length_counts`; a bin holds its lower bound.
        length_counts: rows per bin.
        truncated: rows longer than `max_length` by their own text alone; a template takes its share on top.
        duplicates: rows whose text stands on an earlier row.
        empty: rows without text, or without a label in a labelled set.
        unit: 'tokens', 'words' or 'characters'.
    """

    rows: int
    label_counts: dict[str, int]
    length_edges: list[int]
    length_counts: list[int]
    truncated: int
    duplicates: int
    empty: int
    unit: str


def profile(dataset: Dataset, tokenizer: Any = None, max_length: int | None = None) -> Profile:
    """Counts labels, lengths and duplicates. Lengths are tokens without special ones when a tokenizer is given; otherwise words, or
    characters without blanks for text that is mostly Chinese, Japanese or Korean."""
    examples = dataset.examples
    counts = Counter(e.label for e in examples if e.label is not None)
    texts = [" ".join(value for value in e.content if value) for e in examples]
    unit, lengths = text_lengths(texts, tokenizer)
    edges, histogram = length_histogram(lengths)
    return Profile(
        rows=len(examples),
        label_counts=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        length_edges=edges,
        length_counts=histogram,
        truncated=sum(length > max_length for length in lengths) if max_length is not None else 0,
        duplicates=len(examples) - len({e.content for e in examples}),
        empty=sum(e.blank or (bool(dataset.labels) and e.label is None) for e in examples),
        unit=unit,
    )


def length_histogram(lengths: Sequence[int], bins: int = _BINS) -> tuple[list[int], list[int]]:
    """Whole-numbered edges from 0 and the rows between them: at most `bins` bins of equal width."""
    if not lengths:
        return [0, 1], [0]
    width = max(lengths) // bins + 1
    counts = [0] * (max(lengths) // width + 1)
    for length in lengths:
        counts[length // width] += 1
    return [width * i for i in range(len(counts) + 1)], counts


def text_lengths(texts: list[str], tokenizer: Any = None) -> tuple[str, list[int]]:
    """The unit, and each text's length in it: tokens without special ones, words, or characters; see `profile`."""
    if tokenizer is not None:
        lengths: list[int] = []
        for start in range(0, len(texts), _BATCH_ROWS):
            # verbose=False: the tokenizer would warn about texts longer than its model, which is what is being counted here.
            batch = tokenizer(texts[start : start + _BATCH_ROWS], add_special_tokens=False, verbose=False)
            lengths += [len(ids) for ids in batch["input_ids"]]
        return "tokens", lengths
    if mostly_ideographs(texts):
        return "characters", [sum(not c.isspace() for c in text) for text in texts]
    return "words", [len(text.split()) for text in texts]


def mostly_ideographs(texts: Sequence[str], sample: int = 500) -> bool:
    """True when at least a third of the letters are written without blanks between words (Chinese, Japanese, Korean)."""
    letters = [c for text in texts[:sample] for c in text[:200] if c.isalpha()]
    return 3 * sum("\u3040" <= c <= "\u9fff" or "\uac00" <= c <= "\ud7af" for c in letters) >= max(len(letters), 1)
