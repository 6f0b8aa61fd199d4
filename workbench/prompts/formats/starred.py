"""LM-BFF's starred templates and mappings (Gao et al. 2021): `*cls**sent_0*_It_was*mask*.*sep+*` and `{'0':'terrible','1':'great'}`.

    *cls*, the last *sep*      left out: every prompt has them      _             a blank
    *sep*, *sep+*              [SEP]                                *mask*        [MASK]
    *sent_0*, *+sent_0*        {text_a}, with a blank in front      *sent_1*      {text_b}
    *sent-_0*                  {text_a|drop_last}                   *sentl_0*     {text_a|lower_first}
    *sentl-_0*                 {text_a|drop_last|lower_first}       *sentu_0*     {text_a|upper_first}

Lines may be a template, a mapping, or both with a tab between. LM-BFF scores every label word with a blank in front, so the mask gets
one here wherever it stands; any other blank is kept, at the start and behind [SEP] too.
"""

from __future__ import annotations

import json
import re
from typing import Any

from workbench.errors import TemplateError
from workbench.prompts.formats import register_notation
from workbench.prompts.formats.notation import TEXTS, Imported, Notation, Words, constants, plain_words
from workbench.prompts.template import Piece, Template, literal, parse_template

_SENTENCE = re.compile(r"(?P<blank>\+?)sent(?P<form>[lu]?-?)_(?P<number>\d)")
_FILTERS = {"": (), "-": ("drop_last",), "l": ("lower_first",), "l-": ("drop_last", "lower_first"), "u": ("upper_first",)}
_FORMS = {filters: form for form, filters in _FILTERS.items()}


@register_notation("lm-bff")
class StarredTemplate(Notation):
    """LM-BFF's notation: `*cls**sent_0*_It_was*mask*.*sep+*`, an underscore for each blank, and its mapping of labels to words."""

    title = "LM-BFF"
    turn = 2

    def recognizes(self, text: str) -> bool:
        return "*mask*" in text or _mapping(text.strip()) is not None

    def read(self, text: str, truncation: str = "tail") -> Imported:
        templates: list[str] = []
        verbalizers: list[Words] = []
        notes: list[str] = []
        for part in re.split(r"[\n\t]", text):
            part = part.strip()
            mapping = _mapping(part)
            if mapping is not None:
                verbalizers.append(plain_words(mapping))
            elif "*" in part:
                templates.append(_template(part, notes))
        for source in templates:
            parse_template(source)
        return Imported("lm-bff", tuple(templates), tuple(verbalizers), tuple(dict.fromkeys(notes)))

    def write(self, template: Template) -> str:
        order = {name: i for i, name in enumerate(template.fields)}
        numbers = {name: TEXTS.index(name) if name in TEXTS else order[name] for name in template.fields}
        if len(set(numbers.values())) < len(numbers):
            numbers = order
        before: Piece | None = None
        written = "*cls*"
        for piece in template.pieces:
            written += _written(piece, before, numbers)
            before = piece
        return f"{written}*sep+*"

    def write_words(self, words: dict[str, Any]) -> str:
        plain = plain_words(words)
        first = {label: list(value) for label, value in plain.items()}
        if any(len(value) != 1 for value in first.values()):
            raise TemplateError("LM-BFF has one word per label.", fix="Keep one word for each label.")
        return json.dumps({label: value[0] for label, value in first.items()}, ensure_ascii=False)


def _mapping(text: str) -> dict[Any, str] | None:
    """A line such as {'0':'terrible','1':'great'}, or None."""
    found = constants(text) if text.startswith("{") else None
    return found if isinstance(found, dict) and found and all(isinstance(word, str) for word in found.values()) else None


def _template(line: str, notes: list[str]) -> str:
    source = ""
    parts = [part for part in line.split("*") if part]
    while parts and parts[0] == "cls":
        parts.pop(0)
    while parts and parts[-1] in ("sep", "sep+"):
        parts.pop()
    for part in parts:
        sentence = _SENTENCE.fullmatch(part)
        if part == "mask":
            source += "[MASK]" if source.endswith(" ") else " [MASK]"
        elif part in ("sep", "sep+"):
            if part == "sep+":
                notes.append("*sep+* began a second segment for BERT; here both parts are one segment.")
            source += "[SEP]"
        elif sentence is not None and sentence["form"] in _FILTERS:
            filters = "".join(f"|{name}" for name in _FILTERS[sentence["form"]])
            source += f"{' ' if sentence['blank'] else ''}{{{TEXTS[int(sentence['number'])]}{filters}}}"
        elif re.match(r"label|\+?sent", part):
            raise TemplateError(
                f"*{part}* is not known here: demonstrations of other examples are not built.", fix="Remove it from the template."
            )
        else:
            source += literal(part.replace("_", " "))
    return source


def _written(piece: Piece, before: Piece | None, numbers: dict[str, int]) -> str:
    if piece.kind == "mask":
        return "*mask*"
    if piece.kind == "special":
        return "*sep+*"
    if piece.kind == "soft":
        raise TemplateError("LM-BFF has no soft tokens.", fix="Replace [SOFT] by words.", position=piece.position)
    if piece.field is None:
        if set(piece.text) & set("*_"):
            raise TemplateError("LM-BFF cannot write a star or an underscore inside a text.", fix="Remove it.", position=piece.position)
        # A blank belongs to the word behind it: a field has a sign for it, the mask and the end have none.
        return piece.text.rstrip(" ").replace(" ", "_")
    if piece.filters not in _FORMS:
        raise TemplateError(
            f"LM-BFF has no sign for {'|'.join(piece.filters)}.", fix="Use drop_last, lower_first or upper_first.", position=piece.position
        )
    spaced = before is not None and before.kind == "text" and before.field is None and before.text.endswith(" ")
    return f"*{'+' if spaced else ''}sent{_FORMS[piece.filters]}_{numbers[piece.field]}*"
