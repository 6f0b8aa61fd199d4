"""Words of one's own: the vocabulary of a network that starts from nothing, taken from its training texts alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.data.profile import mostly_ideographs

PADDING, UNKNOWN = 0, 1
WORD = re.compile(r"\w+(?:['\u2019]\w+)?|[^\w\s]")
CHARACTER = re.compile(r"[a-z]+|\d+|\S")
MOST_WORDS = 30_000
ROWS_FOR_RARE_WORDS_TO_GO = 1_000


@dataclass(frozen=True)
class Vocabulary:
    """Words by number; 0 is padding, 1 a word that training never saw.

    Args:
        words: number 2 and up, the most frequent first.
        by_character: texts are cut into characters (Chinese, Japanese, Korean) instead of words.
        longest: words of a text that are read; what follows is cut.
    """

    words: tuple[str, ...]
    by_character: bool
    longest: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {word: place for place, word in enumerate(self.words, start=2)})

    def __len__(self) -> int:
        return len(self.words) + 2

    def units(self, text: str) -> list[tuple[str, int, int]]:
        """The words of a text as they are looked up, each with its place, cut at `longest`."""
        pattern = CHARACTER if self.by_character else WORD
        lowered = lowered_in_place(text)
        found = [(match.group(), *match.span()) for match in pattern.finditer(lowered)]
        return found[: self.longest]

    def encode(self, text: str) -> list[int]:
        """Numbers of a text's words; a text without any is one unknown word."""
        index: dict[str, int] = self._index  # type: ignore[attr-defined]
        return [index.get(word, UNKNOWN) for word, _, _ in self.units(text)] or [UNKNOWN]

    @classmethod
    def of(cls, texts: Sequence[str], longest: int = 200) -> Vocabulary:
        """The words of the training texts; with many of them, those that stand only once are left to the unknown word."""
        empty = cls((), mostly_ideographs(texts), longest)
        counts = Counter(word for text in texts for word, _, _ in empty.units(text))
        least = 2 if len(texts) >= ROWS_FOR_RARE_WORDS_TO_GO else 1
        kept = sorted((word for word, count in counts.items() if count >= least), key=lambda word: (-counts[word], word))
        return cls(tuple(kept[:MOST_WORDS]), empty.by_character, longest)


def lowered_in_place(text: str) -> str:
    """Lower case, character by character, so that places stay what they were ('\u0130' alone would become two characters)."""
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)
