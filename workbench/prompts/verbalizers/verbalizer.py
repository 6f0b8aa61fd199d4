"""What every verbalizer is: label words with their tokens, and the two steps from logits to class scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

Context = int | tuple[int, ...]


@dataclass(frozen=True)
class LabelWord:
    """One word that stands for a class.

    Args:
        label: index of the class.
        text: the word as it was given.
        token_ids: its tokens, one per mask.
        weight: its share among the words of its class, before normalisation.
    """

    label: int
    text: str
    token_ids: tuple[int, ...]
    weight: float = 1.0


class Verbalizer:
    """Label words scored at the masks (Schick & Schuetze 2021); several masks for words of several tokens.

    Args:
        labels: the classes in the order of the scores.
        words: every class has at least one.
        causal: later tokens of a word are read behind its earlier ones instead of at masks of their own.
    """

    def __init__(self, labels: tuple[str, ...], words: list[LabelWord], *, causal: bool) -> None:
        self.labels = labels
        self.words = words
        self.causal = causal

    @cached_property
    def mask_counts(self) -> tuple[int, ...]:
        """Distinct numbers of tokens among the words, ascending: a prompt is encoded once for each."""
        return tuple(sorted({len(word.token_ids) for word in self.words}))

    @cached_property
    def token_ids(self) -> list[int]:
        """Vocabulary ids whose logits are needed, each once, ascending."""
        return sorted({token for word in self.words for token in word.token_ids})

    @property
    def needs_normalizer(self) -> bool:
        """Whether logits of different contexts are added up or compared, so that each needs its own log-sum-exp taken off."""
        return len(self.mask_counts) > 1 or (self.causal and self.mask_counts[-1] > 1)

    @cached_property
    def contexts(self) -> tuple[Context, ...]:
        """The prompts that have to be read to score every word.

        A number is that many masks (for a causal model 1: the next token). A row of tokens, causal only, is the beginning of one or
        more words, appended to the prompt so that their later tokens can be read behind it.
        """
        if not self.causal or self.mask_counts == (1,):
            return self.mask_counts
        wanted = {word.token_ids[:-1] for word in self.words}
        return tuple(sorted(c for c in wanted if not any(other != c and other[: len(c)] == c for other in wanted)))

    def context_of(self, word: LabelWord) -> Context:
        """The context in which `word` is read."""
        count = len(word.token_ids)
        if count in self.contexts:
            return count
        return next(c for c in self.contexts if not isinstance(c, int) and c[: count - 1] == word.token_ids[:-1])

    def word_scores(self, logits: Mapping[Any, Tensor], normalizers: Mapping[Any, Tensor] | None) -> Tensor:
        """Score of each word: the sum over its tokens of their logits at its masks, normalised when `normalizers` are given.

        Args:
            logits: by context: [B, M, W], W in the order of `token_ids`.
            normalizers: by context: [B, M], the log-sum-exp over the whole vocabulary.

        Returns:
            [B, number of words].
        """
        index = {token: i for i, token in enumerate(self.token_ids)}
        scores = []
        for word in self.words:
            context, count = self.context_of(word), len(word.token_ids)
            columns = torch.tensor([index[token] for token in word.token_ids], device=logits[context].device)
            rows = torch.arange(count, device=columns.device)
            score = logits[context][:, rows, columns].sum(dim=1)
            scores.append(score if normalizers is None else score - normalizers[context][:, :count].sum(dim=1))
        return torch.stack(scores, dim=1)

    def class_scores_of_words(self, word_scores: Tensor) -> Tensor:
        """Weighted mean over the words of each class. word_scores: [B, number of words]; returns [B, C]."""
        return word_scores @ self._shares.to(word_scores)

    def class_scores(self, logits: Mapping[Any, Tensor], normalizers: Mapping[Any, Tensor] | None = None) -> Tensor:
        """Scores of the classes, [B, C]; their log_softmax is the class log-probabilities. Shapes as in `word_scores`."""
        if not self.needs_normalizer:
            normalizers = None
        return self.class_scores_of_words(self.word_scores(logits, normalizers))

    def diagnose(self) -> list[str]:
        """Warnings about words that work, but not as one might think; plain sentences."""
        return []

    @cached_property
    def _shares(self) -> Tensor:
        """[number of words, C]: each word's share in its class; every column sums to 1."""
        shares = torch.zeros(len(self.words), len(self.labels), dtype=torch.float32)
        for i, word in enumerate(self.words):
            shares[i, word.label] = word.weight
        return shares / shares.sum(dim=0)
