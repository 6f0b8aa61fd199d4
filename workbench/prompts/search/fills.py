"""Templates that the loaded model writes itself: what it would put around a label word, summed over the training rows.

LM-BFF (Gao et al. 2021, section 5.2) asks a T5 for the text between sentence and label word; here a masked model fills runs of masks
there, and a causal model continues the text up to the label word. A beam of fills is kept by sum_x log P(fill | x, label word).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Ask = Callable[[list[list[int]], list[int]], Tensor]
"""ids of B prompts and one position each -> log-probabilities [B, V]: the token at that position; causal: the one after it."""


@dataclass(frozen=True)
class Row:
    """A training row on its way into a prompt: its tokens, cut to length, and those of its label's word."""

    text: tuple[int, ...]
    word: tuple[int, ...]


@dataclass(frozen=True)
class Fill:
    """Words before and behind the label word and sum_x log P over the rows."""

    before: tuple[int, ...]
    behind: tuple[int, ...]
    score: float


@dataclass(frozen=True)
class FillSearch:
    """Beam search over fills of one shape.

    Args:
        ask: the model.
        ids: tokens a fill may be made of.
        prefix, suffix: special tokens around a prompt.
        mask: the mask's id, or None for a causal model.
        text_first: the text stands before the fill; else behind it (masked models only).
        beam: fills kept at every step.
    """

    ask: Ask
    ids: Sequence[int]
    prefix: Sequence[int]
    suffix: Sequence[int]
    mask: int | None
    text_first: bool = True
    beam: int = 8

    def search(self, rows: Sequence[Row], before: int, behind: int, halt: Callable[[], None]) -> list[Fill]:
        """The beam's fills with `before` words before the label word and `behind` words after it, best first.

        Args:
            behind: 0 for a causal model, which reads nothing behind the word it predicts.
            halt: called between the questions; may raise.
        """
        beams: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
        for place in range(before + behind):
            found: list[tuple[tuple[int, ...], float]] = []
            for tokens, score in beams:
                halt()
                gains = self._gains(rows, tokens, place, before, behind)
                best = gains.topk(min(self.beam, len(self.ids)))
                found += [
                    ((*tokens, self.ids[i]), score + gain) for gain, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
                ]
            beams = sorted(found, key=lambda item: (-item[1], item[0]))[: self.beam]
        if self.mask is None:
            beams = [(tokens, score + self._word(rows, tokens)) for tokens, score in beams]
        return [Fill(tokens[:before], tokens[before:], score) for tokens, score in sorted(beams, key=lambda item: (-item[1], item[0]))]

    def _gains(self, rows: Sequence[Row], tokens: tuple[int, ...], place: int, before: int, behind: int) -> Tensor:
        """sum_x log P of each candidate at the next free place, [len(ids)]."""
        prompts, positions = [], []
        for row in rows:
            if self.mask is None:
                ids = [*self.prefix, *row.text, *tokens]
                prompts.append(ids)
                positions.append(len(ids) - 1)
                continue
            masks = [self.mask] * (before + behind - place)
            fill = [*tokens, *masks]
            around = [*fill[:before], *row.word, *fill[before:]]
            start = len(self.prefix) + (len(row.text) if self.text_first else 0)
            ids = [*row.text, *around] if self.text_first else [*around, *row.text]
            prompts.append([*self.prefix, *ids, *self.suffix])
            positions.append(start + place + (len(row.word) if place >= before else 0))
        scores = self.ask(prompts, positions)
        return scores[:, torch.tensor(self.ids)].double().sum(dim=0)

    def _word(self, rows: Sequence[Row], tokens: tuple[int, ...]) -> float:
        """sum_x log P(label word | x, fill): what a causal model makes of the word that a masked one was shown."""
        total = 0.0
        for place in range(max(len(row.word) for row in rows)):
            here = [row for row in rows if len(row.word) > place]
            prompts = [[*self.prefix, *row.text, *tokens, *row.word[:place]] for row in here]
            scores = self.ask(prompts, [len(ids) - 1 for ids in prompts])
            total += float(scores[range(len(here)), [row.word[place] for row in here]].double().sum())
        return total
