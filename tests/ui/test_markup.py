"""The page's HTML: nothing a person typed can become markup or a template."""

import re

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


def test_a_name_is_cut_by_its_width_and_keeps_its_beginning():
    four, five = "\u56db\u4e2a\u5b57\u6b63", "\u8fd9\u662f\u4e94\u4e2a\u5b57"
    cut = [markup.short(text, 8) for text in ("", "eight888", "nine99999", four, five)]
    assert cut == ["", "eight888", "nine999\u2026", four, f"{five[:3]}\u2026"]


def test_a_confusion_matrix_of_long_names_stays_small_and_keeps_the_whole_names():
    names = [f"{number} {'long ' * 40}" for number in range(20)]
    made = markup.confusion([[1] * 20] * 20, names, "label", "predicted")
    shown = re.findall(r"<th[^>]*>([^<]*)</th>", made)
    assert len(shown) == 40 and max(map(len, shown)) == markup.LONGEST_LABEL
    assert all(made.count(f'title="{name}"') == 2 for name in names)
    assert "title=" not in markup.confusion([[1]], ["pos"], "label", "predicted")


def test_what_may_be_wider_than_the_window_can_be_reached_and_has_a_name():
    assert 'role="group" tabindex="0" aria-label="a, &lt;b&gt;"' in markup.table(["a", "<b>"], [["1", "2"]])
    assert 'tabindex="0" aria-label="predicted"' in markup.confusion([[1]], ["pos"], "label", "predicted")
