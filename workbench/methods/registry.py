"""Where tuning methods register themselves: one decorator, one file per method.

    @register
    class Bias(Attached):
        options_type = BiasOptions      # a pydantic model whose field `name` is Literal["bias"]
        title, description, rates = "Bias only (BitFit)", "...", (2e-3, 1e-3, 5e-4)

Adding a method is adding such a file: `workbench.methods` scans its folder, and forms, CLI help and the test matrix read this registry.
"""

from __future__ import annotations

import typing
from dataclasses import asdict, dataclass
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from workbench.errors import MethodError, nearest

if typing.TYPE_CHECKING:
    from workbench.methods.attached import Attached

_METHODS: dict[str, type[Attached]] = {}


class Options(BaseModel):
    """What a person may set for a method. The first field of a subclass is `name: Literal[...]`."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


@dataclass(frozen=True)
class OptionField:
    """One option as a form or a help text needs it; `kind` is int, float, bool, str, list or choice."""

    name: str
    kind: str
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class MethodInfo:
    name: str
    title: str
    description: str
    fields: tuple[OptionField, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def register(method: type[Attached]) -> type[Attached]:
    """Class decorator. A second method of the same name is a programming error and stops the import."""
    (name,) = typing.get_args(method.options_type.model_fields["name"].annotation)
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
        sentences = [_sentence(mistake, options_type) for mistake in error.errors()]
        raise MethodError(f"Method '{options['name']}': {' '.join(sentences)}", fix="Correct these options and try again.") from None


def method_info(name: str) -> MethodInfo:
    """Title, description and option fields of one method."""
    method = method_class(name)
    fields = tuple(_option(key, field) for key, field in method.options_type.model_fields.items() if key != "name")
    return MethodInfo(name, method.title, method.description, fields)


def _option(name: str, field: FieldInfo) -> OptionField:
    choices = [c for c in (field.annotation, *typing.get_args(field.annotation)) if c is not type(None)]
    literal = next((c for c in choices if typing.get_origin(c) is typing.Literal), None)
    if literal is not None:
        kind, values = "choice", tuple(str(v) for v in typing.get_args(literal))
    else:
        plain = next((c for c in choices if isinstance(c, type) or typing.get_origin(c) is not None), str)
        plain = next((c for c in choices if c in (bool, int, float, str)), plain)
        kind, values = ("list" if typing.get_origin(plain) in (list, tuple) else getattr(plain, "__name__", "str")), ()
        if any(typing.get_origin(c) in (list, tuple) for c in choices):
            kind = "list"
    minimum = next((m.ge if isinstance(m, Ge) else m.gt for m in field.metadata if isinstance(m, (Ge, Gt))), None)
    maximum = next((m.le if isinstance(m, Le) else m.lt for m in field.metadata if isinstance(m, (Le, Lt))), None)
    return OptionField(name, kind, field.get_default(call_default_factory=True), field.description or "", minimum, maximum, values)


def _sentence(mistake: Any, options_type: type[BaseModel]) -> str:
    place = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        known = [name for name in options_type.model_fields if name != "name"]
        return f"Unknown option '{place}'. {nearest(place, known)}"
    return f"'{place}' is {mistake['input']!r}: {mistake['msg'][0].lower()}{mistake['msg'][1:]}."
