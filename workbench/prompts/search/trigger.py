"""Gradient-guided trigger tokens (AutoPrompt, Shin et al. 2020, section 2.2; the first-order step is HotFlip's, Ebrahimi et al. 2018)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Batch = Sequence[int]
Gradient = Callable[[Sequence[int], Batch], Tensor]
Score = Callable[[Sequence[int], Batch], float]


@dataclass(frozen=True)
class Trigger:
    """A trigger and the mean log-likelihood of the labels under it, over the batch that last judged it."""

    tokens: tuple[int, ...]
    score: float


@dataclass(frozen=True)
class TriggerSearch:
    """One search over trigger tokens; keeps no state, so any step can be done again.

    Args:
        gradient: of the mean label log-likelihood with respect to the input vectors of the trigger, [trigger length, E], on a batch.
        score: the mean label log-likelihood of a trigger on a batch.
        ids: tokens that may be chosen.
        vectors: their input vectors, [len(ids), E].
        rows: training rows there are.
        batch: rows per gradient and per judgement; all when there are no more.
        candidates: k, how many of the most promising tokens are tried at a step.
    """

    gradient: Gradient
    score: Score
    ids: Sequence[int]
    vectors: Tensor
    rows: int
    batch: int = 32
    candidates: int = 10

    def step(self, trigger: Trigger, seed: str) -> Trigger:
        """One position, drawn at random, gets the candidate under which the labels are likeliest, if that beats the token there.

        The candidates are the k tokens with the largest e_w . grad (equation 2): to first order the log-likelihood grows by
        (e_w - e_current) . grad, and e_current is the same for all. They and the current token are judged on a second batch.
        """
        draw = random.Random(seed)
        position = draw.randrange(len(trigger.tokens))
        first, second = self._batch(draw), self._batch(draw)
        chosen = self.promising(self.gradient(trigger.tokens, first)[position])
        best = Trigger(trigger.tokens, self.score(trigger.tokens, second))
        for token in chosen:
            tokens = (*trigger.tokens[:position], token, *trigger.tokens[position + 1 :])
            if tokens != trigger.tokens and (score := self.score(tokens, second)) > best.score:
                best = Trigger(tokens, score)
        return best

    def promising(self, gradient: Tensor) -> list[int]:
        """The k tokens whose vectors point furthest along a gradient [E], best first."""
        gains = self.vectors.double() @ gradient.double()
        return [self.ids[i] for i in gains.topk(min(self.candidates, len(self.ids))).indices.tolist()]

    def _batch(self, draw: random.Random) -> list[int]:
        return sorted(draw.sample(range(self.rows), min(self.batch, self.rows)))


def input_gradients(embeddings: torch.nn.Module, log_likelihood: Callable[[], Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The value of a log-likelihood and its gradients with respect to the output of `embeddings`, [B, T, E], one per time the model ran.

    The model's parameters get no gradient.
    """
    seen: list[Tensor] = []

    def cut(module: torch.nn.Module, inputs: object, output: Tensor) -> Tensor:
        seen.append(output.detach().requires_grad_())
        return seen[-1]

    handle = embeddings.register_forward_hook(cut)
    try:
        with torch.enable_grad():
            value = log_likelihood()
            gradients = torch.autograd.grad(value, seen)
    finally:
        handle.remove()
    return value.detach(), list(gradients)
