"""What a template may do to a field's text before the model reads it: `{text|strip_punct|lower_first}`, in the order written."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Callable


def strip_punct(text: str) -> str:
    """`text` without the punctuation, ASCII signs and blanks at its end, in any script."""
    end = len(text)
    while end and (text[end - 1].isspace() or text[end - 1] in string.punctuation or unicodedata.category(text[end - 1]).startswith("P")):
        end -= 1
    return text[:end]


def strip_dots(text: str) -> str:
    """`text` without full stops at either end."""
    return text.strip(".")


def drop_last(text: str) -> str:
    """`text` without its last character, whatever that is: LM-BFF's `sent-`, which takes it for the full stop."""
    return text[:-1]


def lower_first(text: str) -> str:
    """`text` with its first letter in lower case, so that it can stand in the middle of a sentence."""
    return text[:1].lower() + text[1:]


def upper_first(text: str) -> str:
    """`text` with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def lower(text: str) -> str:
    """`text` in lower case."""
    return text.lower()


FILTERS: dict[str, Callable[[str], str]] = {
    function.__name__: function for function in (strip_punct, strip_dots, drop_last, lower_first, upper_first, lower)
}
