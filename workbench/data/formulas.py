"""Cells that a spreadsheet would take for a formula, made plain text on the way out and read back as they were.

A spreadsheet runs what begins with one of `STARTS`, also from a csv file somebody was sent (OWASP, CSV injection); behind an apostrophe it
is text. One more apostrophe goes before those that already have some, so that `restored` undoes `inert` for every text.
"""

from __future__ import annotations

import re

STARTS = "=+\\-@\t\r"
_LIVE = re.compile(f"'*[{STARTS}]")
_INERT = re.compile(f"'+[{STARTS}]")


def inert(value: str) -> str:
    """The text as a cell that no spreadsheet runs."""
    return f"'{value}" if _LIVE.match(value) else value


def restored(value: str) -> str:
    """The text that `inert` was given."""
    return value[1:] if _INERT.match(value) else value
