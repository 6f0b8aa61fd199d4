"""Templates and label words in other tools' notations, read into ours and written back. One file per notation.

    notation.py         what a notation is, and what reading one gives
    mixed.py            OpenPrompt's templates: {"placeholder": "text_a"} It was {"mask"}.
    word_files.py       OpenPrompt's verbalizer files: txt, json, jsonl
    starred.py          LM-BFF: *cls**sent_0*_It_was*mask*.*sep+* and {'0':'terrible','1':'great'}
    pet.py              PET: pattern ids such as agnews 0, and its verbalizer files

A notation is a subclass of `notation.Notation` in a module of this package, marked `@register_notation("name")`; modules are found by
looking into the package. Nothing that is read is ever evaluated: Python-like text is parsed into a syntax tree of which only
constants and a fixed list of functions are understood.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from typing import TypeVar

from workbench.errors import TemplateError, nearest
from workbench.prompts.formats.notation import Imported, Notation
from workbench.prompts.template import parse_template

__all__ = ["Imported", "Notation", "notation", "notation_names", "read_prompt", "register_notation"]

OWN = "workbench"
_N = TypeVar("_N", bound=type[Notation])
_notations: dict[str, Notation] = {}


def register_notation(name: str) -> Callable[[_N], _N]:
    """Class decorator that makes a notation available under `name`; a second one of that name is refused at import."""

    def register(cls: _N) -> _N:
        known = _notations.get(name)
        if known is not None and type(known).__qualname__ != cls.__qualname__:
            raise ValueError(f"notation '{name}' is registered twice")
        _notations[name] = cls()
        return cls

    return register


def notation_names() -> list[str]:
    """Names of all notations, in the order in which a text is tried: the most telling first."""
    _scan()
    return sorted(_notations, key=lambda name: (_notations[name].turn, name))


def notation(name: str) -> Notation:
    """The notation of that name.

    Raises:
        TemplateError: there is none; the fix names the nearest.
    """
    _scan()
    if name not in _notations:
        raise TemplateError(f"There is no notation '{name}'.", fix=nearest(name, [*_notations, OWN]))
    return _notations[name]


def read_prompt(
    text: str, *, name: str | None = None, truncation: str = "tail", fields: Sequence[str] = (), labels: Sequence[str] = ()
) -> Imported:
    """Templates and label words from a text in any notation, ours included.

    Args:
        name: the notation; None looks at the text.
        truncation: tail, head or balanced, for notations that keep it outside the template.
        fields: the data's fields; unknown fields of the templates are renamed to these (`Imported.with_fields`).
        labels: the data's labels; numbered classes are given these in order.

    Raises:
        TemplateError: the notation is not known or not recognised, or the text is wrong in it.
    """
    text = text.strip("\n\ufeff")
    if name is None:
        name = (
            OWN if "[MASK]" in text and "*mask*" not in text else next((n for n in notation_names() if notation(n).recognizes(text)), OWN)
        )
    if name == OWN:
        sources = tuple(line.rstrip() for line in text.splitlines() if line.strip())
        for source in sources:
            parse_template(source)
        found = Imported(OWN, sources)
    else:
        found = notation(name).read(text, truncation)
    if not found.templates and not found.verbalizers:
        raise TemplateError(
            "There is no template and no label word in this text.", fix="Paste a template, or the words of a verbalizer file."
        )
    return found.with_fields(fields).with_labels(labels)


def _scan() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
