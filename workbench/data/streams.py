"""Large files as streams of examples: csv, tsv and JSON Lines are read row by row, again and again, and never held as a whole.

Rows, checks and the split are those of small files: `split_stream` holds out the very rows that `load_splits` would.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TextIO

from workbench.access import check_data_file
from workbench.data.dataset import LABEL, Dataset, InputExample, Splits, load_splits, read_labelled, read_unlabelled
from workbench.data.encoding import AUTO, chosen_encoding
from workbench.data.formats import FileFormat, file_formats
from workbench.data.readers import MAX_FILE_BYTES
from workbench.data.splits import proportional_counts
from workbench.data.table import Table, build_table, count, shorten
from workbench.errors import DataError, EncodingError, nearest
from workbench.recipe import DataPart

LARGE_BYTES = MAX_FILE_BYTES
"""Files beyond this are read as streams; it is the most that a table in memory takes."""
SAMPLE_BYTES = 1_000_000
ROWS_TO_SEE_A_COLUMN = 10_000
FIRST_ROWS = 1_000
SAMPLED_ROWS = 2_000
"""Training rows kept in memory, for verbalizers that take something from rows and for what a page shows."""
FIRST_CHARACTERS = 20_000_000
LONGEST_LINE = 8_000_000
"""In characters. A file without line ends would come into memory as a whole."""


def is_large(data: DataPart) -> bool:
    """Whether the training file is read as a stream: too large for a table, and of a format that has rows one after another. Rows that
    `data.only` chooses are taken from a table."""
    return not data.only and streams_well(data.train)


def streams_well(path: str | Path) -> bool:
    """Whether a file is too large for a table and of a format that has rows one after another."""
    try:
        return Path(path).stat().st_size > LARGE_BYTES and _format(Path(path)) is not None
    except (OSError, ValueError):
        return False


class RowFile:
    """The rows of a file, from the first to the last each time it is iterated, as line and column -> text.

    Args:
        path: a csv, tsv or jsonl file.
        encoding: how the file is decoded; `auto` finds it in the beginning.

    Raises:
        DataError: also while iterating, naming the line: what `read_table` would refuse too.
        AccessError: a client of a shared server may not read there.
    """

    def __init__(self, path: str | Path, encoding: str = AUTO) -> None:
        self.path, self.name = Path(path), Path(path).name
        check_data_file(self.path)
        found = _format(self.path)
        if found is None:
            raise DataError(f"{self.name} cannot be read row by row.", fix="Save it as CSV or JSON Lines.")
        self.format = found
        with self.path.open("rb") as stream:
            sample = stream.read(SAMPLE_BYTES)
        # Not in the middle of a character or a row.
        whole = sample[: sample.rfind(b"\n") + 1] or sample
        self.encoding = chosen_encoding(whole, name=self.name, encoding=encoding)
        self._sample = whole.decode(self.encoding, "replace").removeprefix("\ufeff")

    def __iter__(self) -> Iterator[tuple[int, dict[str, str]]]:
        line = 1
        try:
            with self.path.open(encoding=self.encoding, newline="") as stream:
                assert self.format.stream is not None
                for line, row in self.format.stream(self.name, self._lines(stream), self._sample):
                    yield line, row
        except UnicodeDecodeError:
            raise EncodingError(
                f"{self.name}, after line {line}: the bytes are not {self.encoding}, although the beginning is.",
                fix="Correct the damaged characters and save the file as UTF-8.",
            ) from None

    def _lines(self, stream: TextIO) -> Iterator[str]:
        for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE), ""), start=1):
            if len(line) == LONGEST_LINE and not line.endswith(("\n", "\r")):
                what = f"{self.name}, line {number}: the line has over {LONGEST_LINE:,} characters."
                raise DataError(what, fix="Write a line for each row.")
            yield line


class ExampleStream:
    """The examples of a file, from the first to the last each time it is iterated. Blank texts and missing labels are left out.

    Args:
        path, encoding: as `RowFile`.
        columns: template field -> file column; the key 'label' names the label column.

    Raises:
        DataError, AccessError: as `RowFile`; a column is missing.
    """

    def __init__(self, path: str, columns: dict[str, str], encoding: str = AUTO) -> None:
        self.rows, self.columns, self.left_out = RowFile(path, encoding), columns, 0
        self.path, self.name = self.rows.path, self.rows.name
        if LABEL not in columns or len(columns) < 2:
            raise DataError(f"{self.name}: a text and a label column are needed.", fix="Set data.columns.")

    def __iter__(self) -> Iterator[InputExample]:
        self.left_out, unseen = 0, set(self.columns.values())
        row: dict[str, str] = {}
        for line, row in self.rows:
            unseen.difference_update(row)
            if unseen and line > ROWS_TO_SEE_A_COLUMN:
                break
            example = self._example(line, row)
            if example.blank or example.label is None:
                self.left_out += 1
            else:
                yield example
        for name, column in self.columns.items():
            if column in unseen:
                raise DataError(
                    f"{self.name}: there is no column '{shorten(column)}' for '{name}'.",
                    fix=f"{nearest(column, row)} Set data.columns.{name} to one of: {shorten(', '.join(row), 200)}.",
                )

    def _example(self, line: int, row: dict[str, str]) -> InputExample:
        label = row.get(self.columns[LABEL], "")
        fields = {name: row.get(column, "") for name, column in self.columns.items() if name != LABEL}
        return InputExample(f"{self.name}:{line}", fields, label if label.strip() else None, line)


@dataclass(frozen=True)
class StreamSplits(Splits):
    """Splits whose training rows stay in the file: `train` holds a sample of them."""

    stream: ExampleStream | None = None
    held: frozenset[bytes] = frozenset()
    rows: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def training_rows(self) -> Iterator[InputExample]:
        """Every training row, in the file's order: none whose text stands in validation."""
        assert self.stream is not None
        for example in self.stream:
            if _key(example) not in self.held:
                yield example


def first_rows(path: str | Path, encoding: str = AUTO) -> Table:
    """The beginning of a large file as a table that says it is not whole: up to `SAMPLED_ROWS` rows.

    Raises:
        DataError, AccessError: as `RowFile`.
    """
    file = RowFile(path, encoding)
    taken: list[tuple[int, dict[str, str]]] = []
    characters = 0
    for line, row in file:
        taken.append((line, row))
        characters += sum(map(len, row.values()))
        if len(taken) == SAMPLED_ROWS or characters > FIRST_CHARACTERS:
            break
    columns = list(dict.fromkeys(name for _, row in taken for name in row))
    records = ((line, [row.get(name, "") for name in columns]) for line, row in taken)
    return replace(build_table(file.name, file.format.name, file.encoding, columns, records), whole=False)


def check_streamed(data: DataPart) -> None:
    """Raises DataError for what a training file that is read as a stream cannot give."""
    if data.split.shots is not None or data.soft_labels:
        what = "data.split.shots" if data.split.shots is not None else "data.soft_labels"
        raise DataError(f"{what} needs a training file of at most {LARGE_BYTES // 2**20} MB.", fix="Take a sample of its rows.")


def splits_of(data: DataPart) -> Splits:
    """A recipe's rows, from a table or, where the training file is too large for one, from a stream; see `load_splits`."""
    return split_stream(data) if is_large(data) else load_splits(data)


def check_rows(data: DataPart) -> None:
    """Reads what a training begins with: all rows of a table, the first ones of a stream, which takes minutes to read.

    Raises:
        DataError: as `load_splits`, where these rows show it.
    """
    if is_large(data):
        check_streamed(data)
        deque(islice(ExampleStream(data.train, data.columns, data.encoding), FIRST_ROWS), 0)
    else:
        load_splits(data)


def split_stream(data: DataPart) -> StreamSplits:
    """Splits a large training file in two passes that hold a few thousand rows.

    Raises:
        DataError: as `load_splits`; and for shots or soft labels, which need a file that fits into memory.
    """
    check_streamed(data)
    stream = ExampleStream(data.train, data.columns, data.encoding)
    own = data.validation is None
    heaps, counts = _smallest(stream, data.split.validation if own else 0, data.split.seed)
    notes = [f"{stream.name} is read as a stream: its {count(sum(counts.values()), 'row')} stay in the file."]
    if stream.left_out:
        notes.append(f"{stream.name}: {count(stream.left_out, 'row')} without text or label left out.")
    labels = tuple(sorted(counts))
    if len(labels) < 2:
        raise DataError(f"{stream.name}: training needs at least two classes.", fix="Choose another label column.")
    if own:
        shares = proportional_counts(dict(counts), min(data.split.validation, sum(counts.values()) // 2))
        chosen = [entry for label in labels for entry in sorted(heaps[label], reverse=True)[: shares[label]]]
        validation = [example for _, _, example in sorted(chosen, reverse=True)]
    else:
        dataset, more = read_labelled(data, labels, stream.name)
        validation, notes = dataset, notes + more
    held = frozenset(map(_key, validation))
    unlabeled, more = read_unlabelled(data)
    notes += more
    splits = StreamSplits(Dataset([], labels), Dataset(validation, labels), unlabeled, notes, [], stream, held)
    sample, rows, kept = _sample_of(splits, data.split.seed)
    return StreamSplits(Dataset(sample, labels), splits.validation, unlabeled, notes, [], stream, held, rows, kept)


def _smallest(stream: ExampleStream, wanted: int, seed: int) -> tuple[dict[str, list[tuple[int, int, InputExample]]], Counter[str]]:
    """For each class the `wanted` rows that come first in the seeded order, and how many rows it has."""
    heaps: dict[str, list[tuple[int, int, InputExample]]] = {}
    counts: Counter[str] = Counter()
    for number, example in enumerate(stream):
        label = str(example.label)
        counts[label] += 1
        heap = heaps.setdefault(label, [])
        # Negative, so that the heap's first is the last in order.
        entry = (-_order(example, seed), -number, example)
        if len(heap) < wanted:
            heapq.heappush(heap, entry)
        elif wanted:
            heapq.heappushpop(heap, entry)
    return heaps, counts


def _sample_of(splits: StreamSplits, seed: int) -> tuple[list[InputExample], int, dict[str, int]]:
    """A seeded sample of the training rows, how many there are, and of each class."""
    heap: list[tuple[int, int, InputExample]] = []
    counts: Counter[str] = Counter()
    for number, example in enumerate(splits.training_rows()):
        counts[str(example.label)] += 1
        entry = (-_order(example, seed), -number, example)
        (heapq.heappush if len(heap) < SAMPLED_ROWS else heapq.heappushpop)(heap, entry)
    missing = next((label for label in splits.labels if not counts[label]), None)
    if missing is not None:
        raise DataError(f"No training row of the class '{shorten(missing)}' is left after validation.", fix="Add rows of that class.")
    return [example for _, _, example in sorted(heap, reverse=True)], sum(counts.values()), dict(counts)


def _order(example: InputExample, seed: int) -> int:
    """The place of a row in `split_indices`' order."""
    key = f"{seed}\x1f{example.label}\x1f" + "\x1f".join(example.content)
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest(), "big")


def _key(example: InputExample) -> bytes:
    return hashlib.sha256("\x1f".join(example.content).encode("utf-8", "surrogatepass")).digest()


def _format(file: Path) -> FileFormat | None:
    found = file_formats().get(file.suffix.lower())
    return found if found is not None and found.stream is not None else None
