"""Label words scored at the masks (Schick & Schuetze 2021): the base of the kinds that have words, and how words are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from workbench.errors import VerbalizerError, nearest
from workbench.prompts.tokenization import PlainTokenizer, plain_tokenizer
from workbench.prompts.verbalizers.verbalizer import Context, Reading, Verbalizer

Pooling = Literal["joint", "first", "max", "mean"]
POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "first": lambda logits: logits[:, 0],
    "max": lambda logits: logits.amax(dim=1),
    "mean": lambda logits: logits.mean(dim=1),
}
"""What one number becomes of the logits [B, tokens] of a word's tokens at one mask."""


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


class WordVerbalizer(Verbalizer):
    """Classes as the weighted means of their words' scores; words of several tokens get several masks, scored jointly.

    A causal model reads later tokens of a word behind its earlier ones instead of at masks of their own. With `pooling` every token of
    a word is read at one mask instead, and its first, largest or mean logit counts. Subclasses set `words` before anything else is
    asked.
    """

    words: list[LabelWord]
    pooling: Pooling = "joint"

    @cached_property
    def mask_counts(self) -> tuple[int, ...]:
        """Distinct numbers of masks that the words need, ascending: a prompt is encoded once for each."""
        if self.pooling != "joint":
            return (1,)
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

    def masks_of(self, word: LabelWord) -> int:
        """At how many masks `word` is read."""
        return len(word.token_ids) if self.pooling == "joint" else 1

    def context_of(self, word: LabelWord) -> Context:
        """The context in which `word` is read."""
        count = self.masks_of(word)
        if count in self.contexts:
            return count
        return next(c for c in self.contexts if not isinstance(c, int) and c[: count - 1] == word.token_ids[:-1])

    def read(self, reading: Reading, *, normalize: bool) -> tuple[dict[Context, Tensor], dict[Context, Tensor] | None]:
        """Logits [B, M, W] and, when asked for, normalizers [B, M], by context."""
        answers = {context: reading.logits(context, self.token_ids, normalize=normalize) for context in self.contexts}
        logits = {context: answer[0] for context, answer in answers.items()}
        return logits, {context: answer[1] for context, answer in answers.items() if answer[1] is not None} if normalize else None

    def scores(self, reading: Reading) -> Tensor:
        return self.class_scores(*self.read(reading, normalize=self.needs_normalizer))

    def word_probabilities(self, reading: Reading) -> Tensor:
        """Probability of each word over the whole vocabulary, [B, number of words]."""
        return self.word_scores(*self.read(reading, normalize=True)).exp()

    def word_scores(self, logits: Mapping[Any, Tensor], normalizers: Mapping[Any, Tensor] | None) -> Tensor:
        """Score of each word: the sum over its tokens of their logits at its masks, or what `pooling` makes of them at one mask;
        normalised when `normalizers` are given.

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
            if self.pooling != "joint":
                score = POOLS[self.pooling](logits[context][:, 0, columns])
                scores.append(score if normalizers is None else score - normalizers[context][:, 0])
                continue
            rows = torch.arange(count, device=columns.device)
            score = logits[context][:, rows, columns].sum(dim=1)
            scores.append(score if normalizers is None else score - normalizers[context][:, :count].sum(dim=1))
        return torch.stack(scores, dim=1)

    def class_scores_of_words(self, word_scores: Tensor) -> Tensor:
        """Weighted mean over the words of each class. word_scores: [B, number of words]; returns [B, C]."""
        return word_scores @ self._shares.to(word_scores)

    def class_scores(self, logits: Mapping[Any, Tensor], normalizers: Mapping[Any, Tensor] | None = None) -> Tensor:
        """Scores of the classes, [B, C]; shapes as in `word_scores`."""
        if not self.needs_normalizer:
            normalizers = None
        return self.class_scores_of_words(self.word_scores(logits, normalizers))

    @cached_property
    def _shares(self) -> Tensor:
        """[number of words, C]: each word's share in its class; every column sums to 1."""
        shares = torch.zeros(len(self.words), len(self.labels), dtype=torch.float32)
        for i, word in enumerate(self.words):
            shares[i, word.label] = word.weight
        return shares / shares.sum(dim=0)


def label_words(words: Any, labels: tuple[str, ...], tokenizer: Any, *, leading_space: bool) -> list[LabelWord]:
    """The words of a recipe as tokens.

    Args:
        words: label -> word, list of words, or word -> weight.
        leading_space: a blank stands before the mask.

    Raises:
        VerbalizerError: naming every mistake: a label without words, words for no label, weights that are none, unknown words.
    """
    if not isinstance(words, dict):
        raise VerbalizerError("The verbalizer has no words.", fix="Give words for each label: {positive: [great], negative: [bad]}.")
    plain = plain_tokenizer(tokenizer)
    found: list[LabelWord] = []
    mistakes: list[tuple[str, str]] = []
    given = {str(label): _weights(value) for label, value in words.items()}
    for label in given:
        if label not in labels:
            mistakes.append((f"The verbalizer has words for '{label}', which is no label of the data.", nearest(label, labels)))
    silent = [label for label in labels if not given.get(label)]
    if len(silent) == 1:
        mistakes.append((f"There are no words for label '{silent[0]}'.", f"Add words for '{silent[0]}'."))
    elif silent:
        names = ", ".join(f"'{label}'" for label in silent)
        mistakes.append((f"There are no words for {len(silent)} labels: {names}.", "Add words for each of them."))
    for index, label in enumerate(labels):
        for text, weight in given.get(label, {}).items():
            ids = _token_ids(text, plain, leading_space)
            if not _is_weight(weight):
                mistakes.append((f"The weight of '{text}' for label '{label}' is {weight!r}.", "Give a number above 0."))
            elif ids is None:
                unknown = f"This model's tokenizer does not know the word '{text}' of label '{label}'."
                mistakes.append((unknown, "Choose a word that is in its vocabulary."))
            else:
                found.append(LabelWord(index, text, ids, float(weight)))
    if mistakes:
        fixes = dict.fromkeys(fix for _, fix in mistakes)
        raise VerbalizerError(" ".join(message for message, _ in mistakes), fix=" ".join(fixes))
    return found


def _weights(value: Any) -> dict[str, Any]:
    items = value.items() if isinstance(value, dict) else [(word, 1.0) for word in (value if isinstance(value, list | tuple) else [value])]
    if any(isinstance(word, bool) for word, _ in items):
        raise VerbalizerError("A label word is true or false: so YAML reads Yes, No, On and Off.", fix="Write the word in quotes.")
    named = ((str(word).strip() if word is not None else "", weight) for word, weight in items)
    return {text: weight for text, weight in named if text}


def _is_weight(weight: Any) -> bool:
    return isinstance(weight, int | float) and not isinstance(weight, bool) and math.isfinite(weight) and weight > 0


def _token_ids(text: str, plain: PlainTokenizer, leading_space: bool) -> tuple[int, ...] | None:
    """A word's tokens, or None when the tokenizer does not know it."""
    ids = plain.encode(f" {text}" if leading_space else text)
    unknown = not ids or (plain.unknown_id in ids and plain.unknown_id is not None)
    return None if unknown else tuple(ids)
