"""Where tuning methods register themselves: one decorator, one file per method.

    @register
    class Bias(Attached):
        options_type = BiasOptions      # a pydantic model whose field `name` is Literal["bias"]
        title, description, rates = "Bias only (BitFit)", "...", (2e-3, 1e-3, 5e-4)

Adding a method is adding such a file: `workbench.methods` scans its folder, and forms, CLI help and the test matrix read this registry.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from workbench.errors import MethodError, nearest
from workbench.options import OptionField, Options, mistakes_of, option_fields, tag_value
from workbench.prompts.soft import refuse_soft
from workbench.prompts.template import parse_template

if typing.TYPE_CHECKING:
    from workbench.methods.attached import Attached

__all__ = [
    "MethodInfo",
    "OptionField",
    "Options",
    "check_method",
    "check_soft_tokens",
    "method_class",
    "method_info",
    "method_names",
    "register",
]

_METHODS: dict[str, type[Attached]] = {}


@dataclass(frozen=True)
class MethodInfo:
    """What forms, command line help and the page's table are made of: one method with its option fields."""

    name: str
    title: str
    description: str
    fields: tuple[OptionField, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values, for the page and for programs."""
        return asdict(self)


def register(method: type[Attached]) -> type[Attached]:
    """Class decorator. A second method of the same name is a programming error and stops the import."""
    name = tag_value(method.options_type)
    if name in _METHODS and _METHODS[name].__module__ != method.__module__:
        raise TypeError(f"Two methods are called '{name}': {_METHODS[name].__module__} and {method.__module__}.")
    _METHODS[name] = method
    return method


def method_names() -> list[str]:
    """Registered names, sorted."""
    return sorted(_METHODS)


def method_class(name: str) -> type[Attached]:
    """Raises MethodError, naming the nearest known method."""
    if name not in _METHODS:
        raise MethodError(f"There is no tuning method '{name}'.", fix=nearest(str(name), _METHODS))
    return _METHODS[name]


def check_method(options: dict[str, Any]) -> Any:
    """The validated options of a recipe's `method` part.

    Raises:
        MethodError: unknown method, unknown option (with the nearest known one) or a value out of bounds; every mistake at once.
    """
    if not isinstance(options, dict) or "name" not in options:
        raise MethodError("The recipe names no tuning method.", fix=f"Set method.name to one of: {', '.join(method_names())}.")
    options_type = method_class(str(options["name"])).options_type
    try:
        return options_type.model_validate(options)
    except ValidationError as error:
        sentences = " ".join(mistakes_of(error, options_type))
        raise MethodError(f"Method '{options['name']}': {sentences}", fix="Correct these options and try again.") from None


def check_soft_tokens(options: dict[str, Any], templates: Sequence[str]) -> None:
    """Refuses templates with soft tokens under a method that trains none.

    Args:
        options: a recipe's `method` part, checked.

    Raises:
        TemplateError: as training would, once the model is loaded.
    """
    if not method_class(str(options["name"])).fills_soft:
        for source in templates:
            refuse_soft(parse_template(source, needs_mask=False))


def method_info(name: str) -> MethodInfo:
    """Title, description and option fields of one method."""
    method = method_class(name)
    return MethodInfo(name, method.title, method.description, option_fields(method.options_type))
