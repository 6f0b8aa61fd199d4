"""Text to token ids, where a special token's name inside a text is text like any other.

Three kinds of tokenizers differ in what a blank means: WordPiece ignores it (`ignored`), byte-level BPE makes it part of the next
token (`kept`: " great" is not "great"), and SentencePiece puts one in front by itself (`added`). Callers write a blank in front of
a text that starts a word and none in front of one that goes on; this module does the rest.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

_ANCHOR = ","
# Templates are tried one after another on the same rows: the tokens of so many texts are kept.
TEXTS_KEPT = 8192


class PlainTokenizer:
    """A private copy of a tokenizer's rules, without truncation, padding or special tokens; safe beside any other use of it.

    Attributes:
        blanks: ignored, kept or added, as in the module docstring.
        prefix, suffix: the special ids that the tokenizer itself puts around one text.
        special_ids: ids that no text may turn into.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._backend.no_padding()
        self._backend.no_truncation()
        self.unknown_id: int | None = tokenizer.unk_token_id
        # Llama-like tokenizers call a control token "unknown" though bytes cover every text; only that id may come out of a text.
        self.special_ids = frozenset(tokenizer.all_special_ids) - {self.unknown_id}
        specials = sorted((t for t in tokenizer.all_special_tokens if len(t) > 1), key=len, reverse=True)
        self._specials = re.compile("|".join(map(re.escape, specials))) if specials else None
        whole = self._backend.encode("a", add_special_tokens=True)
        ordinary = [i for i, special in enumerate(whole.special_tokens_mask) if not special]
        self.prefix: list[int] = list(whole.ids[: ordinary[0]]) if ordinary else []
        self.suffix: list[int] = list(whole.ids[ordinary[-1] + 1 :]) if ordinary else []
        # Set last: from here on "[MASK]" in a text is seven characters.
        self._backend.encode_special_tokens = True
        self._memory: dict[str, list[int]] = {}
        bare, spaced = self._backend.encode("a", add_special_tokens=False), self._backend.encode(" a", add_special_tokens=False)
        if bare.tokens and bare.tokens[0][0] in "▁Ġ":
            self.blanks = "added"
        else:
            self.blanks = "ignored" if bare.ids == spaced.ids else "kept"

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text; a leading blank says that the text starts a word. Never a special id. The lists are not to be changed."""
        memory = self._memory
        missing = [text for text in dict.fromkeys(texts) if text not in memory]
        if len(memory) + len(missing) > TEXTS_KEPT:
            # A new dict, not a cleared one: another thread may be reading.
            memory = self._memory = {text: memory[text] for text in texts if text in memory}
        memory.update(zip(missing, self._encode_all(missing), strict=True))
        return [memory[text] for text in texts]

    def _encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        clean = [_without_surrogates(text) for text in texts]
        if self.blanks == "added":
            return [self._added(text) for text in clean]
        if self.blanks == "ignored":
            clean = [text.strip(" ") for text in clean]
        encodings = self._backend.encode_batch_fast(clean, add_special_tokens=False)
        return [self._without_specials(encoding.ids, text) for encoding, text in zip(encodings, clean, strict=True)]

    def encode(self, text: str) -> list[int]:
        """Ids of one text; see `encode_batch`."""
        return self.encode_batch([text])[0]

    def _added(self, text: str) -> list[int]:
        """Ids from a tokenizer that adds a blank: a text that goes on is read behind an anchor, whose token is then dropped."""
        if text[:1] in ("", " "):
            text = text.strip(" ")
            return self._without_specials(self._backend.encode(text, add_special_tokens=False).ids, text) if text else []
        encoding = self._backend.encode(_ANCHOR + text, add_special_tokens=False)
        if any(start < len(_ANCHOR) < end for start, end in encoding.offsets):
            return self._without_specials(self._backend.encode(text, add_special_tokens=False).ids, text)
        ids = [i for i, (start, _) in zip(encoding.ids, encoding.offsets, strict=True) if start >= len(_ANCHOR)]
        return self._without_specials(ids, text)

    def _without_specials(self, ids: list[int], text: str) -> list[int]:
        """Ids with any special one undone.

        Unigram vocabularies (ALBERT) hold "[MASK]" as an ordinary piece: there the name is read in two halves.
        """
        if self.special_ids.isdisjoint(ids):
            return ids
        halves: list[str] = []
        end = 0
        for match in self._specials.finditer(text) if self._specials else ():
            halves += [text[end : match.start() + 1], text[match.start() + 1 : match.end()]]
            end = match.end()
        halves.append(text[end:])
        parts = self._backend.encode_batch_fast(halves, add_special_tokens=False)
        return [i for part in parts for i in part.ids if i not in self.special_ids]


_copies: weakref.WeakKeyDictionary[Any, PlainTokenizer] = weakref.WeakKeyDictionary()


def plain_tokenizer(tokenizer: Any) -> PlainTokenizer:
    """The plain copy of a transformers tokenizer, made once and kept as long as the tokenizer lives."""
    plain = _copies.get(tokenizer)
    if plain is None:
        plain = _copies[tokenizer] = PlainTokenizer(tokenizer)
    return plain


def _without_surrogates(text: str) -> str:
    # A lone surrogate (a damaged emoji from a JSON file) cannot become UTF-8, which tokenizers need.
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
