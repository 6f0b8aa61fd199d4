"""What a notation is, and what reading one gives: templates in ours, label words, and notes on what could not be kept exactly."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.errors import TemplateError
from workbench.prompts.template import Template, parse_template, with_fields

Words = dict[str, list[str] | dict[str, float]]
# What the other tools call an example's texts, the first one first.
TEXTS = tuple(f"text_{letter}" for letter in "abcdefghij")


@dataclass(frozen=True)
class Imported:
    """What a text held.

    Args:
        notation: the name of the notation it was in.
        templates: sources in our own notation.
        verbalizers: label -> words, or word -> weight; labels are "0", "1", ... where the notation only numbers the classes.
        notes: sentences about what has no exact counterpart here.
    """

    notation: str
    templates: tuple[str, ...] = ()
    verbalizers: tuple[Words, ...] = ()
    notes: tuple[str, ...] = ()

    def with_fields(self, fields: Sequence[str]) -> Imported:
        """With the templates' unknown fields renamed to the data's unused ones; as it is when there are too few of those.

        text_a is the first of these and text_b the second, wherever a template has them; fields of other names follow as they appear.
        """
        asked = dict.fromkeys(name for source in self.templates for name in parse_template(source).fields)
        free = [name for name in fields if name not in asked]
        others = [name for name in asked if name not in TEXTS]
        # A template that has text_b alone still means the second; only data of too few fields gives it the first.
        places = TEXTS[: max((TEXTS.index(name) + 1 for name in asked if name in TEXTS), default=0)]
        for texts in (places, [name for name in places if name in asked]):
            unknown = [name for name in (*texts, *others) if name not in fields]
            if len(unknown) <= len(free):
                break
        names = {old: new for old, new in zip(unknown, free, strict=False) if old in asked}
        if not names or len(unknown) > len(free):
            return self
        told = [f"{{{old}}} is now {{{new}}}." for old, new in names.items()]
        templates = tuple(with_fields(source, names) for source in self.templates)
        return replace(self, templates=templates, notes=(*self.notes, *told))

    def with_labels(self, labels: Sequence[str]) -> Imported:
        """With classes that are only numbered, from 0 or from 1, named by the data's labels in order."""
        verbalizers, notes = [], list(self.notes)
        for words in self.verbalizers:
            names = _names(tuple(words), labels)
            if names and names != {key: key for key in words}:
                told = ", ".join(f"{key} = {name}" for key, name in names.items())
                notes.append(f"Classes were taken in the order of the data's labels: {told}.")
            verbalizers.append({names[key]: value for key, value in words.items()} if names else words)
        return replace(self, verbalizers=tuple(verbalizers), notes=tuple(dict.fromkeys(notes)))


class Notation:
    """One notation. Stateless; the registry holds one object per class.

    Attributes:
        title: how the page calls it.
        turn: lower is tried earlier when a text's notation is to be found out.
    """

    title = ""
    turn = 5

    def recognizes(self, text: str) -> bool:
        """Whether the text looks like this notation."""
        raise NotImplementedError

    def read(self, text: str, truncation: str = "tail") -> Imported:
        """The text's templates and label words.

        Raises:
            TemplateError: the text is wrong in this notation, or asks for what the workbench does not do.
        """
        raise NotImplementedError

    def write(self, template: Template) -> str:
        """The template in this notation.

        Raises:
            TemplateError: it holds something that this notation cannot say.
        """
        raise TemplateError(f"Templates are not written as {self.title}.", fix="Choose another notation.")

    def write_words(self, words: dict[str, Any]) -> str:
        """Label words in this notation; raises TemplateError when it cannot say them."""
        raise TemplateError(f"Label words are not written as {self.title}.", fix="Choose another notation.")


def constants(text: str) -> Any:
    """JSON, or Python's notation of strings, numbers, lists and dicts; None when it is neither. Nothing is evaluated."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def plain_words(words: dict[Any, Any]) -> Words:
    """Label words from loosely typed values: one word, a list, or word -> weight.

    Raises:
        TemplateError: a value is none of these.
    """
    found: Words = {}
    for label, value in words.items():
        if isinstance(value, dict) and all(isinstance(weight, int | float) for weight in value.values()):
            found[str(label)] = {str(word): float(weight) for word, weight in value.items()}
        elif isinstance(value, str | int | float):
            found[str(label)] = [str(value)]
        elif isinstance(value, list | tuple) and all(isinstance(word, str | int | float) for word in value):
            found[str(label)] = [str(word) for word in value]
        else:
            raise TemplateError(f"The words of label '{label}' are not a list of words.", fix='Write {"label": ["word", "word"]}.')
    return found


def _names(keys: tuple[str, ...], labels: Sequence[str]) -> dict[str, str] | None:
    """The data's label for each key of a verbalizer, or None when they cannot be told."""
    by_case = {label.casefold(): label for label in labels}
    if keys and all(key.casefold() in by_case for key in keys):
        return {key: by_case[key.casefold()] for key in keys}
    for first in (0, 1):
        if len(keys) == len(labels) and set(keys) == {str(i + first) for i in range(len(labels))}:
            return {key: labels[int(key) - first] for key in keys}
    return None
