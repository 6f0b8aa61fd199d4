"""Examples from tables, and a recipe's training, validation and unlabelled examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from workbench.data.readers import Reads, read_table
from workbench.data.splits import seeded_order, split_indices
from workbench.data.table import Table, count, rows_where, shorten
from workbench.errors import DataError, nearest
from workbench.recipe import DataPart, SplitPart

LABEL = "label"


@dataclass(frozen=True)
class InputExample:
    """One row: the template's fields and the label, both as they stood in the file; `label` is None where there is none.

    `probabilities` is a soft label: label -> probability, for rows that were labelled by a model.
    """

    guid: str
    fields: dict[str, str]
    label: str | None
    line: int = 0
    probabilities: dict[str, float] | None = None

    @property
    def content(self) -> tuple[str, ...]:
        """The fields' texts in the order of their names: what makes two examples duplicates."""
        return tuple(self.fields[name] for name in sorted(self.fields))

    @property
    def blank(self) -> bool:
        """True when no field holds anything but blanks."""
        return not any(value.strip() for value in self.fields.values())


@dataclass(frozen=True)
class Dataset:
    """Examples and the sorted labels that stand in them or, for a part of a split, in the whole."""

    examples: list[InputExample]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.examples)


@dataclass(frozen=True)
class Splits:
    """What a run trains and validates on. `notes` are sentences for the person: rows left out, duplicates, small classes."""

    train: Dataset
    validation: Dataset
    unlabeled: Dataset | None = None
    notes: list[str] = field(default_factory=list)
    rest: list[InputExample] = field(default_factory=list)
    """Rows of the training file that are neither trained nor validated on, their labels taken away."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The label names of the training rows, in the order that gives them their numbers."""
        return self.train.labels

    def pool(self, most: int, seed: int) -> list[InputExample]:
        """Up to `most` unlabelled rows in a seeded order: of the unlabelled file when there is one, else of the training file's rest."""
        rows = self.unlabeled.examples if self.unlabeled is not None else self.rest
        order = seeded_order(["\x1f".join(e.content) for e in rows], seed)
        return [replace(rows[i], label=None) for i in order[:most]]


def dataset_from(table: Table, columns: dict[str, str], *, labelled: bool = True) -> Dataset:
    """Examples of a table, one per row and none left out: a row without a label has label None.

    Args:
        columns: template field -> file column; the key 'label' names the label column.
        labelled: False leaves the labels unread, and the label column may be missing.

    Raises:
        DataError: a column that the file does not have, no field, or no label column.
    """
    places = {name: _place(table, column, name) for name, column in columns.items() if name != LABEL}
    if not places:
        raise DataError(f"{table.name}: no column is chosen for the text.", fix="Set data.columns, such as {text: text, label: label}.")
    label_place = None
    if labelled:
        if LABEL not in columns:
            raise DataError(
                f"{table.name}: no label column is chosen.", fix=f"Set data.columns.label to one of: {', '.join(table.columns)}."
            )
        label_place = _place(table, columns[LABEL], LABEL)
    examples = []
    for row, line in zip(table.rows, table.lines, strict=True):
        label = row[label_place] if label_place is not None else ""
        fields = {name: row[place] for name, place in places.items()}
        examples.append(InputExample(f"{table.name}:{line}", fields, label if label.strip() else None, line))
    return _dataset(examples)


def without_gaps(dataset: Dataset, name: str, *, labelled: bool = True) -> tuple[Dataset, list[str]]:
    """The examples that have a text and, if `labelled`, a label, with a note that counts the others.

    Raises:
        DataError: no example is left.
    """
    kept = [e for e in dataset.examples if not e.blank and (not labelled or e.label is not None)]
    notes = []
    blank = [e.line for e in dataset.examples if e.blank]
    unlabelled = [e.line for e in dataset.examples if labelled and not e.blank and e.label is None]
    for what, lines in (("text", blank), ("label", unlabelled)):
        if lines:
            notes.append(f"{name}: {count(len(lines), 'row')} without {what} left out ({_lines(lines)}).")
    if not kept:
        raise DataError(
            f"{name}: no row has both a text and a label." if labelled else f"{name}: no row has a text.", fix="Check the chosen columns."
        )
    return _dataset(kept), notes


def load_splits(data: DataPart, read: Reads = read_table) -> Splits:
    """Reads a recipe's files and splits them: every validation row is unseen in training.

    Validation comes from its own file or from the training file by `data.split`. Training rows whose text stands in validation
    too are removed and noted. `Splits.labels` are the labels of the training file, sorted. The encoding is the training file's; the
    others may be UTF-8 all the same.

    Args:
        read: gives a file as a table.

    Raises:
        DataError: unreadable files, missing columns, fewer than two classes, labels unknown to training.
    """
    table = rows_where(read(data.train, encoding=data.encoding), data.only)
    every = dataset_from(table, data.columns)
    dataset, notes = without_gaps(every, table.name)
    if data.soft_labels:
        from workbench.data.soft_labels import with_soft_labels

        rows = {id(example): row for example, row in zip(every.examples, table.rows, strict=True)}
        dataset = with_soft_labels(dataset, [rows[id(example)] for example in dataset.examples], table, data.soft_labels)
    _check_classes(dataset, table.name)
    notes += _label_notes(dataset.labels, table.name)
    if data.validation is None and data.split.validation > 0:
        notes += _single_notes(dataset, table.name)
    if data.validation is not None:
        validation, more = read_labelled(data, dataset.labels, table.name, read)
        notes += more
        rest = dataset.examples
    else:
        validation, rest, more = _hold_out(dataset, data.split)
        notes += more
    rest, more = _without_leaks(rest, validation)
    notes += more
    train, more = _shots(rest, dataset.labels, data.split, table.name)
    notes += more
    unlabeled, more = read_unlabelled(data, read)
    notes += more
    taken = {id(example) for example in train}
    left = [replace(example, label=None) for example in rest if id(example) not in taken]
    return Splits(Dataset(train, dataset.labels), Dataset(validation, dataset.labels), unlabeled, notes, left)


def _dataset(examples: list[InputExample]) -> Dataset:
    return Dataset(examples, tuple(sorted({e.label for e in examples if e.label is not None})))


def _place(table: Table, column: str, name: str) -> int:
    if column in table.columns:
        return table.columns.index(column)
    hint = "" if len(table.columns) > 1 else " The file has a single column, so its delimiter may not be a comma, tab or semicolon."
    raise DataError(
        f"{table.name}, line 1: there is no column '{shorten(column)}' for '{name}'.",
        fix=f"{nearest(column, table.columns)} Set data.columns.{name} to one of: {shorten(', '.join(table.columns), 200)}.{hint}",
    )


def _check_classes(dataset: Dataset, name: str) -> None:
    sizes = Counter(e.label for e in dataset.examples)
    if len(sizes) < 2 and all(e.probabilities is None for e in dataset.examples):
        raise DataError(
            f"{name}: every row has the label '{shorten(dataset.labels[0])}', and training needs at least two.",
            fix="Add rows of another class, or choose another label column.",
        )


def _single_notes(dataset: Dataset, name: str) -> list[str]:
    """Which classes are too small to give a row to validation, all in one sentence."""
    sizes = Counter(e.label for e in dataset.examples if e.label is not None)
    single = [label for label in dataset.labels if sizes[label] == 1]
    listed = shorten(", ".join(single), 300)
    return [f"{name}: classes with a single row train on it and have none to validate on ({listed})."] if single else []


def _label_notes(labels: Sequence[str], name: str) -> list[str]:
    seen: dict[str, str] = {}
    notes = []
    for label in labels:
        other = seen.setdefault(label.strip().casefold(), label)
        if other != label:
            notes.append(f"{name}: the labels {other!r} and {label!r} differ in blanks or capitals only and count as two classes.")
    return notes


def read_labelled(
    data: DataPart, labels: tuple[str, ...], train_name: str, read: Reads = read_table
) -> tuple[list[InputExample], list[str]]:
    """The labelled rows of `data.validation`, and notes.

    Raises:
        DataError: an unreadable file, or a label that `train_name` does not have.
    """
    table = rows_where(read(str(data.validation), encoding=data.encoding, strict=False), data.only)
    dataset, notes = without_gaps(dataset_from(table, data.columns), table.name)
    for example in dataset.examples:
        if example.label not in labels:
            raise DataError(
                f"{table.name}, line {example.line}: the label '{shorten(str(example.label))}' does not occur in {train_name}.",
                fix=f"{nearest(str(example.label), labels)} Correct the label, or add such rows to the training file.",
            )
    return dataset.examples, notes


def read_unlabelled(data: DataPart, read: Reads = read_table) -> tuple[Dataset | None, list[str]]:
    """The rows of `data.unlabeled`, and notes; None where there is no such file.

    Raises:
        DataError: it cannot be read, or has not the columns.
    """
    if data.unlabeled is None:
        return None, []
    table = read(data.unlabeled, encoding=data.encoding, strict=False)
    return without_gaps(dataset_from(table, data.columns, labelled=False), table.name, labelled=False)


def _split(examples: Sequence[InputExample], *, validation: int, shots: int | None, seed: int) -> tuple[list[int], list[int]]:
    texts = ["\x1f".join(e.content) for e in examples]
    return split_indices(texts, [str(e.label) for e in examples], validation=validation, shots=shots, seed=seed)


def _hold_out(dataset: Dataset, split: SplitPart) -> tuple[list[InputExample], list[InputExample], list[str]]:
    """Validation rows, the rows that are left in the file's order, and notes. A small file gives at most what training can spare."""
    examples = dataset.examples
    wanted = (split.shots or 0) * len(dataset.labels)
    spare = max(len(examples) - wanted if wanted else 0, len(examples) // 2)
    _, held = _split(examples, validation=min(split.validation, spare), shots=None, seed=split.seed)
    notes = []
    if not split.validation:
        notes.append("There are no validation rows, because data.split.validation is 0.")
    elif len(held) < split.validation:
        notes.append(f"{len(held)} validation rows instead of {split.validation}: the file has {count(len(examples), 'row')} in all.")
    taken = set(held)
    return [examples[i] for i in held], [e for i, e in enumerate(examples) if i not in taken], notes


def _without_leaks(rest: list[InputExample], validation: Iterable[InputExample]) -> tuple[list[InputExample], list[str]]:
    held = {e.content for e in validation}
    kept = [e for e in rest if e.content not in held]
    removed = len(rest) - len(kept)
    if not removed:
        return kept, []
    return kept, [f"{count(removed, 'training row')} removed, because the same text stands in validation."]


def _shots(rest: list[InputExample], labels: tuple[str, ...], split: SplitPart, name: str) -> tuple[list[InputExample], list[str]]:
    chosen, _ = _split(rest, validation=0, shots=split.shots, seed=split.seed)
    train = [rest[i] for i in chosen]
    sizes = Counter(e.label for e in train)
    notes = []
    for label in labels:
        if not sizes[label] and split.shots != 0 and not any(e.probabilities for e in train):
            raise DataError(
                f"{name}: no training row of the class '{shorten(label)}' is left after validation.",
                fix="Add rows of that class, or ask for fewer validation rows.",
            )
        if split.shots is not None and sizes[label] < split.shots:
            notes.append(
                f"The class '{shorten(label)}' has {count(sizes[label], 'training row')}, fewer than the {split.shots} shots asked for."
            )
    return train, notes


def _lines(lines: list[int], shown: int = 5) -> str:
    some = ", ".join(str(line) for line in lines[:shown])
    return f"line {some}" if len(lines) <= shown else f"lines {some} and {len(lines) - shown:,} more"
