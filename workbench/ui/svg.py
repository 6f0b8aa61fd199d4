"""Pictures drawn in code: an ink that follows the paper, escaped text, and how much room a text will take."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from workbench.ui.markup import esc

INK, QUIET = "var(--body-text-color)", "var(--body-text-color-subdued)"
LINE, PAPER = "var(--border-color-primary)", "var(--background-fill-primary)"
# Shares of the font's size, by the widest font that stands for system-ui somewhere (DejaVu Sans).
WIDE, NARROW, USUAL, CAPITAL, BROAD = 1.0, 0.4, 0.61, 0.74, 1.0


@dataclass(frozen=True)
class Paint:
    """The look of a box: what fills it, and what is written in it."""

    fill: str
    ink: str
    stroke: str = "none"


def text_width(text: str, size: float) -> float:
    """The room that `text` takes at most, in the units of `size`."""
    return size * sum(_share(character) for character in text)


def lines_of(text: str, size: float, width: float) -> list[str]:
    """`text` in lines of at most `width`, broken at blanks; Chinese, which has none, anywhere."""
    lines: list[str] = []
    line = ""
    for piece in _pieces(text):
        if line and text_width(line + piece.rstrip(), size) > width:
            lines.append(line.rstrip())
            line = ""
        line += piece if line else piece.lstrip()
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


class Sheet:
    """SVG elements one after the other; `svg` makes them a picture."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def rect(self, x: float, y: float, width: float, height: float, fill: str, stroke: str = "none", *, round_: float = 3) -> None:
        """A rectangle from its upper left corner; `round_` is the radius of its corners. All lengths in the picture's units."""
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{round_:g}" fill="{fill}" stroke="{stroke}"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, *, stroke: str = INK, width: float = 1) -> None:
        """A straight line between two points."""
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" stroke-width="{width:g}"/>'
        )

    def path(self, d: str, *, stroke: str = INK, width: float = 1, fill: str = "none") -> None:
        """A path in SVG's own notation."""
        self.parts.append(f'<path d="{d}" fill="{fill}" stroke="{stroke}" stroke-width="{width:g}"/>')

    def text(
        self, text: str, x: float, y: float, *, size: float, weight: int = 400, anchor: str = "middle", fill: str = INK
    ) -> None:
        """A line of text, escaped; `y` is its baseline, `anchor` the part of it that stands at `x`."""
        look = f'text-anchor="{anchor}" font-size="{size:g}" font-weight="{weight}" fill="{fill}"'
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" {look}>{esc(text)}</text>')

    def svg(self, label: str, width: float, height: float, kind: str) -> str:
        """The picture; `label` says in words what is to be seen, `kind` is its class."""
        return (
            f'<svg class="{kind}" role="img" aria-label="{esc(label)}" viewBox="0 0 {width:g} {height:.0f}" width="{width:g}" '
            f'xmlns="http://www.w3.org/2000/svg" font-family="inherit">{"".join(self.parts)}</svg>'
        )


def _share(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return WIDE
    if character in " .,:;'|!()[]{}iljftIr-":
        return NARROW
    if character in "mwMW@%\u2026":
        return BROAD
    return CAPITAL if character.isupper() else USUAL


def _pieces(text: str) -> list[str]:
    """Where a line may break: after blanks, and around every wide character but before none that closes a clause."""
    pieces: list[str] = []
    for character in text:
        wide = unicodedata.east_asian_width(character) in "WF"
        closing = character in "\uff0c\u3002\uff01\uff1f\u3001\uff1b\uff1a\u201d\uff09"
        fresh = not pieces or pieces[-1].endswith(" ") or (wide and not closing)
        if fresh:
            pieces.append(character)
        else:
            pieces[-1] += character
    return pieces
