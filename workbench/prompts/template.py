"""Templates (PET patterns, Schick & Schuetze 2021): text with fields, a mask and soft tokens, in a notation anyone can type.

    template   := (literal | field | token)*          exactly one [MASK] (or none, under a classification head), at least one field
    field      := '{' name ('|' modifier)* '}'        name: a column, any characters but { } | [ ]
    modifier   := 'tail' | 'head' | 'middle' | 'fixed'   which end loses tokens when the prompt is too long; default tail
                | 'strip_punct' | 'strip_dots' | 'drop_last'     drop closing punctuation; full stops; the last character
                | 'lower_first' | 'upper_first' | 'lower'        change the first letter; all letters
    token      := '[MASK]' | '[SEP]' | '[SOFT' ('#' name)? ('*' count)? (':' words)? ']'
    literal    := any other character; '[[' ']]' '{{' '}}' stand for one bracket or brace

`{text|head}` cuts the head and keeps the end; `{text|fixed}` is never cut. `[SOFT*5]` is five soft tokens, `[SOFT: it was]` starts
from those words, and every `[SOFT#a]` of a template is the same soft token. A blank that opens a template or follows `[SEP]` counts as
any other: RoBERTa and GPT-2, whose tokens hold the blank in front of a word, read " It was" otherwise than "It was". The notation is
read by this scanner alone: nothing in a template is ever evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from workbench.errors import TemplateError, nearest
from workbench.prompts.filters import FILTERS

Cut = Literal["tail", "head", "middle", "fixed"]
CUTS: tuple[Cut, ...] = ("tail", "head", "middle", "fixed")
MAX_SOFT_TOKENS = 1024
_SOFT = re.compile(r"SOFT(?:#(?P<name>[^\s#*:\[\]]+))?(?:\*(?P<count>[0-9]+))?(?::(?P<words>[^\[\]]*))?", re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """One part of a template; after `Template.fill` the text of a field stands in `text`.

    Args:
        kind: text (template text, or a field when `field` is set), mask, soft, or special (the separator).
        cut: which part of a field is given up when the prompt is too long.
        shortenable: whether tokens of this piece may be removed at all.
        soft_name: pieces of one name share their soft tokens; None is a soft token of its own.
        soft_count: number of soft tokens; with `soft_words` and no count, the words' own number of tokens.
        filters: what is done to a field's text, in order.
        position: index in the template's source.
    """

    kind: Literal["text", "mask", "soft", "special"]
    text: str = ""
    field: str | None = None
    cut: Cut = "tail"
    shortenable: bool = False
    soft_name: str | None = None
    soft_count: int = 1
    soft_words: str | None = None
    filters: tuple[str, ...] = ()
    position: int = 0


@dataclass(frozen=True)
class Template:
    """A parsed template: its source, its pieces in order, and the fields it asks for (each once, in order)."""

    source: str
    pieces: tuple[Piece, ...]
    fields: tuple[str, ...]

    @property
    def leading_space(self) -> bool:
        """Whether a blank stands before the mask, so that a label word there is " great" rather than "great"."""
        index = next((i for i, piece in enumerate(self.pieces) if piece.kind == "mask"), None)
        if index is None:
            return False
        before = self.pieces[index - 1] if index else None
        return before is not None and before.kind == "text" and before.field is None and before.text.endswith(" ")

    def fill(self, fields: dict[str, str]) -> list[Piece]:
        """The pieces with every field's text in place, filtered and without surrounding white space.

        Raises:
            TemplateError: when `fields` lacks one that the template asks for.
        """
        filled = []
        for piece in self.pieces:
            if piece.field is None:
                filled.append(piece)
                continue
            if piece.field not in fields:
                raise TemplateError(
                    f"The template asks for {{{piece.field}}}, which the data does not have.",
                    fix=nearest(piece.field, fields),
                    position=piece.position,
                )
            text = fields[piece.field].strip()
            for name in piece.filters:
                text = FILTERS[name](text)
            filled.append(replace(piece, text=text))
        return filled


def literal(text: str) -> str:
    """`text` as a template writes it: brackets and braces doubled."""
    return re.sub(r"[\[\]{}]", lambda found: found[0] * 2, text)


def with_fields(source: str, names: dict[str, str]) -> str:
    """The template's source with fields renamed, old name -> new name; everything else as it was written.

    Raises:
        TemplateError: as `parse_template`.
    """
    for piece in reversed(parse_template(source, needs_mask=False).pieces):
        if piece.field in names:
            place = source.index(piece.field, piece.position)
            source = source[:place] + names[piece.field] + source[place + len(piece.field) :]
    return source


def ending_at_mask(source: str) -> str:
    """A template as a causal model can be asked by it: up to its [MASK] where nothing but words of its own stands behind; else as it is."""
    pieces = parse_template(source, needs_mask=False).pieces
    mask = next((piece for piece in pieces if piece.kind == "mask"), None)
    if mask is None or any(piece.kind != "text" or piece.field is not None for piece in pieces[pieces.index(mask) + 1 :]):
        return source
    return source[: source.index("]", mask.position) + 1]


def parse_template(source: str, *, needs_mask: bool = True) -> Template:
    """Reads the notation of the module docstring.

    Args:
        needs_mask: refuse a template without [MASK]; a classification head can do without.

    Raises:
        TemplateError: with the position of the first mistake and the nearest known spelling.
    """
    pieces: list[Piece] = []
    literal: list[str] = []
    literal_start = position = 0

    def close_literal() -> None:
        if literal:
            pieces.append(Piece("text", text="".join(literal), cut="fixed", position=literal_start))
            literal.clear()

    while position < len(source):
        character = source[position]
        if character not in "[]{}":
            literal_start = literal_start if literal else position
            literal.append(character)
            position += 1
        elif source[position + 1 : position + 2] == character:
            literal_start = literal_start if literal else position
            literal.append(character)
            position += 2
        elif character in "]}":
            raise TemplateError(
                f"Character {position + 1} is a '{character}' that closes nothing.",
                fix=f"Remove it, or write '{character * 2}' for the character itself.",
                position=position,
            )
        else:
            close_literal()
            end = _closing(source, position)
            content = source[position + 1 : end]
            pieces.append(_field(content, position) if character == "{" else _token(content, position))
            position = end + 1
    close_literal()
    _check(pieces, needs_mask)
    return Template(source, tuple(pieces), tuple(dict.fromkeys(p.field for p in pieces if p.field is not None)))


def _closing(source: str, start: int) -> int:
    opening = source[start]
    closing = "]" if opening == "[" else "}"
    for index in range(start + 1, len(source)):
        if source[index] == closing:
            return index
        if source[index] in "[]{}":
            break
    raise TemplateError(
        f"The '{opening}' at character {start + 1} is not closed.",
        fix=f"Add '{closing}', or write '{opening * 2}' for the character itself.",
        position=start,
    )


def _field(content: str, position: int) -> Piece:
    name, *modifiers = (part.strip() for part in content.split("|"))
    if not name:
        raise TemplateError(
            f"The field at character {position + 1} has no name.", fix="Write the name of a column, such as {text}.", position=position
        )
    cuts: list[Cut] = [cut for cut in CUTS if cut in modifiers]
    for modifier, place in _modifiers(content, position):
        if modifier not in CUTS and modifier not in FILTERS:
            raise TemplateError(
                f"Unknown modifier '{modifier}' in {{{content}}} at character {place + 1}.",
                fix=nearest(modifier.lower(), (*CUTS, *FILTERS)),
                position=place,
            )
    if len(cuts) > 1:
        raise TemplateError(
            f"{{{content}}} at character {position + 1} says both '{cuts[0]}' and '{cuts[1]}'.",
            fix="Keep one of tail, head, middle and fixed.",
            position=position,
        )
    cut: Cut = cuts[0] if cuts else "tail"
    filters = tuple(modifier for modifier in modifiers if modifier in FILTERS)
    return Piece("text", field=name, cut=cut, shortenable=cut != "fixed", filters=filters, position=position)


def _modifiers(content: str, position: int) -> Iterator[tuple[str, int]]:
    """Each modifier of a field with its index in the template's source."""
    start = position + 1
    for number, part in enumerate(content.split("|")):
        if number:
            yield part.strip(), start + len(part) - len(part.lstrip())
        start += len(part) + 1


def _token(content: str, position: int) -> Piece:
    name = content.strip()
    if name == "MASK":
        return Piece("mask", cut="fixed", position=position)
    if name == "SEP":
        return Piece("special", cut="fixed", position=position)
    match = _SOFT.fullmatch(name)
    if match is None:
        known = nearest(name.upper(), ("MASK", "SEP", "SOFT", "SOFT*5", "SOFT#name", "SOFT: words"))
        raise TemplateError(
            f"Unknown token '[{content}]' at character {position + 1}.",
            fix=f"{known} Write '[[' and ']]' for the brackets themselves.",
            position=position,
        )
    words = match["words"].strip() if match["words"] is not None else None
    # At most four digits are converted: int() refuses very long numbers with an error of its own.
    count = 0 if match["count"] and len(match["count"]) > 4 else int(match["count"] or 1)
    if not 1 <= count <= MAX_SOFT_TOKENS or words == "":
        raise TemplateError(
            f"'[{content}]' at character {position + 1} asks for no soft tokens or for too many.",
            fix=f"Give a number from 1 to {MAX_SOFT_TOKENS}, such as [SOFT*5], or words, such as [SOFT: it was].",
            position=position,
        )
    return Piece("soft", cut="fixed", soft_name=match["name"], soft_count=count, soft_words=words, position=position)


def _check(pieces: list[Piece], needs_mask: bool) -> None:
    masks = [piece for piece in pieces if piece.kind == "mask"]
    if not masks and needs_mask:
        raise TemplateError("The template has no [MASK].", fix="Write [MASK] where the model should fill in a label word.")
    if len(masks) > 1:
        raise TemplateError(
            f"The template has a second [MASK] at character {masks[1].position + 1}.",
            fix="Keep one: a label word of several tokens gets as many masks as it needs by itself.",
            position=masks[1].position,
        )
    if not any(piece.field is not None for piece in pieces):
        raise TemplateError("The template uses no column of the data.", fix="Add a field, such as {text}.")
