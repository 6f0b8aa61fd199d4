"""Labels that a person gives by hand, kept as files, and what a model thinks of the rows that have none yet.

    ROOT/labels/ID/book.json     whose they are, the classes, when they were begun
    ROOT/labels/ID/rows.csv      text: the rows, in the order in which they are asked about where no model says otherwise
    ROOT/labels/ID/labels.csv    text, label, row, model_said, probability: one line per mark, written anew with each; what a person saves,
                                 so that nothing in it is a formula to a spreadsheet, and read here as it was
    ROOT/uploads/labels-ID-HASH/ what a run trains on: a copy of the labels, and the rows without one, as they were at that moment

A run reads its copy, so labelling on never changes what a run trained on, or resumes with.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workbench.access import Role, acting, may_see
from workbench.data.dataset import InputExample
from workbench.data.formulas import inert, restored
from workbench.data.labelling import COLUMNS, LabelBook, Mark, Shares, class_names, pool
from workbench.errors import AccessError, DataError, WorkbenchError
from workbench.prompts.cards import words_for
from workbench.prompts.template import parse_template
from workbench.recipe import Recipe
from workbench.runs.answers import base_predictor
from workbench.runs.demo import MOST, check_demo
from workbench.runs.ready import Ready
from workbench.training.folder import replace_file

if TYPE_CHECKING:
    from workbench.runs.service import RunService
    from workbench.runs.view import RunSummary
    from workbench.serving.predictor import Predictor

ID = re.compile(r"[0-9a-f]{16}")
BOOKS_KEPT, BOOKS_OF_A_VISITOR = 100, 5
OPINIONS_KEPT = 8
RUNS_LOOKED_AT = 30
SMALL_BATCH, FEW_ROWS, FEWEST_EPOCHS = 4, 64, 10
PLAIN_TEMPLATE = "{text} [MASK]"


@dataclass(frozen=True)
class Opinions:
    """What a model thinks of rows without a label.

    Args:
        source: a run that was trained on these labels, the untuned prompt, or nobody.
        run: the run's id.
        name: the run's name.
        shares: row -> class -> probability.
        problem: for nobody, why, and what to do.
    """

    source: Literal["run", "prompt", "none"]
    run: str = ""
    name: str = ""
    shares: Shares = field(default_factory=dict)
    problem: tuple[str, str] = ("", "")


class Labelling:
    """The label books of one data root. Owned by a `RunService`; safe to use from several threads."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / "labels"
        self._guard = threading.RLock()
        self._opinions: Ready[Shares] = Ready(OPINIONS_KEPT)

    # -- books

    def begin(self, texts: Iterable[str], classes: str) -> LabelBook:
        """A new book over some texts.

        Raises:
            DataError: too few rows or classes, or no room on the disk.
            AccessError: the one who asks has as many as they may.
        """
        book = LabelBook(secrets.token_hex(8), class_names(classes), pool(texts), created=time.time())
        most = BOOKS_OF_A_VISITOR if acting().role == Role.VISITOR else BOOKS_KEPT
        with self._guard, disk_errors_told():
            if len(self._own()) >= most:
                raise AccessError(f"There are {most} sets of labels already.", fix="Remove one that is no longer needed.")
            folder = self._folder / book.id
            folder.mkdir(parents=True)
            replace_file(folder / "rows.csv", written(["text"], [[row] for row in book.rows]))
            self._write_marks(book)
            about = {"owner": acting().name, "classes": book.classes, "created": book.created}
            replace_file(folder / "book.json", json.dumps(about, ensure_ascii=False))
        return book

    def books(self) -> list[LabelBook]:
        """Every book that the one who asks may see, newest first; one that is not whole is left out."""
        whole = []
        for name in self._own():
            with suppress(DataError):
                whole.append(self._read(name))
        return sorted(whole, key=lambda book: -book.created)

    def book(self, book_id: str) -> LabelBook:
        """One book.

        Raises:
            DataError: there is none, or none that the one who asks may see.
        """
        if not ID.fullmatch(book_id) or not self._is_seen(book_id):
            raise DataError("These labels are no longer there.", fix="Reload the page.")
        return self._read(book_id)

    def mark(self, book_id: str, row: int, label: str | None, shares: Shares) -> LabelBook:
        """Writes what a person says of a row; `shares` is what the model thinks of it. DataError as `book` and `LabelBook.marked`."""
        with self._guard:
            return self._write_marks(self.book(book_id).marked(row, label, shares))

    def undo(self, book_id: str) -> LabelBook:
        """Takes the last mark back; without one nothing happens. DataError as `book`."""
        with self._guard:
            return self._write_marks(self.book(book_id).undone())

    def remove(self, book_id: str) -> None:
        """Removes a book for good; what runs were trained on stays. DataError as `book`."""
        with self._guard, disk_errors_told():
            folder = self._folder / self.book(book_id).id
            for name in ("book.json", "labels.csv", "rows.csv"):
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()

    def labels_file(self, book_id: str) -> str:
        """labels.csv as text. DataError as `book`."""
        return (self._folder / self.book(book_id).id / "labels.csv").read_text(encoding="utf-8")

    # -- models

    def opinions(self, service: RunService, book: LabelBook, recipe: Recipe) -> Opinions:
        """What the newest run trained on this book thinks of its rows, before there is one what the recipe's prompt does untuned.

        Args:
            recipe: with absolute places.
        """
        run = self._trained(service, book)
        try:
            if run is not None:
                shares = self._asked(book, (run.id, run.status, str(run.step)), lambda: service.predictor(run.id))
                return Opinions("run", run.id, run.name, shares)
            untuned = over_labels(recipe, book, "")
            check_demo(untuned)
            return Opinions("prompt", shares=self._untuned(service, book, untuned))
        except WorkbenchError as error:
            return Opinions("none", problem=(error.message, error.fix))

    def recipe(self, book_id: str, recipe: Recipe) -> Recipe:
        """The recipe over a copy of the labels as they are now.

        Raises:
            DataError: as `book`, or fewer than two classes have a label.
        """
        book = self.book(book_id)
        check_labels(book)
        rows = sorted(book.labelled)
        digest = hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()[:12]
        folder = self._root / "uploads" / f"labels-{book.id}-{digest}"
        with disk_errors_told():
            folder.mkdir(parents=True, exist_ok=True)
            replace_file(folder / "labels.csv", written(["text", "label"], rows))
            left = [[book.rows[row]] for row in book.left]
            replace_file(folder / "rows.csv", written(["text"], left))
        return over_labels(recipe, book, str(folder / "labels.csv"), str(folder / "rows.csv") if left else None)

    def _trained(self, service: RunService, book: LabelBook) -> RunSummary | None:
        """The newest run that trained on a copy of this book's labels and can answer."""
        for run, recipe in islice(service.readable(), RUNS_LOOKED_AT):
            if f"labels-{book.id}-" not in recipe.data.train:
                continue
            try:
                service.tuned_folder(run.id)
            except WorkbenchError:
                continue
            return run
        return None

    def _untuned(self, service: RunService, book: LabelBook, recipe: Recipe) -> Shares:
        key = json.dumps([recipe.model.model_dump(), recipe.prompt.model_dump()], sort_keys=True)
        name = recipe.fields[0]

        def rows() -> list[InputExample]:
            if not all(book.counts.values()):
                raise DataError("This way of reading answers needs a label of each class first.", fix="Label one row of each class.")
            return [InputExample(str(number), {name: text}, label) for number, (text, label) in enumerate(book.labelled)]

        return self._asked(book, (key,), lambda: base_predictor(service.pool, recipe, book.classes, rows))

    def _asked(self, book: LabelBook, model: tuple[str, ...], make: Callable[[], Predictor]) -> Shares:
        rows = book.asked_about
        key = (book.id, str(len(rows)), *model)

        def ask() -> Shares:
            answering = make()
            name = answering.recipe.fields[0]
            found = answering.probabilities([{name: book.rows[row]} for row in rows])
            return dict(zip(rows, (dict(zip(answering.labels, probabilities, strict=True)) for probabilities in found), strict=True))

        return self._opinions.get(key, ask)

    # -- files

    def _own(self) -> list[str]:
        """Ids of the books that the one who asks may see."""
        return [file.parent.name for file in self._folder.glob("*/book.json") if self._is_seen(file.parent.name)]

    def _is_seen(self, book_id: str) -> bool:
        try:
            about = json.loads((self._folder / book_id / "book.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(about, dict) and may_see(str(about.get("owner")))

    def _read(self, book_id: str) -> LabelBook:
        folder = self._folder / book_id
        try:
            about = json.loads((folder / "book.json").read_text(encoding="utf-8"))
            rows = tuple(row["text"] for row in read(folder / "rows.csv"))
            marks = tuple(_mark(line) for line in read(folder / "labels.csv"))
            return LabelBook(book_id, tuple(about["classes"]), rows, marks, float(about["created"]))
        except (OSError, ValueError, KeyError, TypeError, csv.Error):
            raise DataError("These labels are damaged.", fix=f"Look into the folder labels/{book_id} of the data root.") from None

    def _write_marks(self, book: LabelBook) -> LabelBook:
        lines = [[inert(book.rows[m.row]), inert(m.label or ""), m.row, inert(m.said), f"{m.share:.4f}"] for m in book.marks]
        with disk_errors_told():
            replace_file(self._folder / book.id / "labels.csv", written(COLUMNS, lines))
        return book


def over_labels(recipe: Recipe, book: LabelBook, train: str, unlabeled: str | None = None) -> Recipe:
    """The recipe over a book's labels: one text column, its classes' label words, every label trained on, and small batches, since a
    handful of rows would make an epoch a single step."""
    single = recipe.task == "classification" and len(recipe.fields) == 1
    name = recipe.fields[0] if single else "text"
    fits = single and all(set(parse_template(source, needs_mask=False).fields) <= {name} for source in recipe.prompt.templates)
    most = max(book.counts.values(), default=0)
    few = len(book.labelled) < FEW_ROWS
    return recipe.replace({
        "task": "classification",
        "data.train": train, "data.validation": None, "data.unlabeled": unlabeled, "data.soft_labels": None, "data.encoding": "auto",
        "data.only": {},
        "data.columns": {name: "text", "label": "label"},
        "data.split.shots": min(most, MOST["data.split.shots"]) if acting().role == Role.VISITOR else None, "data.split.validation": 0,
        "prompt.templates": recipe.prompt.templates if fits else [PLAIN_TEMPLATE],
        **words_for(recipe.prompt, book.classes), **({} if fits else {"prompt.template_words": None}),
        "training.batch_size": min(recipe.training.batch_size, SMALL_BATCH) if few else recipe.training.batch_size,
        "training.epochs": max(recipe.training.epochs, FEWEST_EPOCHS) if few else recipe.training.epochs,
        "training.early_stopping": None, "job": None,
    })  # fmt: skip


def check_labels(book: LabelBook) -> None:
    """Raises DataError when there is nothing to learn from yet."""
    if sum(count > 0 for count in book.counts.values()) < 2:
        raise DataError("Training needs labels of at least two classes.", fix="Label a row of another class first.")


@contextmanager
def disk_errors_told() -> Iterator[None]:
    """Raises DataError where labels could not be written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or "the disk did not take them"
        raise DataError(f"The labels could not be written: {reason}.", fix="Free disk space and try again.") from error


def written(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as csv (RFC 4180)."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([header, *rows])  # else a lone carriage return ends a row
    return out.getvalue()


def read(file: Path) -> list[dict[str, str]]:
    """The rows of a csv file that `written` made."""
    with open(file, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, strict=True))


def _mark(line: dict[str, str]) -> Mark:
    return Mark(int(line["row"]), restored(line["label"]) or None, restored(line["model_said"]), float(line["probability"]))
