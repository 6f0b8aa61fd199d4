"""What a model says about a batch of prompts: the `Reading` that a verbalizer asks, and what several of them share.

    TemplateReading -- logits, hidden --> states of the last layer at the places asked for, then only the rows of the head that are needed
         |-- StateSource: rows that were read before, where nothing below the head trains
         '-- SharedStates: one pass over all prompts of a batch, on causal models whose prompts begin alike
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from workbench.models.cloze import cloze_logits, hidden_at, vocabulary_logits
from workbench.models.packing import can_pack, packed_states
from workbench.prompts.encoding import Encoding
from workbench.prompts.verbalizers.verbalizer import Context, Position

if TYPE_CHECKING:
    from workbench.serving.classifier import PromptClassifier


@dataclass
class EncodedExample:
    """One example, ready for a batch.

    Args:
        variants: one encoding per template and context, in the classifier's order.
        label: index of its class, or None.
        length: tokens of the longest variant, for batches of similar length.
        target: soft label, a probability per class, or None.
        number: of the row in the classifier's `kept` states, or None when there are none of it.
    """

    variants: list[Encoding]
    label: int | None
    length: int
    target: tuple[float, ...] | None = None
    number: int | None = None


class StateSource(Protocol):
    """States of rows that were read before."""

    def at(self, place: int, position: Position | None, numbers: list[int]) -> Tensor:
        """The last layer's states [B, M, H] of numbered rows under the prompt at `place` in the classifier's plan: of one token, or,
        without a position, at the masks."""


class SharedStates:
    """The last layer's states of a batch under all prompts of a classifier, from one pass that reads once what the prompts have in
    common; nothing is computed before it is asked for. Lives as long as the readings of one batch."""

    def __init__(self, classifier: PromptClassifier, batch: Sequence[EncodedExample]) -> None:
        self._classifier, self._batch = classifier, batch
        self._states: list[Tensor] | None = None
        longest = max((example.length for example in batch), default=0)
        self._open = len(classifier.plan) > 1 and can_pack(classifier.loaded, longest)

    def at(self, place: int) -> Tensor | None:
        """[B, M, H] at the masks of the prompt at `place` in the classifier's plan; None where the prompts are better read one by one."""
        if self._open and self._states is None:
            groups = [[encoding.input_ids for encoding in example.variants] for example in self._batch]
            positions = [[encoding.mask_positions for encoding in example.variants] for example in self._batch]
            self._states = packed_states(self._classifier.loaded, groups, positions)
            self._open = self._states is not None
        return None if self._states is None else self._states[place]


class TemplateReading:
    """What the model says about a batch under one template: the `Reading` that a verbalizer asks."""

    def __init__(
        self, classifier: PromptClassifier, batch: Sequence[EncodedExample], template: int, shared: SharedStates | None = None
    ) -> None:
        self._classifier, self._batch, self._template = classifier, batch, template
        self._shared = shared or SharedStates(classifier, batch)
        self._hidden: dict[tuple[Position, bool], Tensor] = {}

    def logits(
        self, context: Context, token_ids: Sequence[int] | None, *, normalize: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """As `Reading.logits`."""
        loaded = self._classifier.loaded
        chosen = None if token_ids is None else torch.tensor(token_ids, device=loaded.device)
        states = self._kept(context, None)
        if states is None:
            states = self._shared.at(self._place(context))
        if states is None:
            tensors = self._classifier.tensors(self._encodings(context))
            logits, normalizer = cloze_logits(loaded, *tensors, chosen, normalizer=normalize)
        else:
            logits, normalizer = vocabulary_logits(loaded, states, chosen, normalizer=normalize)
        return logits.float(), None if normalizer is None else normalizer.float()

    def hidden(self, position: Position, *, transformed: bool) -> Tensor:
        """As `Reading.hidden`."""
        if (position, transformed) not in self._hidden:
            loaded, states = self._classifier.loaded, self._kept(1, position)
            if states is not None:
                hidden = states.flatten(0, 1)
                hidden = loaded.family.transform_hidden(loaded.model, hidden) if transformed else hidden
            else:
                encodings = self._encodings(1)
                input_ids, attention_mask, _ = self._classifier.tensors(encodings)
                positions = torch.tensor([[token_at(encoding, position)] for encoding in encodings], device=input_ids.device)
                hidden = hidden_at(loaded, input_ids, attention_mask, positions, transformed=transformed)
            self._hidden[position, transformed] = hidden.float()
        return self._hidden[position, transformed]

    def text_tokens(self) -> list[list[int]]:
        """As `Reading.text_tokens`."""
        return [
            [token for span in encoding.spans if span.field is not None for token in encoding.input_ids[span.start : span.end]]
            for encoding in self._encodings(self._classifier.verbalizers[self._template].contexts[0])
        ]

    def _kept(self, context: Context, position: Position | None) -> Tensor | None:
        numbers = [example.number for example in self._batch if example.number is not None]
        if self._classifier.kept is None or len(numbers) < len(self._batch):
            return None
        return self._classifier.kept.at(self._place(context), position, numbers)

    def _place(self, context: Context) -> int:
        return self._classifier.plan.index((self._template, context))

    def _encodings(self, context: Context) -> list[Encoding]:
        place = self._place(context)
        return [example.variants[place] for example in self._batch]


def token_at(encoding: Encoding, position: Position) -> int:
    """Index of the token whose state is read; auto is the mask or, for a masked model without one, the first token."""
    if position == "last":
        return len(encoding.input_ids) - 1
    if position == "first" or not encoding.mask_positions:
        return 0
    return encoding.mask_positions[0]
