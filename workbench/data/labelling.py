"""Rows that a person labels one by one: what was said of them so far, and which row is worth asking about next.

    Pasted text or a column --pool--> rows in a seeded order --LabelBook--> marks in the order in which they were made

The next row is the one the model is least sure of (uncertainty sampling, Lewis & Gale 1994), by the entropy of its class probabilities
(Settles 2009, section 3.1). Where no model was asked, rows come in their seeded order, which spreads them over the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from workbench.data.splits import seeded_order
from workbench.data.table import check_value, shorten
from workbench.errors import DataError

MOST_ROWS = 5_000
MOST_CLASSES = 20
LONGEST_CLASS = 200
MOST_CHARACTERS = 20_000_000
COLUMNS = ("text", "label", "row", "model_said", "probability")
"""Of the file that labels are kept in and go out as; by them it is known again when it comes back."""
ASKED_ABOUT = 200
"""Rows that a model is asked about at a time; more are looked at once half as many are labelled."""

Shares = Mapping[int, Mapping[str, float]]
"""Row number -> class -> probability."""


@dataclass(frozen=True)
class Mark:
    """What a person said of a row; `label` is None for a row that was passed over. `said` is what the model would have answered at that
    moment, before it could learn from the mark, and `share` how sure it was; empty and 0 where none was asked."""

    row: int
    label: str | None
    said: str = ""
    share: float = 0.0


@dataclass(frozen=True)
class LabelBook:
    """Rows with their marks. Immutable: `marked` and `undone` give a changed copy.

    Args:
        id: name of the folder that keeps it.
        classes: at least two.
        rows: texts in the order in which they are asked about where no model says otherwise.
    """

    id: str
    classes: tuple[str, ...]
    rows: tuple[str, ...]
    marks: tuple[Mark, ...] = ()
    created: float = 0.0

    @property
    def left(self) -> list[int]:
        """Numbers of the rows without a mark."""
        done = {mark.row for mark in self.marks}
        return [row for row in range(len(self.rows)) if row not in done]

    @property
    def labelled(self) -> list[tuple[str, str]]:
        """Text and label of every row that has one, in the order of the marks."""
        return [(self.rows[mark.row], mark.label) for mark in self.marks if mark.label is not None]

    @property
    def counts(self) -> dict[str, int]:
        """Labels per class."""
        given = [mark.label for mark in self.marks]
        return {name: given.count(name) for name in self.classes}

    @property
    def agreement(self) -> tuple[int, int]:
        """On how many labelled rows the model had said the same beforehand, and on how many it had been asked."""
        asked = [mark for mark in self.marks if mark.said and mark.label is not None]
        return sum(mark.said == mark.label for mark in asked), len(asked)

    @property
    def asked_about(self) -> list[int]:
        """Rows that a model should be asked about now: enough to choose from, however long the file."""
        window = ASKED_ABOUT * (1 + len(self.marks) // (ASKED_ABOUT // 2))
        return list(range(min(window, len(self.rows))))

    def marked(self, row: int, label: str | None, shares: Shares) -> LabelBook:
        """The book with one more mark. A row that has one keeps it, so a second click or a second page changes nothing.

        Raises:
            DataError: no such row or class.
        """
        if not 0 <= row < len(self.rows) or (label is not None and label not in self.classes):
            raise DataError("There is no such row or class in these labels.", fix="Reload the page.")
        if any(mark.row == row for mark in self.marks):
            return self
        found = shares.get(row) or {}
        said = max(found, key=found.__getitem__) if found else ""
        return replace(self, marks=(*self.marks, Mark(row, label, said, float(found.get(said, 0.0)))))

    def undone(self) -> LabelBook:
        """The book without its last mark."""
        return replace(self, marks=self.marks[:-1])


def entropy(probabilities: Iterable[float]) -> float:
    """In nats: 0 for a sure answer, log of the number of classes for an even one."""
    return -sum(p * math.log(p) for p in probabilities if p > 0)


def unsure(book: LabelBook, shares: Shares) -> list[int]:
    """Rows without a mark that a model was asked about, the least sure first; ties keep the rows' order."""
    return sorted((row for row in book.left if shares.get(row)), key=lambda row: -entropy(shares[row].values()))


def next_row(book: LabelBook, shares: Shares) -> int | None:
    """The row to ask about next; None when every row has a mark."""
    left = book.left
    return next(iter(unsure(book, shares)), left[0] if left else None)


def sureness(book: LabelBook, shares: Shares) -> float | None:
    """Mean probability of the model's answers over the rows without a mark, in [1 / classes, 1]; None when it was asked about none."""
    rows = unsure(book, shares)
    return sum(max(shares[row].values()) for row in rows) / len(rows) if rows else None


def pool(texts: Iterable[str]) -> tuple[str, ...]:
    """Rows to label: blank and repeated ones left out, in an order that depends on the texts alone, at most `MOST_ROWS`.

    Raises:
        DataError: a row or all together are too long or no text, or fewer than two are left.
    """
    rows = list(dict.fromkeys(stripped for text in texts if (stripped := text.strip())))
    for number, row in enumerate(rows, start=1):
        check_value("rows.csv", number, "text", row)
    if len(rows) < 2:
        raise DataError("There are fewer than two different rows to label.", fix="Paste one text per line, or upload a file.")
    chosen = tuple(rows[i] for i in seeded_order(rows, seed=0)[:MOST_ROWS])
    if sum(map(len, chosen)) > MOST_CHARACTERS:
        raise DataError(f"The rows hold more than {MOST_CHARACTERS:,} characters together.", fix="Take fewer rows, or shorter ones.")
    return chosen


def class_names(text: str) -> tuple[str, ...]:
    """Names separated by commas, Western or Chinese, or by lines.

    Raises:
        DataError: fewer than two, too many, or one that is too long.
    """
    names = tuple(dict.fromkeys(name for part in re.split("[,\uff0c\u3001;\uff1b\n]", text) if (name := part.strip())))
    if not 2 <= len(names) <= MOST_CLASSES:
        raise DataError(f"There are {len(names)} classes, and labelling takes 2 to {MOST_CLASSES}.", fix="Separate their names by commas.")
    for name in names:
        check_value("labels.csv", 1, "class", name)
        if len(name) > LONGEST_CLASS:
            raise DataError(f"The class '{shorten(name)}' has more than {LONGEST_CLASS} characters.", fix="Give it a shorter name.")
    return names
