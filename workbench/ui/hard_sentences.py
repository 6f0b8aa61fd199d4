"""Sentences that are hard for a classifier of sentiment, for Try it: negation, irony, a turn, a comparison, typos; each with what a person
would say. They come from presets/sentences, and are offered to runs whose labels are a positive and a negative one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from workbench.recipe import PRESETS
from workbench.ui.text import Words

FILE = PRESETS / "sentences" / "sentiment.yaml"
CHINESE = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True)
class HardSentence:
    """A sentence, what it is hard by, and the label, one of the run's, that a person would give it; `key` finds it again."""

    key: str
    kind: str
    expected: str
    text: str


def hard_sentences(labels: Sequence[str], read: str) -> list[HardSentence]:
    """The sentences for a run of these labels; none where they are not one positive and one negative.

    Args:
        read: something of what the run reads, which tells the language.
    """
    known = _file()
    sides = {label: side for side, names in known.get("labels", {}).items() for label in labels if label.casefold() in names}
    own = {side: label for label, side in sides.items()}
    if len(labels) != 2 or len(own) != 2:
        return []
    language = "zh" if CHINESE.search(read) else "en"
    found = enumerate(known[language])
    return [HardSentence(f"{language}:{number}", one["kind"], own[one["expected"]], one["text"]) for number, one in found]


def choices(sentences: Sequence[HardSentence], t: Words) -> list[tuple[str, str]]:
    """The sentences as a list to choose from: what each is hard by, what one would expect, and the sentence."""
    return [(t("try.hard_one", kind=t(f"try.hard_{one.kind}"), label=one.expected, text=one.text), one.key) for one in sentences]


def sentence_of(key: str) -> str:
    """The sentence that a choice stands for; empty where it stands for something else."""
    language, _, number = key.partition(":")
    known = _file().get(language, []) if number.isdigit() else []
    return known[int(number)]["text"] if number.isdigit() and int(number) < len(known) else ""


@lru_cache
def _file() -> dict[str, Any]:
    """Our own file; empty where the presets were left behind."""
    return yaml.safe_load(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
