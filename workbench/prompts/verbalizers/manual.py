"""Label words written by hand: `{kind: manual, words: {positive: [great, good], negative: {terrible: 1, bad: 0.5}}}`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from workbench.errors import VerbalizerError
from workbench.prompts.verbalizers import register_verbalizer
from workbench.prompts.verbalizers.verbalizer import Diagnosis, VerbalizerOptions
from workbench.prompts.verbalizers.words import LabelWord, Pooling, WordVerbalizer, label_words


class ManualOptions(VerbalizerOptions):
    """Options of label words by hand (PET, Schick & Schuetze 2021)."""

    kind: Literal["manual"] = "manual"
    words: dict[Any, Any] | None = Field(None, description="Label -> words that stand for it, each with a weight if not all count alike.")
    multi_token: Pooling = Field(
        "joint",
        description="Words of several tokens: joint gives each its own masks; first, max and mean read all tokens at one mask.",
    )


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
        self.pooling = options.multi_token
        self.words = label_words(options.words, labels, tokenizer, leading_space=leading_space)
        self._spelled = {token: tokenizer.decode([token]).strip() for token in self.token_ids}
        self._refuse_shared()

    def diagnose(self) -> list[Diagnosis]:
        """Words of several tokens, words of one label that are the same to the model, and first tokens shared by labels."""
        warnings: list[Diagnosis] = []
        first: dict[int, LabelWord] = {}
        seen: dict[tuple[int, ...], LabelWord] = {}
        for word in self.words:
            if len(word.token_ids) > 1:
                warnings.append(self._pieces(word))
            same = seen.setdefault(word.token_ids, word)
            if same is not word:
                message = f"'{word.text}' and '{same.text}' are the same to this model."
                warnings.append(Diagnosis("same", message, {"word": word.text, "other": same.text}))
            other = first.setdefault(word.token_ids[0], word)
            if other.label != word.label:
                message = f"'{other.text}' and '{word.text}' of different labels begin with the same token."
                warnings.append(Diagnosis("first_token", message, {"word": word.text, "other": other.text}))
        if len(self.mask_counts) > 1:
            counts = ", ".join(map(str, self.mask_counts))
            message = f"Words of {counts} tokens are mixed: longer words tend to score lower."
            warnings.append(Diagnosis("lengths", message, {"counts": counts}))
        return warnings

    def _pieces(self, word: LabelWord) -> Diagnosis:
        count = len(word.token_ids)
        pieces = " + ".join(f"'{self._spelled[token]}'" for token in word.token_ids)
        values = {"word": word.text, "count": str(count), "pieces": pieces, "pooling": self.pooling}
        if self.pooling == "joint":
            return Diagnosis("pieces", f"'{word.text}' is {count} tokens to this model ({pieces}) and gets as many masks.", values)
        message = f"'{word.text}' is {count} tokens to this model ({pieces}), all read at one mask ({self.pooling})."
        return Diagnosis("pooled", message, values)

    def _refuse_shared(self) -> None:
        seen: dict[tuple[int, ...], LabelWord] = {}
        for word in self.words:
            read = word.token_ids[:1] if self.pooling == "first" else word.token_ids
            other = seen.setdefault(read, word)
            if other.label != word.label:
                raise VerbalizerError(
                    f"'{other.text}' for label '{self.labels[other.label]}' and '{word.text}' for label '{self.labels[word.label]}' "
                    "are the same tokens to this model.",
                    fix="Choose another word for one of the two labels.",
                )
