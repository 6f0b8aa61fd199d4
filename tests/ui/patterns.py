"""Sentences with holes as a test reads them from the source: their parts, how they are written, and what counts as words for a person."""

from __future__ import annotations

import itertools
import re
import string
from dataclasses import dataclass

MOST_VARIANTS = 4
SENTENCE_END = re.compile(r"(?<=[.?!])\s+(?=[^\s\"')])")
# Words in a hole are for a person; a name, an option or a piece of code in it stays as it is.
PHRASE = re.compile(r"[a-z]{3}|^[A-Z]{3,}$")
CODE = re.compile(r"[\[\]()<>=]|\.\w|^\S*[\d_]\S*$")


@dataclass(frozen=True)
class Hole:
    """A hole of a pattern; `spoken` when the engine fills it with English words that have to be known too."""

    name: str
    spoken: bool = False


Parts = tuple["str | Hole", ...]


def canonical(pattern: str) -> str:
    """A pattern without the names of its holes, holes that touch counted as one: equal for the source and for the catalogue."""
    parts = [(literal, name is not None) for literal, name, _, _ in string.Formatter().parse(pattern)]
    return re.sub("\0+", "\0", "".join(literal + ("\0" if hole else "") for literal, hole in parts))


def written(parts: Parts) -> tuple[str, frozenset[str]]:
    """Parts as a pattern with unique names, and the names of its spoken holes."""
    text, names, spoken = "", {}, set()
    for part in parts:
        if isinstance(part, str):
            text += part.replace("{", "{{").replace("}", "}}")
            continue
        names[part.name] = names.get(part.name, 0) + 1
        name = part.name if names[part.name] == 1 else f"{part.name}_{names[part.name]}"
        text += f"{{{name}}}"
        if part.spoken:
            spoken.add(name)
    return text, frozenset(spoken)


def as_holes(parts: Parts) -> Parts:
    """A constant that `str.format` fills in: its {names} are holes."""
    found: list[str | Hole] = []
    for part in parts:
        pieces = re.split(r"\{(\w+)\}", part) if isinstance(part, str) else [part]
        found += [Hole(str(piece)) if i % 2 else piece for i, piece in enumerate(pieces)]
    return tuple(found)


def joined(groups: list[list[Parts]]) -> list[Parts]:
    """Every way to choose one variant of each group, put together; none when they are too many to write out."""
    total = 1
    for group in groups:
        total *= len(group)
    if total > 2 * MOST_VARIANTS:
        return []
    return [tuple(itertools.chain.from_iterable(chosen)) for chosen in itertools.product(*groups)]


def sentences_of(text: str) -> list[str]:
    """A text cut where one sentence ends and the next begins."""
    return [piece.strip() for piece in SENTENCE_END.split(text)]


def is_phrase(pattern: str) -> bool:
    """Whether words for a person stand in it, and no name, option or piece of code."""
    bare = re.sub(r"\{\w+\}", "", pattern)
    return bool(PHRASE.search(bare)) and not CODE.search(bare)


def has_letters(pattern: str) -> bool:
    """Whether anything but holes and signs stands in it."""
    return bool(re.search(r"[A-Za-z]", re.sub(r"\{\w+\}", "", pattern)))


def is_sentence(text: str) -> bool:
    """Whether a text outside of errors reads like a sentence, and not like a function of the page's script."""
    words = re.sub(r"\{\w*\}", "x", text)
    opens = re.match(r"[A-Zx'`<*\[{(]", words) and not re.match(r"[A-Z]{4,} ", words)
    whole = " " in words and "\n" not in text and "=>" not in text and words.endswith((".", "?", "!"))
    return bool(opens) and whole and bool(re.search(r"[a-z]{2}", words))


def has_words(parts: Parts) -> bool:
    """Whether letters stand in it outside of holes."""
    return any(isinstance(part, str) and re.search(r"[A-Za-z]", part) for part in parts)
