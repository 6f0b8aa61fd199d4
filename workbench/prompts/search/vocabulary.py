"""The words a search may put into a prompt: those that stand alone, so that the template's text comes back as the same tokens."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from workbench.prompts.template import literal
from workbench.prompts.tokenization import PlainTokenizer, plain_tokenizer

CHINESE = ("\u3400", "\u9fff")


class Vocabulary:
    """The candidate tokens of one tokenizer.

    Args:
        tokenizer: a transformers tokenizer.
        excluded: ids that no candidate may be, such as those of label words.

    Attributes:
        ids: candidate ids, ascending. Special, unknown and unprintable tokens, and pieces of words, are not among them.
    """

    def __init__(self, tokenizer: Any, excluded: Collection[int] = ()) -> None:
        self.plain: PlainTokenizer = plain_tokenizer(tokenizer)
        barred = set(excluded) | set(tokenizer.all_special_ids)
        texts = {token: tokenizer.decode([token]).strip() for token in range(len(tokenizer)) if token not in barred}
        usable = {token: text for token, text in texts.items() if text and text.isprintable() and " " not in text}
        encoded = self.plain.encode_batch([f" {text}" for text in usable.values()])
        self._texts = {token: text for (token, text), ids in zip(usable.items(), encoded, strict=True) if ids == [token]}
        self.ids = sorted(self._texts)

    def text(self, token: int) -> str:
        """The word of a candidate."""
        return self._texts[token]

    def words(self, tokens: Sequence[int]) -> str:
        """Candidates as template text that is read back as exactly these tokens; Chinese characters without blanks where that works."""
        texts = [literal(self._texts[token]) for token in tokens]
        dense = "".join(text if i and _dense(texts[i - 1], text) else f" {text}" for i, text in enumerate(texts))
        for joined in (dense, " ".join(["", *texts])):
            if self.plain.encode(joined.replace("[[", "[").replace("]]", "]").replace("{{", "{").replace("}}", "}")) == list(tokens):
                return joined.strip(" ")
        return ""


def _dense(before: str, text: str) -> bool:
    return CHINESE[0] <= before[-1] <= CHINESE[1] and CHINESE[0] <= text[0] <= CHINESE[1]
