"""PET's pattern ids (Schick & Schuetze 2021): `agnews 0`, `pet rte 4`, or a task alone for all its patterns; and PET's verbalizer files.

    0                       a pattern's number, then its label words:
    1 terrible              label and words with blanks between
    2 great good

The patterns themselves stand in presets/library/pet-TASK.yaml. copa, wsc and record choose among spans of the text instead of label
words and are not read.

PET tokenizes each part of a pattern by itself, for RoBERTa with a blank in front. Here the first one has none unless it is typed, nor has
text behind [SEP]; a blank that ends a part of PET's, as in RTE's `' question: '`, is a token of its own there, as the second of two blanks
is here. Only in front of the mask, as in BoolQ's `'? Answer: '`, it has no form here.
"""

from __future__ import annotations

import re
from typing import Any

from workbench.errors import TemplateError, nearest
from workbench.prompts.formats import register_notation
from workbench.prompts.formats.notation import Imported, Notation, Words, plain_words

ALIASES = {"ax-b": "rte", "ax-g": "rte", "xstance-de": "xstance", "xstance-fr": "xstance", "ag-news": "agnews"}
SPAN_TASKS = ("copa", "wsc", "record")
_NAME = re.compile(r"(?:pet[\s:/_-]+)?(?P<task>[a-z]+(?:[-_][a-z]+)?)(?:[\s:/#]+(?:pattern[\s_]*)?(?P<id>\d+|all))?", re.IGNORECASE)


@register_notation("pet")
class PatternIds(Notation):
    """A PET task with a pattern's number (`agnews 0`), or a verbalizer file of PET's."""

    title = "PET"
    turn = 3

    def recognizes(self, text: str) -> bool:
        match = _NAME.fullmatch(text.strip())
        if match is not None and (_task(match["task"]) in _tasks() or match["task"].lower() in SPAN_TASKS):
            return True
        first = text.strip().split("\n", 1)[0].strip()
        return first.isdigit() and len(text.strip().splitlines()) > 1

    def read(self, text: str, truncation: str = "tail") -> Imported:
        text = text.strip()
        if text[:1].isdigit():
            return Imported("pet", verbalizers=tuple(_verbalizers(text)))
        match = _NAME.fullmatch(text)
        if match is None:
            raise TemplateError(f"'{text[:60]}' is not a PET task with a pattern's number.", fix="Write it like: agnews 0.")
        return _patterns(_task(match["task"]), None if match["id"] in (None, "all") else int(match["id"]))

    def write_words(self, words: dict[str, Any]) -> str:
        """PET's verbalizer file. Raises TemplateError for blanks, which separate words there."""
        lines = []
        for label, found in plain_words(words).items():
            if any(" " in part for part in (label, *found)):
                raise TemplateError("PET's verbalizer files cannot hold a blank inside a label or word.", fix="Use single words.")
            lines.append(" ".join((label, *found)))
        return "\n".join(("0", *lines)) + "\n"


def _task(name: str) -> str:
    name = name.lower().replace("_", "-")
    return ALIASES.get(name, name)


def _tasks() -> dict[str, Any]:
    from workbench.prompts.library import library

    return {entry.name.removeprefix("pet-"): entry for entry in library() if entry.name.startswith("pet-")}


def _patterns(task: str, number: int | None) -> Imported:
    tasks = _tasks()
    if task in SPAN_TASKS:
        raise TemplateError(
            f"PET's task {task} chooses among spans of the text, not among label words.", fix=f"Known: {', '.join(sorted(tasks))}."
        )
    if task not in tasks:
        raise TemplateError(f"There is no PET task '{task}' here.", fix=nearest(task, tasks))
    entry = tasks[task]
    chosen = [pattern for pattern in entry.patterns if number in (None, pattern.id)]
    if not chosen:
        raise TemplateError(f"PET's task {task} has no pattern {number}.", fix=f"It has 0 to {len(entry.patterns) - 1}.")
    notes = [
        f"From {entry.source}.",
        "PET puts a blank before the first word for RoBERTa; begin the template with a blank there for PET's tokens and label words.",
    ]
    if any("[SEP]" in pattern.template for pattern in chosen):
        notes.append("[SEP] is one separator; RoBERTa's own pairs have two, so write [SEP][SEP] there for PET's exact tokens.")
    words = tuple(dict(entry.words[name]) for name in dict.fromkeys(pattern.words for pattern in chosen))
    return Imported("pet", tuple(dict.fromkeys(pattern.template for pattern in chosen)), words, tuple(notes))


def _verbalizers(text: str) -> list[Words]:
    found: list[Words] = []
    for number, line in enumerate(text.splitlines(), start=1):
        parts = line.split()
        if len(parts) == 1 and parts[0].isdigit():
            found.append({})
        elif len(parts) > 1 and found:
            found[-1][parts[0]] = parts[1:]
        elif parts:
            raise TemplateError(
                f"Line {number}: '{line.strip()}' is not a label with its words.", fix="Write the label, a blank, and its words."
            )
    return [words for words in found if words]
