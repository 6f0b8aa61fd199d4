"""OpenPrompt's verbalizer files: txt and csv with one class per line, its words between commas, and an empty line between verbalizers;
json with one verbalizer or a list of them; jsonl with one per line.

    great,good                     [{"World": ["politics"]}, {"World": ["politics", "world"]}]
    terrible,bad                   {"World": {"politics": 1.0, "world": 0.5}}

Txt does not name the classes: they are 0, 1, ... in the order of the lines. `<!>word` asked for no blank in front; here the template
says whether there is one.
"""

from __future__ import annotations

import json
from typing import Any

from workbench.prompts.formats import register_notation
from workbench.prompts.formats.notation import Imported, Notation, Words, constants, plain_words
from workbench.prompts.template import literal

NO_BLANK = "<!>"


@register_notation("openprompt-words")
class WordFile(Notation):
    """OpenPrompt's label words: JSON, or a line for each class with its words between commas."""

    title = "OpenPrompt verbalizer"
    turn = 9

    def recognizes(self, text: str) -> bool:
        found = _values(text)
        if found:
            return True
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return len(lines) > 1 and literal(text) == text and all(len(word.split()) <= 3 for line in lines for word in line.split(","))

    def read(self, text: str, truncation: str = "tail") -> Imported:
        verbalizers = [plain_words(value) if isinstance(value, dict) else _numbered(value) for value in _values(text)]
        if not verbalizers:
            groups = [group.splitlines() for group in text.replace("\r", "").split("\n\n")]
            lines = [[line.strip() for line in group if line.strip()] for group in groups]
            verbalizers = [_numbered([line.split(",") for line in group]) for group in lines if group]
        notes = ["<!> was left out: whether a blank stands before a label word is for the template to say."] if NO_BLANK in text else []
        return Imported("openprompt-words", verbalizers=tuple(_clean(words) for words in verbalizers), notes=tuple(notes))

    def write_words(self, words: dict[str, Any]) -> str:
        return json.dumps(plain_words(words), ensure_ascii=False)


def _values(text: str) -> list[Any]:
    """Verbalizers of a JSON file: one dict, a list of dicts, one dict per line, or the bare list of lists of words."""
    whole = constants(text)
    if isinstance(whole, dict):
        return [whole]
    if isinstance(whole, list) and whole:
        return whole if all(isinstance(value, dict) for value in whole) else [whole]
    lines = [constants(line) for line in text.splitlines() if line.strip()]
    return lines if lines and all(isinstance(line, dict | list) for line in lines) else []


def _numbered(lines: list[Any]) -> Words:
    return plain_words({str(i): words for i, words in enumerate(lines)})


def _clean(words: Words) -> Words:
    def bare(word: str) -> str:
        return word.strip().removeprefix(NO_BLANK)

    return {
        label: {bare(word): weight for word, weight in value.items()} if isinstance(value, dict) else [bare(w) for w in value if bare(w)]
        for label, value in words.items()
    }
