"""Verbalizers: from what a model says about a prompt to classes. One file per kind, registered by its decorator.

    verbalizer.py   what every kind is: options, what it reads, what it trains, learns from rows, saves
    words.py        label words scored at the mask: the base of the kinds that have words
    manual.py head.py soft.py ...   the kinds

A kind is a subclass of `verbalizer.Verbalizer` in a module of this package, marked `@register_verbalizer`; modules are found
by looking into the package, so a new kind is a new file and nothing else.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from workbench.errors import VerbalizerError, nearest
from workbench.options import OptionField, mistakes_of, option_fields, tag_value
from workbench.prompts.verbalizers.verbalizer import Verbalizer, VerbalizerOptions
from workbench.prompts.verbalizers.words import LabelWord

__all__ = [
    "LabelWord",
    "Verbalizer",
    "VerbalizerInfo",
    "VerbalizerOptions",
    "build_verbalizer",
    "check_verbalizer",
    "register_verbalizer",
    "verbalizer_class",
    "verbalizer_info",
    "verbalizer_kinds",
]

_V = TypeVar("_V", bound=type[Verbalizer])
_kinds: dict[str, type[Verbalizer]] = {}


@dataclass(frozen=True)
class VerbalizerInfo:
    """Title, description and option fields of one kind, as a form or a help text needs them."""

    name: str
    title: str
    description: str
    fields: tuple[OptionField, ...]


def register_verbalizer(cls: _V) -> _V:
    """Class decorator that makes a kind available under the name in its options; a second class of one kind is refused at import."""
    kind = tag_value(cls.options_type)
    known = _kinds.get(kind)
    if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ValueError(f"verbalizer '{kind}' is registered twice: {known.__module__} and {cls.__module__}")
    _kinds[kind] = cls
    return cls


def verbalizer_kinds() -> list[str]:
    """Names of all kinds, sorted."""
    _scan()
    return sorted(_kinds)


def verbalizer_class(kind: str) -> type[Verbalizer]:
    """Raises VerbalizerError, naming the nearest known kind."""
    _scan()
    if kind not in _kinds:
        raise VerbalizerError(f"There is no verbalizer of kind '{kind}'.", fix=nearest(str(kind), _kinds))
    return _kinds[kind]


def verbalizer_info(kind: str) -> VerbalizerInfo:
    """What a form shows of one kind."""
    cls = verbalizer_class(kind)
    return VerbalizerInfo(kind, cls.title, cls.description, option_fields(cls.options_type))


def check_verbalizer(options: dict[str, Any]) -> VerbalizerOptions:
    """The validated options of a recipe's `prompt.verbalizer`; without a kind they are those of `manual`.

    Raises:
        VerbalizerError: unknown kind, unknown option (with the nearest known one) or a value out of bounds; every mistake at once.
    """
    kind = str(options.get("kind", "manual"))
    options_type = verbalizer_class(kind).options_type
    try:
        return options_type.model_validate({**options, "kind": kind})
    except ValidationError as error:
        sentences = " ".join(mistakes_of(error, options_type))
        raise VerbalizerError(f"Verbalizer '{kind}': {sentences}", fix="Correct these options and try again.") from None


def build_verbalizer(
    options: dict[str, Any] | VerbalizerOptions, labels: tuple[str, ...], tokenizer: Any, *, causal: bool, leading_space: bool
) -> Verbalizer:
    """The verbalizer that a recipe's options describe.

    Args:
        options: the recipe's `prompt.verbalizer`, with its `kind`, as it stands there or validated.
        labels: the classes, in the order of the scores.
        leading_space: a blank stands before the mask, so byte-level tokenizers need " great" there.

    Raises:
        VerbalizerError: an unknown kind, or whatever the kind itself refuses.
    """
    checked = check_verbalizer(options) if isinstance(options, dict) else options
    return verbalizer_class(checked.kind)(checked, labels, tokenizer, causal=causal, leading_space=leading_space)


def _scan() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
