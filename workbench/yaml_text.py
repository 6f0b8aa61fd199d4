"""YAML that a person wrote or that came from somewhere: read within bounds."""

from __future__ import annotations

from typing import Any

import yaml

from workbench.errors import RecipeError

MOST_PARTS, DEEPEST = 100_000, 50
"""Values, keys and brackets of a text, and how deep they lie. Python's own reader takes a second for every 15,000 parts; libyaml is ten
times as quick, and runs out of stack where they lie some thousand deep."""
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OPENS, _CLOSES = (yaml.MappingStartEvent, yaml.SequenceStartEvent), (yaml.MappingEndEvent, yaml.SequenceEndEvent)


def parse_yaml(text: str, *, source: str) -> Any:
    """Plain values from YAML. `source` names the file or form in messages.

    Raises:
        RecipeError: with the line where reading stopped, or there is more of it than any recipe has.
    """
    try:
        if _is_too_much(text):
            raise RecipeError(f"{source}: this is too much for a recipe.", fix="Give the YAML of one recipe; rows belong in a data file.")
        loader = _LOADER(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2026-99-99
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise RecipeError(f"{source}{place}: this is not readable YAML.", fix="Check indentation and quotes near that line.") from None


def nodes(text: str) -> yaml.Node | None:
    """The nodes of a text that `parse_yaml` has read, each with its place in it; None when nothing is there."""
    root: yaml.Node | None = yaml.compose(text, Loader=_LOADER) if text else None
    return root


def _is_too_much(text: str) -> bool:
    deep = 0
    for number, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        deep += isinstance(event, _OPENS) - isinstance(event, _CLOSES)
        if number > MOST_PARTS or deep > DEEPEST:
            return True
    return False
