"""The rows of a board: test rows that no paradigm can reach, and for each seed what is left to validate and to train on.

The rule. Test rows are the first of the seeded order that `data.split.seed` gives, shared among the classes in proportion; they are
the same for every cell and every seed of a board. Every other row whose text is that of a test row but for blanks and capitals is
dropped, unlabelled rows included. From the rest each seed draws its validation rows; what then remains is the pool of which shots are
taken. Pool, validation and unlabelled rows are written to files of their own, and a paradigm is given those files and nothing else.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.data.dataset import Dataset, InputExample, dataset_from, read_unlabelled, without_gaps
from workbench.data.readers import read_table
from workbench.data.splits import split_indices
from workbench.data.table import count, rows_where, shorten
from workbench.errors import DataError
from workbench.recipe import DataPart
from workbench.training.folder import replace_file

POOL, VALIDATION, UNLABELLED = "pool.jsonl", "validation.jsonl", "unlabeled.jsonl"
LABEL = "label"
# Of a small file at most this share is held out, for testing and again for validation.
LARGEST_SHARE = 0.25


@dataclass(frozen=True)
class BoardRows:
    """Test rows and what is left, from one file.

    Args:
        labels: every label of the file, sorted.
        test: rows on which every cell is measured.
        rest: rows to validate and train on, none of them a test row's text again.
        notes: sentences for the person.
        unlabelled: rows of the file in `data.unlabeled`, none of them a test row's text again; none without such a file.
    """

    labels: tuple[str, ...]
    test: list[InputExample]
    rest: list[InputExample]
    notes: list[str]
    unlabelled: list[InputExample] = field(default_factory=list)


def board_rows(data: DataPart, test: int) -> BoardRows:
    """Reads the training file, and the unlabelled one where there is one, and sets the test rows aside.

    Raises:
        DataError: a file cannot be used, has fewer than two labels, or is too small to hold any rows out.
    """
    table = rows_where(read_table(data.train, encoding=data.encoding), data.only)
    dataset, notes = without_gaps(dataset_from(table, data.columns), table.name)
    if len(dataset.labels) < 2:
        raise DataError(
            f"{table.name}: every row has the label '{shorten(dataset.labels[0])}', and a comparison needs at least two.",
            fix="Add rows of another class, or choose another label column.",
        )
    chosen = _held_out(dataset.examples, test, data.split.seed)
    taken = set(chosen)
    held = [dataset.examples[i] for i in chosen]
    if not held:
        raise DataError(
            f"{table.name}: {count(len(dataset), 'row')} are too few to hold any out for a test.",
            fix="Give a file with more rows per class.",
        )
    others = [example for i, example in enumerate(dataset.examples) if i not in taken]
    rest = _unlike(others, held)
    if len(rest) < len(others):
        notes.append(f"{count(len(others) - len(rest), 'row')} left out, because a test row has the same text.")
    found, _ = read_unlabelled(data)
    without_labels = found.examples if found else []
    unlabelled = _unlike(without_labels, held)
    if len(unlabelled) < len(without_labels):
        notes.append(
            f"{count(len(without_labels) - len(unlabelled), 'unlabelled row')} left out, because a test row has the same text."
        )
    if len(held) < test:
        notes.append(f"{count(len(held), 'test row')} instead of {test}: the file has {count(len(dataset), 'row')} in all.")
    return BoardRows(dataset.labels, held, rest, notes + _class_notes(dataset, held, rest, table.name), unlabelled)


def write_rows(rows: BoardRows, folder: Path, *, validation: int, seed: int) -> dict[str, Any]:
    """Writes one seed's pool and validation files, and one of unlabelled rows where there are any; returns the sizes of the first two.

    Raises:
        DataError: a label has no row left in the pool.
    """
    chosen = set(_held_out(rows.rest, validation, seed))
    held = [example for i, example in enumerate(rows.rest) if i in chosen]
    pool = _unlike((example for i, example in enumerate(rows.rest) if i not in chosen), held)
    sizes = Counter(str(example.label) for example in pool)
    for label in rows.labels:
        if not sizes[label]:
            raise DataError(
                f"No row of the class '{shorten(label)}' is left to train on.", fix="Add rows of that class, or leave the class out."
            )
    for name, examples in ((POOL, pool), (VALIDATION, held), (UNLABELLED, _unlike(rows.unlabelled, held))):
        if name == UNLABELLED and not examples:
            continue  # the pool's own unused rows stand in
        replace_file(folder / name, "".join(_line(example) for example in examples))
    return {"pool": len(pool), "validation": len(held), "per_class": dict(sizes)}


def cell_data(data: DataPart, folder: Path, *, shots: int | None, seed: int, validation: int) -> DataPart:
    """The data part of one cell: a seed's files, so many rows per class (None: all)."""
    names = [name for name in data.columns if name != LABEL]
    return DataPart(
        train=str(folder / POOL),
        validation=str(folder / VALIDATION) if validation else None,
        unlabeled=str(folder / UNLABELLED) if (folder / UNLABELLED).is_file() else None,
        columns={**{name: name for name in names}, LABEL: LABEL},
        split={"shots": shots, "validation": 0, "seed": seed},
    )


def fold(example: InputExample) -> tuple[str, ...]:
    """An example's texts without regard to capitals and blanks: what makes two rows the same."""
    return tuple("".join(value.split()).casefold() for value in example.content)


def _unlike(examples: Iterable[InputExample], held: Sequence[InputExample]) -> list[InputExample]:
    """Those of which no held-out row has the text."""
    folded = {fold(example) for example in held}
    return [example for example in examples if fold(example) not in folded]


def _held_out(examples: Sequence[InputExample], wanted: int, seed: int) -> list[int]:
    """Row numbers in the seeded order."""
    texts = ["\x1f".join(example.content) for example in examples]
    labels = [str(example.label) for example in examples]
    size = min(wanted, int(len(examples) * LARGEST_SHARE))
    return split_indices(texts, labels, validation=size, shots=None, seed=seed)[1]


def _line(example: InputExample) -> str:
    content = {name: value for name, value in example.fields.items()}
    return json.dumps({**content, LABEL: example.label}, ensure_ascii=False) + "\n"


def _class_notes(dataset: Dataset, held: Sequence[InputExample], rest: Sequence[InputExample], name: str) -> list[str]:
    tested = Counter(example.label for example in held)
    sizes = Counter(example.label for example in rest)
    untested = [label for label in dataset.labels if not tested[label]]
    notes = [
        f"{name}: the class '{shorten(label)}' has {count(sizes[label], 'row')} and none to test on, so how well it is told is not known."
        for label in untested[:5]
    ]
    if len(untested) > 5:
        notes.append(f"{len(untested) - 5} more classes have no row to test on.")
    return notes
