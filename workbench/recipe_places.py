"""Places in a recipe: the lines of its YAML text, for messages, and what stands where no file can hold it."""

from __future__ import annotations

import re
from typing import Any

import yaml

from workbench.yaml_text import nodes

DEEPEST = 6
HALF = re.compile("[\ud800-\udfff]")


def half_characters(content: dict[Any, Any]) -> list[tuple[str, ...]]:
    """Places of the texts that hold a lone surrogate, as half of an emoji that JSON cut in two: no encoding can write them."""
    found: list[tuple[str, ...]] = []
    waiting: list[tuple[tuple[str, ...], Any]] = [((), content)]
    walked: set[int] = set()
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, str) and HALF.search(value):
            found.append(place)
        # YAML aliases may stand for the same part a million times: each is walked once.
        elif isinstance(value, dict | list) and id(value) not in walked:
            walked.add(id(value))
            for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
                below = (*place, HALF.sub("\ufffd", str(name)))
                waiting += [(below, inner), (below, name)]
    return found


def lines_of(text: str) -> dict[tuple[Any, ...], int]:
    """Line of every key and list entry of a YAML text that could be read, by its place in the recipe."""
    found: dict[tuple[Any, ...], int] = {}
    walked: set[int] = set()

    def walk(node: yaml.Node, place: tuple[Any, ...]) -> None:
        # Aliases may stand for the same node a million times: each is walked once.
        if id(node) in walked or len(place) >= DEEPEST:
            return
        walked.add(id(node))
        pairs: list[tuple[Any, yaml.Node, yaml.Node]] = []
        if isinstance(node, yaml.MappingNode):
            pairs = [(key.value, key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]
        elif isinstance(node, yaml.SequenceNode):
            pairs = [(number, value, value) for number, value in enumerate(node.value)]
        for name, where, value in pairs:
            found[(*place, name)] = where.start_mark.line + 1
            walk(value, (*place, name))

    root = nodes(text)
    if root is not None:
        walk(root, ())
    return found


def at_line(place: tuple[Any, ...], lines: dict[tuple[Any, ...], int]) -> str:
    """The line of a place, or of the nearest place around it, as the beginning of a message; empty where none is known."""
    line = next((lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in lines), None)
    return "" if line is None else f"line {line}: "
