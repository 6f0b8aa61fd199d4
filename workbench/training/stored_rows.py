"""Training rows of a large file, tokenized once into a file of the run's folder and read back through a memory map.

    tokens.bin    the tokens of all prompts, one after another
    rows.bin      for each row: where its tokens begin, its label, and of each prompt its length and its mask positions

A resumed run finds them again; they belong to one file, prompt and model, which facts.json names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from workbench.prompts.encoding import Encoding
from workbench.serving.reading import EncodedExample
from workbench.training.folder import FACTS, file_hash, holds, recover_folder, write_folder

if TYPE_CHECKING:
    from workbench.data.dataset import InputExample
    from workbench.serving.classifier import PromptClassifier

FOLDER = "rows"
TOKENS, ROWS = "tokens.bin", "rows.bin"
ROWS_AT_ONCE = 1024


class StoredRows(Sequence[EncodedExample]):
    """Encoded examples in a folder; each is made when it is asked for. Without the spans of its prompts.

    Attributes:
        lengths: tokens of each row's longest prompt, [N].
    """

    def __init__(self, folder: Path, masks: list[int]) -> None:
        width = _width(masks)
        self._folder, self._masks = folder, masks
        self._tokens = np.memmap(folder / TOKENS, dtype=np.int32, mode="r")
        self._rows = np.memmap(folder / ROWS, dtype=np.int64, mode="r").reshape(-1, width)
        columns = [2 + sum(1 + count for count in masks[:place]) for place in range(len(masks))]
        self.lengths = np.max(self._rows[:, columns], axis=1).astype(np.int32)

    def content_hash(self) -> str:
        """SHA-256 of every row's tokens, label and places."""
        return "-".join(file_hash(self._folder / name) for name in (TOKENS, ROWS))

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, row: int) -> EncodedExample: ...
    @overload
    def __getitem__(self, row: slice) -> list[EncodedExample]: ...
    def __getitem__(self, row: int | slice) -> EncodedExample | list[EncodedExample]:
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(len(self)))]
        start, label, *rest = self._rows[row].tolist()
        variants, longest = [], 0
        for count in self._masks:
            length, positions, rest = rest[0], rest[1 : 1 + count], rest[1 + count :]
            variants.append(Encoding(self._tokens[start : start + length].tolist(), positions, label))
            start, longest = start + length, max(longest, length)
        return EncodedExample(variants, label, longest)


def store_rows(folder: Path, classifier: PromptClassifier, rows: Iterable[InputExample], source: dict[str, object]) -> StoredRows:
    """The rows as `classifier` encodes them, from the folder when they are there and whole, else written now.

    Args:
        source: what the rows and the prompt are, in plain values.

    Raises:
        OSError: the disk does not take them.
        DataError: an unreadable row.
    """
    target = folder / FOLDER
    masks = [len(encoding.mask_positions) for encoding in classifier.encode([_blank(classifier)])[0].variants]
    facts = {**source, "masks": masks, "model": classifier.loaded.fingerprint, "length": classifier.max_length}
    recover_folder(target)
    if not holds(target, facts):
        write_folder(target, lambda staging: _write(staging, classifier, rows, facts))
    return StoredRows(target, masks)


def _write(staging: Path, classifier: PromptClassifier, rows: Iterable[InputExample], facts: dict[str, object]) -> None:
    place = 0
    with (staging / TOKENS).open("wb") as tokens, (staging / ROWS).open("wb") as table:
        for some in _batched(rows):
            for example in classifier.encode(some):
                record = [place, int(example.label or 0)]
                for encoding in example.variants:
                    record += [len(encoding.input_ids), *encoding.mask_positions]
                    tokens.write(np.array(encoding.input_ids, dtype=np.int32).tobytes())
                    place += len(encoding.input_ids)
                table.write(np.array(record, dtype=np.int64).tobytes())
    (staging / FACTS).write_text(json.dumps(facts), encoding="utf-8")


def _batched(rows: Iterable[InputExample]) -> Iterator[list[InputExample]]:
    some: list[InputExample] = []
    for row in rows:
        some.append(row)
        if len(some) == ROWS_AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def _width(masks: list[int]) -> int:
    return 2 + sum(1 + count for count in masks)


def _blank(classifier: PromptClassifier) -> InputExample:
    from workbench.data.dataset import InputExample

    return InputExample("", dict.fromkeys(classifier.fields, ""), None)
