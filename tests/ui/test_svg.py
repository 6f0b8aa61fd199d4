"""Room for text in pictures, and lines that break where people break them."""

import pytest

from workbench.ui.svg import Sheet, lines_of, text_width


def test_wide_letters_take_their_whole_width():
    assert text_width("质量", 10) == 20 and text_width("il", 10) < text_width("mw", 10)


TEXTS = ("a moving film with wonderful actors", "质量很好，用着非常满意。下次还会再买！", "屏幕 nice, 很好", "word")


@pytest.mark.parametrize("text", TEXTS)
def test_lines_fit_and_hold_the_whole_text(text):
    lines = lines_of(text, 10, 80)
    assert all(text_width(line, 10) <= 80 for line in lines if " " in line)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert not any(line.startswith(("，", "。", "！")) for line in lines)


def test_nothing_is_one_empty_line():
    assert lines_of("", 10, 80) == [""]


def test_a_picture_says_what_it_shows_and_escapes_what_it_holds():
    sheet = Sheet()
    sheet.text("<b>{x}", 0, 0, size=10)
    picture = sheet.svg('a "picture"', 10, 10, "kind")
    assert 'aria-label="a &quot;picture&quot;"' in picture and "<b>" not in picture and "{" not in picture
