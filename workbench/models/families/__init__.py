"""The registry of model families: what each architecture calls its parts.

A family is one file with one class decorated by `@register_family`; every module of this folder is imported on the first look-up.
An architecture that nobody registered is served by the generic family, by transformers' conventions (`base_model_prefix`,
`get_input_embeddings`, `get_output_embeddings`), at the price of computing the whole vocabulary at every position.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from torch import nn

from workbench.models.families.family import Family

_FAMILIES: dict[str, Family] = {}


def register_family(cls: type[Family]) -> type[Family]:
    """Registers one instance of `cls` under each of its model types.

    Raises:
        ValueError: when a model type is taken; a mistake of the programmer, met at import.
    """
    family = cls()
    for model_type in family.model_types:
        if model_type in _FAMILIES:
            raise ValueError(f"model type '{model_type}' belongs to both '{_FAMILIES[model_type].name}' and '{family.name}'")
        _FAMILIES[model_type] = family
    return cls


def _scan() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")


def families() -> list[Family]:
    """All registered families, by name."""
    _scan()
    return sorted({id(family): family for family in _FAMILIES.values()}.values(), key=lambda family: family.name)


def known_family(model_type: str, kind: str) -> Family | None:
    """The registered family of a model type ("bert", "qwen2" ...), or None; a BERT that is asked to be causal is not known."""
    _scan()
    family = _FAMILIES.get(model_type)
    return family if family is not None and family.kind == kind else None


def family_of(model: nn.Module | Any, kind: str) -> Family:
    """The family of a transformers model: the registered one, or the generic one made from the model's own conventions.

    Raises:
        ModelError: when the model follows no convention that could be used.
    """
    from workbench.models.families.generic import generic_family

    return known_family(model.config.model_type, kind) or generic_family(model, kind)


__all__ = ["Family", "families", "family_of", "known_family", "register_family"]
