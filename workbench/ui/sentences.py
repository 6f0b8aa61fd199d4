"""What the engine says in English, in the language of a page: a catalogue of patterns, each with its translation.

The engine, the command line, logs and JSON speak English. A page looks a sentence up where it shows it:

    said = Catalogue({"There is no run '{run}'.": "没有训练“{run}”。"})
    said("There is no run 'x7'.")  ->  "没有训练“x7”。"

A pattern's holes are written as in an f-string and stand for any text, which goes into the translation as it is; braces that a person
shall see are doubled. `{name:said}` is a hole that the engine fills itself, so that its content is translated as well. `{name:number}`
takes digits only. Several sentences joined by blanks are translated one by one. What no pattern knows stays as it is.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

# Where one sentence may end and the next begin; also inside of what a person wrote, so both readings are tried.
_CUT = re.compile(r"(?<=[.?!])\s+")
_NUMBER = re.compile(r"-?\d[\d,.]*(e[-+]?\d+)?")
# A pattern seldom holds more sentence ends than this between its first and its last word; it bounds the work on a long text.
MOST_CUTS = 8


@dataclass(frozen=True)
class Hole:
    """A hole of a pattern; `kind` is "", "said" or "number"."""

    name: str
    kind: str = ""


@dataclass(frozen=True)
class Pattern:
    """A sentence with holes: `fixed` texts with `holes` between them, one fewer than there are texts."""

    fixed: tuple[str, ...]
    holes: tuple[Hole, ...]
    target: str

    @property
    def weight(self) -> int:
        """Characters that have to be there: of two patterns that match, the heavier one says more about the sentence."""
        return sum(map(len, self.fixed))

    def holds(self, text: str) -> list[dict[Hole, str]]:
        """What may stand in the holes when `text` is this sentence; empty when it is not.

        Where a fixed text stands more than once, the first places and the last ones are tried. Searching from one end for one fixed
        text after the other needs no going back, so no text takes more than linear time.
        """
        first, *middle, last = self.fixed if self.holes else (self.fixed[0], "")
        start, stop = len(first), len(text) - len(last)
        if start > stop or not (text.startswith(first) and text.endswith(last)):
            return []
        inner = text[start:stop]
        readings = [_parted(inner, middle), _parted(inner[::-1], [fixed[::-1] for fixed in reversed(middle)])]
        if readings[0] is None or readings[1] is None:
            return []
        backwards = [value[::-1] for value in reversed(readings[1])]
        found = [dict(zip(self.holes, values, strict=True)) for values in (readings[0], backwards)]
        return [pairs for i, pairs in enumerate(found) if pairs not in found[:i] and all(_fits(*pair) for pair in pairs.items())]


def _parted(text: str, between: Sequence[str]) -> list[str] | None:
    """`text` cut at the first place of each of the texts `between` in turn; None when one of them is missing."""
    values, start = [], 0
    for fixed in between:
        place = text.find(fixed, start)
        if place < 0:
            return None
        values.append(text[start:place])
        start = place + len(fixed)
    return [*values, text[start:]]


def _fits(hole: Hole, value: str) -> bool:
    return hole.kind != "number" or bool(_NUMBER.fullmatch(value))


def parse(source: str, target: str = "") -> Pattern:
    """A pattern from its written form.

    Raises:
        ValueError: two holes touch, a name stands twice, or a hole is of no known kind.
    """
    fixed, holes = [""], []
    for literal, name, kind, _ in string.Formatter().parse(source):
        fixed[-1] += literal
        if name is None:
            continue
        if (holes and not fixed[-1]) or name in [hole.name for hole in holes] or kind not in ("", "said", "number"):
            raise ValueError(f"The hole '{name}' in: {source}")
        holes.append(Hole(name, kind or ""))
        fixed.append("")
    return Pattern(tuple(fixed), tuple(holes), target)


class _Reading(NamedTuple):
    """One way to read a text; of several, the greatest counts.

    Args:
        known: characters of it that a pattern explains, what stands in a person's holes included.
        weight: characters that stand in the patterns themselves.
        parts: minus the number of sentences it was taken for.
        said: the translation.
    """

    known: int
    weight: int
    parts: int
    said: str


class Catalogue:
    """Sentences of the engine with their translations; lives as long as the program.

    Args:
        entries: pattern -> translation with the same holes.
    """

    def __init__(self, entries: Mapping[str, str]) -> None:
        patterns = [parse(source, target) for source, target in entries.items()]
        self.entries = dict(entries)
        self._plain = {pattern.fixed[0]: pattern.target.format() for pattern in patterns if not pattern.holes}
        self._open = [pattern for pattern in patterns if pattern.holes]
        self._known = lru_cache(maxsize=4096)(self._find)

    def __call__(self, text: str) -> str:
        """`text` in the catalogue's language, sentence by sentence, as far as it is known."""
        return self._read(text).said

    def _read(self, text: str) -> _Reading:
        """The reading of `text` as one sentence after the other of which most is known."""
        cuts = [0, *(match.end() for match in _CUT.finditer(text)), len(text)]
        best = [_Reading(0, 0, 0, "")] * len(cuts)
        for i in range(len(cuts) - 2, -1, -1):
            readings = []
            for j in range(i + 1, min(i + 1 + MOST_CUTS, len(cuts))):
                whole, rest = text[cuts[i] : cuts[j]], best[j]
                alone = whole.rstrip() if j < len(cuts) - 1 else whole
                first = self._known(alone) or _Reading(0, 0, 0, alone)
                # The blank behind a known sentence counts with it, or one that swallows the next would seem to tell more.
                known = first.known + (len(whole) - len(alone) if first.known else 0) + rest.known
                readings.append(_Reading(known, first.weight + rest.weight, rest.parts - 1, _after(first.said, rest.said)))
            best[i] = max(readings, key=lambda reading: reading[:3])
        return best[0] if best[0].known else _Reading(0, 0, 0, text)

    def _find(self, text: str) -> _Reading | None:
        """The pattern that `text` is in whole and that tells most of it, filled in."""
        if text in self._plain:
            return _Reading(len(text), len(text), 0, self._plain[text])
        found = [self._filled(pattern, held, len(text)) for pattern in self._open for held in pattern.holds(text)]
        return max((reading for reading in found if reading is not None), key=lambda reading: reading[:3], default=None)

    def _filled(self, pattern: Pattern, held: dict[Hole, str], length: int) -> _Reading | None:
        inner = {hole: self._read(value) for hole, value in held.items() if hole.kind == "said"}
        # A pattern of signs alone, such as "{place}: {mistakes}", says something only around a sentence that is known.
        if not any(map(str.isalpha, "".join(pattern.fixed))) and not any(reading.known for reading in inner.values()):
            return None
        values = {hole.name: inner[hole].said if hole in inner else value for hole, value in held.items()}
        unknown = sum(len(held[hole]) - reading.known for hole, reading in inner.items())
        weight = pattern.weight + sum(reading.weight for reading in inner.values())
        return _Reading(length - unknown, weight, 0, pattern.target.format(**values))


def _after(said: str, rest: str) -> str:
    """Two sentences one after the other; a full-width sign at the end brings its own distance."""
    gap = "" if not rest or said.endswith(("。", "？", "！", "：", "；")) else " "
    return f"{said}{gap}{rest}"
