"""Rows labelled by hand: what becomes of pasted text, which row comes next, and what a mark or its undoing changes."""

import math

import pytest

from workbench.data import labelling
from workbench.data.labelling import LabelBook, Mark, class_names, entropy, next_row, pool, sureness, unsure
from workbench.errors import DataError

ROWS = tuple("abcdef")
BOOK = LabelBook("0" * 16, ("正面", "负面"), ROWS)


def shares(**even: float) -> dict[int, dict[str, float]]:
    """Row letter -> probability of the first class."""
    return {ROWS.index(row): {"正面": p, "负面": 1 - p} for row, p in even.items()}


def test_entropy_is_zero_when_sure_and_the_logarithm_of_the_classes_when_even():
    assert entropy([1.0, 0.0]) == 0.0
    assert entropy([0.25] * 4) == pytest.approx(math.log(4))
    # -0.9 ln 0.9 - 0.1 ln 0.1
    assert entropy([0.9, 0.1]) == pytest.approx(0.3250829733914482)


def test_the_least_sure_row_comes_next_and_rows_that_nobody_was_asked_about_come_last():
    thought = shares(a=0.9, c=0.45, d=0.52, f=0.99)
    assert [ROWS[row] for row in unsure(BOOK, thought)] == ["d", "c", "a", "f"]
    book = BOOK
    asked = []
    while (row := next_row(book, thought)) is not None:
        asked.append(ROWS[row])
        book = book.marked(row, "正面", thought)
    assert asked == ["d", "c", "a", "f", "b", "e"]


def test_without_a_model_rows_come_in_their_order():
    assert next_row(BOOK, {}) == 0
    assert next_row(BOOK.marked(0, "负面", {}), {}) == 1


def test_sureness_is_the_mean_of_the_winners_of_rows_without_a_mark():
    thought = shares(a=0.9, b=0.2, c=0.5)
    assert sureness(BOOK, thought) == pytest.approx((0.9 + 0.8 + 0.5) / 3)
    assert sureness(BOOK.marked(2, "正面", thought), thought) == pytest.approx(0.85)
    assert sureness(BOOK, {}) is None


def test_a_mark_remembers_what_the_model_had_said_before():
    book = BOOK.marked(0, "正面", shares(a=0.9)).marked(1, "正面", shares(b=0.3)).marked(2, "负面", {}).marked(3, None, shares(d=0.6))
    assert book.marks[:2] == (Mark(0, "正面", "正面", 0.9), Mark(1, "正面", "负面", 0.7))
    assert book.agreement == (1, 2)
    assert book.counts == {"正面": 2, "负面": 1} and book.left == [4, 5]
    assert book.labelled == [("a", "正面"), ("b", "正面"), ("c", "负面")]


def test_a_second_mark_on_a_row_changes_nothing_and_undo_takes_the_last_back():
    book = BOOK.marked(0, "正面", {}).marked(1, "负面", {})
    assert book.marked(1, "正面", {}) == book
    assert book.undone() == BOOK.marked(0, "正面", {})
    assert BOOK.undone() == BOOK


@pytest.mark.parametrize(("row", "label"), [(6, "正面"), (-1, "正面"), (0, "third")])
def test_a_row_or_class_that_is_not_there_is_refused(row, label):
    with pytest.raises(DataError):
        BOOK.marked(row, label, {})


def test_more_rows_are_asked_about_as_more_are_labelled(monkeypatch):
    monkeypatch.setattr(labelling, "ASKED_ABOUT", 4)
    book = LabelBook("0" * 16, ("x", "y"), tuple(map(str, range(10))))
    seen = []
    for row in range(6):
        seen.append(len(book.asked_about))
        book = book.marked(row, "x", {})
    assert seen == [4, 4, 8, 8, 10, 10]


def test_the_pool_leaves_out_blank_and_repeated_rows_and_does_not_depend_on_their_order():
    texts = ["质量很好，会再买。", "  ", "", "质量很好，会再买。 ", 'has, a comma and "quotes"', "三"]
    rows = pool(texts)
    assert sorted(rows) == sorted({"质量很好，会再买。", 'has, a comma and "quotes"', "三"})
    assert pool(reversed(texts)) == rows


def test_the_pool_has_bounds(monkeypatch):
    monkeypatch.setattr(labelling, "MOST_ROWS", 3)
    assert len(pool(map(str, range(10)))) == 3
    monkeypatch.setattr(labelling, "MOST_CHARACTERS", 2)
    for texts in (["one", " one ", ""], map(str, range(10)), ["a\x00b", "c"], ["\ud800", "c"]):
        with pytest.raises(DataError):
            pool(texts)


@pytest.mark.parametrize("text", ["正面，负面", "正面、负面", "正面,负面", " 正面 ; 负面;正面", "正面\n负面\n"])
def test_class_names_in_either_script(text):
    assert class_names(text) == ("正面", "负面")


@pytest.mark.parametrize("text", ["", "one", "one,one", ",".join(map(str, range(21))), "x" * 201 + ",y", "a\x00,b"])
def test_classes_that_cannot_be_used_are_refused(text):
    with pytest.raises(DataError):
        class_names(text)
