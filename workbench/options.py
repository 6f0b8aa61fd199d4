"""Options that a person sets by name, as pydantic models that say everything a form, a help text and an error message need.

Tuning methods and verbalizers declare theirs in one class each; its fields carry bounds, choices and one sentence of help.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from workbench.errors import nearest

TYPE = re.compile(r"float|int|str|bool|constrained-\w+|(literal|list|dict)\[.*")


class Options(BaseModel):
    """What a person may set. The first field of a subclass is a `Literal[...]` that names what the options belong to."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


@dataclass(frozen=True)
class OptionField:
    """One option as a form or a help text needs it; `kind` is int, float, bool, str, list, dict or choice."""

    name: str
    kind: str
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


def option_fields(options_type: type[BaseModel]) -> tuple[OptionField, ...]:
    """Every option of a class in the order of its declaration, without the one that names the class."""
    tag = tag_name(options_type)
    return tuple(_option(key, field) for key, field in options_type.model_fields.items() if key != tag)


def chosen_fields(model: type[BaseModel], names: Sequence[str]) -> tuple[OptionField, ...]:
    """Those fields of a model that has no tag, in the order of `names`."""
    return tuple(_option(name, model.model_fields[name]) for name in names)


def tag_name(options_type: type[BaseModel]) -> str:
    """The field that says what the options belong to: `name` of a method, `kind` of a verbalizer."""
    return next(iter(options_type.model_fields))


def tag_value(options_type: type[BaseModel]) -> str:
    """The one value of that field."""
    (value,) = typing.get_args(options_type.model_fields[tag_name(options_type)].annotation)
    return str(value)


def mistakes_of(error: ValidationError, options_type: type[BaseModel], *, tagged: bool = True) -> list[str]:
    """Every mistake as a sentence; an unknown option is answered with the nearest known one.

    Args:
        tagged: whether the first field of the class names it, and is none of its options.
    """
    known = [name for name in options_type.model_fields if not tagged or name != tag_name(options_type)]
    return [_sentence(".".join(map(str, place)), mistake, known) for place, mistake in by_place(error).items()]


def by_place(error: ValidationError) -> dict[tuple[Any, ...], Any]:
    """The first mistake at each place, in order: where a field takes one of several types, pydantic reports one for each type and names
    the type in the place; a person made one."""
    first: dict[tuple[Any, ...], Any] = {}
    for mistake in error.errors():
        place = tuple(part for i, part in enumerate(mistake["loc"]) if i == 0 or not TYPE.fullmatch(str(part)))
        first.setdefault(place, mistake)
    return first


def _option(name: str, field: FieldInfo) -> OptionField:
    choices = [c for c in (field.annotation, *typing.get_args(field.annotation)) if c is not type(None)]
    literal = next((c for c in choices if typing.get_origin(c) is typing.Literal), None)
    if literal is not None:
        kind, values = "choice", tuple(str(v) for v in typing.get_args(literal))
    else:
        origins = {typing.get_origin(c) for c in choices}
        plain = next((c for c in choices if c in (bool, int, float, str)), str)
        kind = "list" if origins & {list, tuple} else "dict" if dict in origins else plain.__name__
        values = ()
    minimum = next((m.ge if isinstance(m, Ge) else m.gt for m in field.metadata if isinstance(m, (Ge, Gt))), None)
    maximum = next((m.le if isinstance(m, Le) else m.lt for m in field.metadata if isinstance(m, (Le, Lt))), None)
    return OptionField(name, kind, field.get_default(call_default_factory=True), field.description or "", minimum, maximum, values)


def _sentence(place: str, mistake: Any, known: Sequence[str]) -> str:
    if mistake["type"] == "extra_forbidden":
        return f"Unknown option '{place}'. {nearest(place, known)}"
    return f"'{place}' is {mistake['input']!r}: {mistake['msg'][0].lower()}{mistake['msg'][1:]}."
