"""The page's HTML: nothing a person typed can become markup or a template."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.ui import markup
from workbench.ui.text import Words


@given(st.text())
def test_escaped_text_holds_no_mark_that_means_something(text):
    assert not set(markup.esc(text)) & set("<>\"'{}$`\\")


@pytest.mark.parametrize("piece", [
    markup.sentence("<b>"), markup.problem("<b>", "<i>", Words("en")), markup.heading("<b>"), markup.facts([("<b>", "<i>")]),
    markup.chips(["<b>"]),
    markup.table(["<b>"], [["<i>"]]), markup.bars([("<b>", 0.5)]), markup.token("<b>", "text", "<i>"),
    markup.confusion([[1]], ["<b>"], "<i>", "<i>"), markup.progress(0.5, "<b>"),
])
def test_no_part_lets_markup_through(piece):
    assert "<b>" not in piece and "<i>" not in piece


def test_figures_a_person_reads():
    assert [markup.amount(n) for n in (512, 73_728, 17_756_831, 7_615_616_512)] == ["512", "73.7k", "17.8M", "7.62B"]
    assert [markup.duration(s) for s in (8.4, 187, 8049)] == ["8 s", "3:07", "2:14:09"]
    assert [markup.percent(p) for p in (0.505, 0.9996, 0.99)] == ["50.5%", "100%", "99.0%"]
    assert markup.size(57_344) == "56.0 KB"
