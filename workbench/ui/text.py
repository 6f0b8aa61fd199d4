"""The words of a language: every visible string, under a dotted key, from text/LANGUAGE.yaml.

What the engine says in English is translated by the patterns in text/LANGUAGE/*.yaml, for a language that has such a folder.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from workbench.ui.sentences import Catalogue

TEXT = Path(__file__).resolve().parent / "text"


def languages() -> dict[str, str]:
    """Language codes and each language's own name, English first."""
    codes = sorted((p.stem for p in TEXT.glob("*.yaml")), key=lambda code: (code != "en", code))
    return {code: _entries(code)["language"] for code in codes}


class Words:
    """The strings of one language. `words("train.start")` is a string; values fill the {names} in it.

    `words.said(sentence)` is a sentence of the engine in this language.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self.said = catalogue(language)
        self._entries = _entries(language)

    def __call__(self, key: str, /, **values: Any) -> str:
        """The string under `key`.

        Raises:
            KeyError: the key is in no file; a test keeps keys and uses together.
        """
        text = self._entries[key]
        return text.format(**values) if values else text

    def room(self, name: str) -> dict[str, str]:
        """All strings under `name`, by their own keys."""
        return {key.removeprefix(f"{name}."): text for key, text in self._entries.items() if key.startswith(f"{name}.")}

    def line(self, *sentences: str) -> str:
        """Sentences in one line; after a Chinese full stop no blank follows."""
        return " ".join(sentence for sentence in sentences if sentence).replace("\u3002 ", "\u3002")

    def get(self, key: str, default: str) -> str:
        """The string under `key`, or `default` for what no translator has seen: a new method's options, a new label."""
        return self._entries.get(key, default)


@lru_cache
def catalogue(language: str) -> Catalogue:
    """The engine's sentences in a language; without a folder of that name they stay as they are.

    Raises:
        ValueError: a pattern with holes that touch or share a name.
    """
    entries: dict[str, str] = {}
    for file in sorted((TEXT / language).glob("*.yaml")):
        entries |= _read(file)
    return Catalogue(entries)


@lru_cache
def _entries(language: str) -> dict[str, str]:
    return dict(_flat(_read(TEXT / f"{language}.yaml"), ""))


def _read(file: Path) -> dict[str, Any]:
    """One of our own files, by libyaml where there is one: ten times as quick, and a page waits for it."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(file.read_text(encoding="utf-8"))
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _flat(content: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in content.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", str(value)))
    return pairs


def preferred(header: str, codes: tuple[str, ...]) -> str:
    """The first of `codes` that an Accept-Language header asks for, by weight; else the first code."""
    wishes = []
    for order, part in enumerate(header.split(",")):
        tag, _, weight = part.strip().partition(";q=")
        try:
            wishes.append((-float(weight or 1), order, tag.split("-")[0].lower()))
        except ValueError:
            continue
    return next((code for _, _, code in sorted(wishes) if code in codes), codes[0])
