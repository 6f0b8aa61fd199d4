"""Soft verbalizer: one trained vector per class in the place of word embeddings (WARP, Hambardzumyan et al. 2021, section 3.2).

    score(c | x) = v_c . h + b_c        h: the state at the mask that the vocabulary product takes

Each v_c starts as the mean of its words' output embeddings and b_c as the mean of their output biases, so that words of one token
give the untrained soft verbalizer the scores of the manual one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from workbench.prompts.verbalizers import register_verbalizer
from workbench.prompts.verbalizers.verbalizer import Reading, TrainableOptions, Verbalizer
from workbench.prompts.verbalizers.words import LabelWord, label_words

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel


class SoftOptions(TrainableOptions):
    """Options of a trained vector per label (WARP, Hambardzumyan et al. 2021)."""

    kind: Literal["soft"] = "soft"
    words: dict[Any, Any] | None = Field(
        None, description="Label -> words whose embeddings the label's vector starts from; empty starts it at random."
    )


@register_verbalizer
class SoftVerbalizer(Verbalizer):
    """A linear map from the transformed state at the mask to the classes, initialised from label words.

    Raises:
        VerbalizerError: words that do not fit the labels or that the tokenizer does not know.
    """

    options_type = SoftOptions
    title = "Soft label vectors"
    description = "Each label is a vector that starts at your words and is trained further. Starts where the words are, then leaves them."
    reads = "transformed"
    shared = True

    def __init__(self, options: SoftOptions, labels: tuple[str, ...], tokenizer: Any, *, causal: bool, leading_space: bool) -> None:
        super().__init__(options, labels, tokenizer, causal=causal, leading_space=leading_space)
        self._initial: list[LabelWord] = []
        if options.words is not None:
            self._initial = label_words(options.words, labels, tokenizer, leading_space=leading_space)

    def prepare(self, loaded: LoadedModel) -> None:
        """Each label's row and bias start as the weighted mean of its words' in the vocabulary product; without words rows are random."""
        weight, bias = loaded.family.output_weight(loaded.model)
        self.module = nn.Linear(weight.shape[1], len(self.labels), device=loaded.device)
        with torch.no_grad():
            self.module.bias.zero_()
            if not self._initial:
                self.module.weight.copy_(torch.randn_like(self.module.weight) * weight.float().std())
            for index in range(len(self.labels) if self._initial else 0):
                self.module.weight[index] = self._mean(weight, index)
                if bias is not None:
                    self.module.bias[index] = self._mean(bias, index)

    def _mean(self, table: Tensor, label: int) -> Tensor:
        """Weighted mean over a label's words of the mean over each word's tokens; table: [V, E] or [V]."""
        words = [word for word in self._initial if word.label == label]
        total = sum(word.weight for word in words)
        return sum(table[list(word.token_ids)].float().mean(dim=0) * (word.weight / total) for word in words)

    def scores(self, reading: Reading) -> Tensor:
        assert self.module is not None
        return self.module(reading.hidden("mask", transformed=True))
