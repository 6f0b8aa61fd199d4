"""The part of the tab Data in which a person labels rows: what it shows at each moment, called as it is over a real service."""

import re

import pytest

from workbench.data.labelling import LabelBook
from workbench.errors import DataError
from workbench.runs.labelling import Opinions
from workbench.ui import page
from workbench.ui.tabs import labelling
from workbench.ui.text import Words

T = Words("en")
ROWS = ("the film lovely", "the food awful <b>{x}</b>", "food nice", "film bad")


@pytest.fixture
def book(service):
    book = service.labelling.begin(ROWS, "pos，neg")
    yield book
    service.labelling.remove(book.id)


def test_the_row_that_the_prompt_is_least_sure_of_is_shown_with_a_button_and_a_key_per_class(service, tiny, book):
    shown = labelling.view(service, tiny, book.id)
    html = labelling.view_html(shown, T)
    assert shown.asked.source == "prompt" and shown.row == min(
        shown.asked.shares, key=lambda row: max(shown.asked.shares[row].values())
    )
    assert re.findall(r'data-key="(.)"', html) == ["1", "2", "0"], "nothing to undo yet"
    assert T("labels.by_prompt") in html and T("labels.unsure_prompt") in html
    assert f"{0} / {len(ROWS)}" in html and "<b>" not in html and "{x}" not in html


def test_labels_are_counted_and_can_be_undone(service, tiny, book):
    asked = labelling.view(service, tiny, book.id).asked
    service.labelling.mark(book.id, 0, "pos", asked.shares)
    html = labelling.view_html(labelling.view(service, tiny, book.id), T)
    assert "1 / 4" in html and 'data-act="undo"' in html and T("labels.agreed") in html
    assert labelling.choices(service, T) == [(T("labels.book", classes="pos / neg", done=1, rows="4"), book.id)]


def test_where_nobody_can_be_asked_the_reason_stands_there(service, tiny, book):
    html = labelling.view_html(labelling.view(service, tiny.replace({"model.path": "/nowhere"}), book.id), Words("zh"))
    assert "pw-problem" in html and Words("zh")("labels.why_none") in html


def test_when_every_row_has_a_mark_only_undo_is_left():
    book = LabelBook("0" * 16, ("a", "b"), ("one", "two")).marked(0, "a", {}).marked(1, None, {})
    html = labelling.view_html(labelling.drawn(book, Opinions("none", problem=("No.", "Do."))), T)
    assert T("labels.all_done") in html and re.findall(r'data-act="(\w+)"', html) == ["undo"]


def test_twenty_classes_have_buttons_and_nine_have_keys():
    book = LabelBook("0" * 16, tuple(f"class {n}" for n in range(20)), ("one", "two"))
    html = labelling.view_html(labelling.drawn(book, Opinions("none")), T)
    assert html.count('data-act="mark"') == 20
    assert sorted(re.findall(r'data-key="(.)"', html)) == list("0123456789")


@pytest.mark.parametrize(("number", "name"), [("1", "b"), ("2", ""), ("-1", ""), ("x", ""), ("9" * 40, ""), ("\u0661", "b"), (None, "")])
def test_what_the_browser_names_is_a_class_or_none(number, name):
    assert labelling._named(LabelBook("0" * 16, ("a", "b"), ("one", "two")), number) == name


def test_rows_come_from_pasted_lines_or_from_the_column_with_the_most_text(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("id,review\n1,a long review\n2,another one\n", encoding="utf-8")
    assert labelling.texts_of("one\ntwo\n", str(file), "id") == ["one", "two"]
    assert labelling.texts_of(" ", str(file), "id") == ["1", "2"]
    assert labelling.texts_of("", str(file), None) == ["a long review", "another one"]
    with pytest.raises(DataError):
        labelling.texts_of("", None, None)


def test_the_keys_are_part_of_the_page():
    assert labelling.KEYS in page.head("zh")
