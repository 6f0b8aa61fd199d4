"""Verbalizers: from the words a model would put at the mask to classes. One file per kind, registered by its decorator.

A kind is a subclass of `verbalizer.Verbalizer` in a module of this package, marked `@register_verbalizer("name")`; modules are found
by looking into the package, so a new kind is a new file and nothing else.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, TypeVar

from workbench.errors import VerbalizerError, nearest
from workbench.prompts.verbalizers.verbalizer import LabelWord, Verbalizer

__all__ = ["LabelWord", "Verbalizer", "build_verbalizer", "register_verbalizer", "verbalizer_kinds"]

_V = TypeVar("_V", bound=type[Verbalizer])
_kinds: dict[str, type[Verbalizer]] = {}


def register_verbalizer(kind: str) -> Callable[[_V], _V]:
    """Class decorator that makes a verbalizer available under `kind`; a second class of one kind is refused at import."""

    def register(cls: _V) -> _V:
        known = _kinds.get(kind)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"verbalizer '{kind}' is registered twice: {known.__module__} and {cls.__module__}")
        _kinds[kind] = cls
        return cls

    return register


def verbalizer_kinds() -> list[str]:
    """Names of all kinds, sorted."""
    _scan()
    return sorted(_kinds)


def build_verbalizer(options: dict[str, Any], labels: tuple[str, ...], tokenizer: Any, *, causal: bool, leading_space: bool) -> Verbalizer:
    """The verbalizer that a recipe's options describe.

    Args:
        options: the recipe's `prompt.verbalizer`, with its `kind`.
        labels: the classes, in the order of the scores.
        leading_space: a blank stands before the mask, so byte-level tokenizers need " great" there.

    Raises:
        VerbalizerError: an unknown kind, or whatever the kind itself refuses.
    """
    _scan()
    kind = options.get("kind", "manual")
    if kind not in _kinds:
        raise VerbalizerError(f"There is no verbalizer of kind '{kind}'.", fix=nearest(str(kind), _kinds))
    rest = {key: value for key, value in options.items() if key != "kind"}
    return _kinds[kind](rest, labels, tokenizer, causal=causal, leading_space=leading_space)


def _scan() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
