"""Label words found by the model itself (PETAL; Schick, Schmid & Schuetze 2020, sections 4.1 and 4.2).

    llr(w, c) = (n_other / n_c) * sum_{x in c} log[q(w|x) / (1 - q(w|x))] - sum_{x not in c} log[q(w|x) / (1 - q(w|x))]

q(w | x) is the model's probability of token w at the mask. The factor balances the classes; without it a large class decides.
Candidates are words of one token, the most frequent in the texts first; for each class those that its own rows find likeliest are
ranked by the likelihood ratio above, and a word that several classes want goes to the one that ranks it highest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from workbench.errors import VerbalizerError
from workbench.prompts.tokenization import plain_tokenizer
from workbench.prompts.verbalizers import register_verbalizer
from workbench.prompts.verbalizers.verbalizer import Reading, VerbalizerOptions
from workbench.prompts.verbalizers.words import LabelWord, WordVerbalizer


class AutomaticOptions(VerbalizerOptions):
    """Options of words found in the training rows (PETAL, Schick et al. 2020)."""

    kind: Literal["automatic"] = "automatic"
    words_per_label: int = Field(5, ge=1, le=100, description="Words that each label keeps.")
    candidates: int = Field(1000, ge=1, le=200_000, description="Words per label that are ranked: those its own rows find likeliest.")
    vocabulary: int = Field(10_000, ge=2, le=500_000, description="Words looked at in all: the most frequent in the training texts first.")
    balance: bool = Field(True, description="Weigh the rows of a label against all others, whatever their numbers.")


@register_verbalizer
class AutomaticVerbalizer(WordVerbalizer):
    """As words by hand, the words being chosen from training rows before anything else happens."""

    options_type = AutomaticOptions
    title = "Words found by the model"
    description = "The model looks for the words that tell your labels apart best in the training rows, then works as with words by hand."
    mask_counts = (1,)
    contexts = (1,)

    def __init__(self, options: AutomaticOptions, labels: tuple[str, ...], tokenizer: Any, *, causal: bool, leading_space: bool) -> None:
        super().__init__(options, labels, tokenizer, causal=causal, leading_space=leading_space)
        self.words: list[LabelWord] = []
        self.found: list[float] = []
        """The likelihood ratio of each of `words`."""
        self._tokenizer = tokenizer
        self._leading_space = leading_space

    @property
    def needs_fit(self) -> bool:
        return True

    def ranking(self) -> dict[str, list[tuple[str, float]]]:
        """For each label its words with their likelihood ratios, best first."""
        ranked: dict[str, list[tuple[str, float]]] = {label: [] for label in self.labels}
        for word, score in zip(self.words, self.found, strict=True):
            ranked[self.labels[word.label]].append((word.text, score))
        return ranked

    def fit(self, readings: Iterable[tuple[Reading, Tensor]]) -> None:
        """Finds the words. Readings of several templates add up, so that one choice serves them all.

        Raises:
            VerbalizerError: a class without rows, or one that no word is left for.
        """
        rows = torch.zeros(len(self.labels), dtype=torch.float64)
        counts: Counter[int] = Counter()
        log_q: Tensor | None = None
        log_odds: Tensor | None = None
        for reading, labels in readings:
            logits, normalizer = reading.logits(1, None, normalize=True)
            assert normalizer is not None
            # In double precision: 1 - q rounds to 1 in single precision for every rare word.
            log_shares = (logits[:, 0] - normalizer).double().cpu()
            if log_q is None or log_odds is None:
                log_q, log_odds = (torch.zeros(len(self.labels), log_shares.shape[1], dtype=torch.float64) for _ in range(2))
            chosen = labels.cpu()
            log_q.index_add_(0, chosen, log_shares)
            log_odds.index_add_(0, chosen, log_shares - torch.log1p(-log_shares.exp().clamp(max=1 - 1e-15)))
            rows.index_add_(0, chosen, torch.ones(len(chosen), dtype=torch.float64))
            for tokens in reading.text_tokens():
                counts.update(tokens)
        if log_q is None or log_odds is None or not rows.all():
            label = self.labels[int(rows.argmin())]
            raise VerbalizerError(f"There is no training row of '{label}' to find words from.", fix="Give rows of every label.")
        ids = self._candidates(counts, log_q.shape[1])
        scores = likelihood_ratios(log_odds[:, ids], rows, balance=self.options.balance)
        self._choose(ids, log_q[:, ids], scores)

    def _candidates(self, counts: Counter[int], size: int) -> list[int]:
        """Ids of words of one token, the most frequent in the texts first, then in the order of the vocabulary."""
        ordered = sorted(range(min(size, len(self._tokenizer))), key=lambda token: (-counts[token], token))
        return list(islice(filter(self._is_word, ordered), self.options.vocabulary))

    def _is_word(self, token: int) -> bool:
        """Whether a token is a whole word at the mask: two letters or more, or one Chinese, Japanese or Korean sign."""
        plain = plain_tokenizer(self._tokenizer)
        if token in plain.special_ids or token == plain.unknown_id:
            return False
        text = self._tokenizer.decode([token]).strip()
        if not text.isalpha() or (len(text) < 2 and not is_ideograph(text)):
            return False
        # Read back as the mask would be filled, so that "##ing" and a piece without its blank are not taken for words.
        return plain.encode(f" {text}" if self._leading_space else text) == [token]

    def _choose(self, ids: list[int], log_q: Tensor, scores: Tensor) -> None:
        """Sets the words: for each class the best of its likely candidates; a word of two classes goes where it ranks higher."""
        classes = len(self.labels)
        ranks = torch.full(scores.shape, scores.numel(), dtype=torch.long)
        for index in range(classes):
            likely = log_q[index].argsort(descending=True, stable=True)[: self.options.candidates]
            ordered = likely[scores[index, likely].argsort(descending=True, stable=True)]
            ranks[index, ordered] = torch.arange(len(ordered)) * classes + index  # no two ranks of one word are equal
        owner = ranks.argmin(dim=0)
        words, found = [], []
        for index, label in enumerate(self.labels):
            own = ((owner == index) & (ranks[index] < scores.numel())).nonzero().flatten()
            best = own[ranks[index, own].argsort()][: self.options.words_per_label]
            if not len(best):
                raise VerbalizerError(
                    f"Every word that speaks for '{label}' speaks for another label more.", fix="Raise candidates, or give more rows."
                )
            words += [self._word(index, ids[place]) for place in best.tolist()]
            found += [float(scores[index, place]) for place in best.tolist()]
        self._set(words, found)

    def _word(self, label: int, token: int) -> LabelWord:
        return LabelWord(label, self._tokenizer.decode([token]).strip(), (token,))

    def _set(self, words: list[LabelWord], found: list[float]) -> None:
        self.words, self.found = words, found
        for name in ("token_ids", "_shares"):  # computed from the words once
            self.__dict__.pop(name, None)

    def scores(self, reading: Reading) -> Tensor:
        """Raises VerbalizerError before `fit` has found words."""
        if not self.words:
            raise VerbalizerError("The label words have not been looked for yet.", fix="Give labelled rows to find them in.")
        return super().scores(reading)

    def state(self) -> dict[str, Tensor]:
        if not self.words:
            return {}
        return {
            "token_ids": torch.tensor([word.token_ids[0] for word in self.words]),
            "labels": torch.tensor([word.label for word in self.words]),
            "scores": torch.tensor(self.found, dtype=torch.float64),
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        pairs = zip(state["labels"].tolist(), state["token_ids"].tolist(), strict=True)
        self._set([self._word(label, token) for label, token in pairs], state["scores"].tolist())


def likelihood_ratios(log_odds: Tensor, rows: Tensor, *, balance: bool = True) -> Tensor:
    """The formula of the module docstring for every class and word.

    Args:
        log_odds: [C, W], sums over the rows of each class of log[q / (1 - q)].
        rows: [C], how many rows each class has.

    Returns:
        [C, W].
    """
    others = log_odds.sum(dim=0, keepdim=True) - log_odds
    factor = (rows.sum() - rows) / rows if balance else torch.ones_like(rows)
    return factor.unsqueeze(1) * log_odds - others


def is_ideograph(text: str) -> bool:
    """Whether a text is one Chinese, Japanese or Korean sign."""
    return len(text) == 1 and ("\u3040" <= text <= "\u30ff" or "\u3400" <= text <= "\u9fff" or "\uac00" <= text <= "\ud7af")
