"""Label words written by hand: `{kind: manual, words: {positive: [great, good], negative: {terrible: 1, bad: 0.5}}}`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from workbench.errors import VerbalizerError
from workbench.prompts.verbalizers import register_verbalizer
from workbench.prompts.verbalizers.verbalizer import VerbalizerOptions
from workbench.prompts.verbalizers.words import LabelWord, WordVerbalizer, label_words


class ManualOptions(VerbalizerOptions):
    kind: Literal["manual"] = "manual"
    words: dict[Any, Any] | None = Field(None, description="Label -> words that stand for it, each with a weight if not all count alike.")


@register_verbalizer
class ManualVerbalizer(WordVerbalizer):
    """Words of one or more tokens for every label, each with a weight.

    Raises:
        VerbalizerError: a label without words, words for no label, a word the tokenizer does not know, one token sequence for two labels.
    """

    options_type = ManualOptions
    title = "Words by hand"
    description = "The model scores the words that you wrote for each label. Nothing new is trained; works before any training."

    def __init__(self, options: ManualOptions, labels: tuple[str, ...], tokenizer: Any, *, causal: bool, leading_space: bool) -> None:
        super().__init__(options, labels, tokenizer, causal=causal, leading_space=leading_space)
        self.words = label_words(options.words, labels, tokenizer, leading_space=leading_space)
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
