"""Soft tokens of a run's templates: which rows of one trained table each `[SOFT ...]` reads.

Every soft token is an id behind the vocabulary, `start + offset`, so it stands in a prompt like any other token and nothing that holds
positions has to know of it. All templates of a run share one table: a token of its own never shares a row with another template, and
`[SOFT#a]` is the same row wherever it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.errors import TemplateError
from workbench.prompts.template import Piece, Template, parse_template
from workbench.prompts.tokenization import plain_tokenizer

FRONT = -1


@dataclass(frozen=True)
class SoftToken:
    """A run of soft tokens: ids start + offset and the `count - 1` after it.

    Args:
        word_ids: the tokens it is initialised from, or None.
    """

    name: str | None
    offset: int
    count: int
    word_ids: tuple[int, ...] | None


class SoftSlots:
    """The rows of a run's soft-token table, handed out to its templates once and fixed from then on.

    Args:
        tokenizer: of the model, for the words that soft tokens start from.
        start: id of the first soft token: the number of rows of the model's embedding table.
        length: soft tokens put in front of a template that has none.
        templates: sources of the run's templates; without any there is one run of `length` tokens.

    Raises:
        TemplateError: a template that does not parse.
    """

    def __init__(self, tokenizer: Any, *, start: int, length: int, templates: Sequence[str] = ()) -> None:
        self.start, self.length, self.count = start, length, 0
        self.runs: list[SoftToken] = []
        self._plain = plain_tokenizer(tokenizer)
        self._by_name: dict[str, SoftToken] = {}
        self._by_template: dict[str, dict[int, SoftToken]] = {}
        for source in dict.fromkeys(templates):
            pieces = self.prepare(parse_template(source, needs_mask=False)).pieces
            soft = [(index, piece) for index, piece in enumerate(pieces) if piece.kind == "soft"]
            self._by_template[source] = {piece.position: self._take(piece, self._blank(pieces, index)) for index, piece in soft}
        if not templates:
            self._take(Piece("soft", soft_count=length))

    def prepare(self, template: Template) -> Template:
        """The template itself, or with `length` soft tokens in front when it has none of its own."""
        if any(piece.kind == "soft" for piece in template.pieces):
            return template
        return replace(template, pieces=(Piece("soft", soft_count=self.length, position=FRONT), *template.pieces))

    def tokens(self, template: Template) -> dict[int, SoftToken]:
        """Soft tokens of a prepared template by the position of their piece.

        Raises:
            TemplateError: a template that these slots were not made for.
        """
        if template.source not in self._by_template:
            raise TemplateError(
                "The soft tokens were made for other templates than this one.", fix="Tune again after changing a template."
            )
        return self._by_template[template.source]

    @property
    def all_in_front(self) -> bool:
        """Whether the table is one run of tokens that stands before everything else, the start token included."""
        if self._plain.prefix or len(self.runs) != 1:
            return False
        firsts = [min(by_position) for by_position in self._by_template.values()]
        return all(len(by_position) == 1 for by_position in self._by_template.values()) and all(first <= 0 for first in firsts)

    def _blank(self, pieces: Sequence[Piece], index: int) -> str:
        """The blank in front of a soft token's words: as the template has it, and as the tokenizer wants it where a prompt opens."""
        before = pieces[index - 1] if index else None
        if before is None or before.kind == "special":
            return " " if self._plain.blanks == "added" else ""
        return " " if before.field is None and before.text.endswith(" ") else ""

    def _take(self, piece: Piece, blank: str = "") -> SoftToken:
        if piece.soft_name in self._by_name:
            return self._by_name[piece.soft_name]
        words = tuple(self._plain.encode(blank + piece.soft_words)) if piece.soft_words else None
        count = len(words) if words and piece.soft_count == 1 else piece.soft_count
        token = SoftToken(piece.soft_name, self.count, count, words)
        self.count += count
        self.runs.append(token)
        if piece.soft_name:
            self._by_name[piece.soft_name] = token
        return token


def refuse_soft(template: Template) -> None:
    """Refuses soft tokens that no method fills.

    Raises:
        TemplateError: the template has some.
    """
    first = next((piece for piece in template.pieces if piece.kind == "soft"), None)
    if first is not None:
        raise TemplateError(
            "The template has [SOFT] tokens, which only a method that trains them can fill.",
            fix="Replace [SOFT] by words, or choose a soft prompt method.",
            position=first.position,
        )


def without_soft(source: str) -> str:
    """A template's source as an untuned model can read it: words that soft tokens start from stay, other soft tokens go."""
    template = parse_template(source, needs_mask=False)
    for piece in reversed([piece for piece in template.pieces if piece.kind == "soft"]):
        before, behind = source[: piece.position], source[source.index("]", piece.position) + 1 :]
        if piece.soft_words is None and behind.startswith(" "):
            before = before.rstrip(" ")
        source = before + (piece.soft_words or "") + behind
    return source
