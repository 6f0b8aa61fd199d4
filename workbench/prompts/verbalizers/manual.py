"""Label words written by hand: `{kind: manual, words: {positive: [great, good], negative: {terrible: 1, bad: 0.5}}}`."""

from __future__ import annotations

import math
from typing import Any

from workbench.errors import VerbalizerError, nearest
from workbench.prompts.tokenization import PlainTokenizer, plain_tokenizer
from workbench.prompts.verbalizers import register_verbalizer
from workbench.prompts.verbalizers.verbalizer import LabelWord, Verbalizer


@register_verbalizer("manual")
class ManualVerbalizer(Verbalizer):
    """Words of one or more tokens for every label, each with a weight.

    Raises:
        VerbalizerError: a label without words, words for no label, a word the tokenizer does not know, one token sequence for two labels.
    """

    def __init__(self, options: dict[str, Any], labels: tuple[str, ...], tokenizer: Any, *, causal: bool, leading_space: bool) -> None:
        for key in options:
            if key != "words":
                raise VerbalizerError(f"Unknown key 'verbalizer.{key}'.", fix=nearest(str(key), ("kind", "words")))
        given = _words_by_label(options.get("words"), labels)
        plain = plain_tokenizer(tokenizer)
        words = [
            LabelWord(index, text, _token_ids(text, label, plain, leading_space), weight)
            for index, label in enumerate(labels)
            for text, weight in given[label].items()
        ]
        super().__init__(labels, words, causal=causal)
        self._spelled = {token: tokenizer.decode([token]).strip() for token in self.token_ids}
        self._refuse_shared()

    def diagnose(self) -> list[str]:
        """Words of several tokens, words of one label that are the same to the model, and first tokens shared by labels."""
        warnings = []
        first: dict[int, LabelWord] = {}
        seen: dict[tuple[int, ...], LabelWord] = {}
        for word in self.words:
            if len(word.token_ids) > 1:
                pieces = " + ".join(f"'{self._spelled[token]}'" for token in word.token_ids)
                warnings.append(f"'{word.text}' is {len(word.token_ids)} tokens to this model ({pieces}) and gets as many masks.")
            if word.token_ids in seen:
                warnings.append(f"'{word.text}' and '{seen[word.token_ids].text}' are the same to this model.")
            other = first.setdefault(word.token_ids[0], word)
            if other.label != word.label:
                warnings.append(f"'{other.text}' and '{word.text}' of different labels begin with the same token.")
            seen.setdefault(word.token_ids, word)
        if len(self.mask_counts) > 1:
            counts = ", ".join(map(str, self.mask_counts))
            warnings.append(f"Words of {counts} tokens are mixed: longer words tend to score lower.")
        return warnings

    def _refuse_shared(self) -> None:
        seen: dict[tuple[int, ...], LabelWord] = {}
        for word in self.words:
            other = seen.setdefault(word.token_ids, word)
            if other.label != word.label:
                raise VerbalizerError(
                    f"'{other.text}' for label '{self.labels[other.label]}' and '{word.text}' for label '{self.labels[word.label]}' "
                    "are the same tokens to this model.",
                    fix="Choose another word for one of the two labels.",
                )


def _words_by_label(words: Any, labels: tuple[str, ...]) -> dict[str, dict[str, float]]:
    if not isinstance(words, dict):
        raise VerbalizerError("The verbalizer has no words.", fix="Give words for each label: {positive: [great], negative: [bad]}.")
    given = {str(label): _weights(str(label), value) for label, value in words.items()}
    for label in given:
        if label not in labels:
            raise VerbalizerError(f"The verbalizer has words for '{label}', which is no label of the data.", fix=nearest(label, labels))
    missing = [label for label in labels if not given.get(label)]
    if missing:
        raise VerbalizerError(f"There are no words for label '{missing[0]}'.", fix=f"Add words for: {', '.join(missing)}.")
    return given


def _weights(label: str, value: Any) -> dict[str, float]:
    items = value.items() if isinstance(value, dict) else [(word, 1.0) for word in (value if isinstance(value, list | tuple) else [value])]
    weights: dict[str, float] = {}
    for word, weight in items:
        text = str(word).strip() if word is not None else ""
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if text and not (number and math.isfinite(weight) and weight > 0):
            raise VerbalizerError(f"The weight of '{text}' for label '{label}' is {weight!r}.", fix="Give a number above 0.")
        if text:
            weights[text] = float(weight)
    return weights


def _token_ids(text: str, label: str, plain: PlainTokenizer, leading_space: bool) -> tuple[int, ...]:
    ids = plain.encode(f" {text}" if leading_space else text)
    if not ids or (plain.unknown_id in ids and plain.unknown_id is not None):
        raise VerbalizerError(
            f"This model's tokenizer does not know the word '{text}' of label '{label}'.", fix="Choose a word that is in its vocabulary."
        )
    return tuple(ids)
