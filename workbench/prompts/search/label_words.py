"""Label words found by machine: rank words per class on the training rows, then try combinations of the best (Gao et al. 2021, 5.1)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.errors import VerbalizerError

MOST_COMBINATIONS = 50_000


@dataclass(frozen=True)
class Words:
    """Columns of the score matrix chosen per class, with accuracy and mean negative log-likelihood on the training rows."""

    columns: tuple[tuple[int, ...], ...]
    accuracy: float
    loss: float


def likely_words(scores: Tensor, labels: Tensor, classes: int, k: int) -> list[list[int]]:
    """Per class the k words with the largest sum over its rows of log P([MASK] = v | x) (Gao et al. 2021, equation 6), best first.

    Args:
        scores: [N, V] log-probabilities of the words at the mask.
        labels: [N] class numbers; every class has a row.
    """
    return [scores[labels == c].double().sum(dim=0).topk(min(k, scores.shape[1])).indices.tolist() for c in range(classes)]


def combinations(scores: Tensor, labels: Tensor, candidates: Sequence[Sequence[int]], keep: int) -> list[Words]:
    """Every choice of one candidate per class, different words for different classes: the `keep` best on the training rows, by accuracy,
    then by loss. Candidate lists are shortened alike while there are more than 50,000 choices; where too few words are left then for so
    many classes, the one choice that takes the best candidates on the whole.

    Raises:
        VerbalizerError: the candidates are fewer different words than there are classes.
    """
    longest = max(map(len, candidates))
    while longest > 1 and math.prod(min(longest, len(words)) for words in candidates) > MOST_COMBINATIONS:
        longest -= 1
    choices = [c for c in itertools.product(*(words[:longest] for words in candidates)) if len(set(c)) == len(c)]
    return _best([judged(scores, labels, [(column,) for column in choice]) for choice in choices or [_assigned(candidates)]], keep)


def _assigned(candidates: Sequence[Sequence[int]]) -> list[int]:
    """A different candidate for every class, the sum of their places in the lists being least."""
    from scipy.optimize import linear_sum_assignment

    columns = sorted({column for words in candidates for column in words})
    absent = len(columns) * len(candidates) + 1
    places = [{column: place for place, column in enumerate(words)} for words in candidates]
    costs = [[place.get(column, absent) for column in columns] for place in places]
    chosen = linear_sum_assignment(costs)[1].tolist() if len(columns) >= len(candidates) else []
    if not chosen or any(costs[c][choice] == absent for c, choice in enumerate(chosen)):
        raise VerbalizerError("The labels have too few candidate words to get one each.", fix="Raise candidates, or give more rows.")
    return [columns[choice] for choice in chosen]


def grown(scores: Tensor, labels: Tensor, candidates: Sequence[Sequence[int]], start: Words, words: int) -> Words:
    """Greedily adds the candidate, of any class, that lowers the loss most, until no one does or every class has `words`."""
    best = start
    while True:
        taken = {column for chosen in best.columns for column in chosen}
        tries = [
            judged(scores, labels, [(*chosen, column) if c == place else chosen for place, chosen in enumerate(best.columns)])
            for c, listed in enumerate(candidates)
            if len(best.columns[c]) < words
            for column in listed
            if column not in taken
        ]
        better = [found for found in tries if found.loss < best.loss]
        if not better:
            return best
        best = min(better, key=lambda found: (found.loss, found.columns))


def judged(scores: Tensor, labels: Tensor, columns: Sequence[Sequence[int]]) -> Words:
    """Words on the training rows: a class scores the mean of its words' log-probabilities, as the manual verbalizer does."""
    classes = torch.stack([scores[:, list(chosen)].double().mean(dim=1) for chosen in columns], dim=1)
    log_probabilities = torch.log_softmax(classes, dim=1)
    accuracy = float((log_probabilities.argmax(dim=1) == labels).double().mean())
    loss = -float(log_probabilities.gather(1, labels.unsqueeze(1)).mean())
    return Words(tuple(tuple(chosen) for chosen in columns), accuracy, loss)


def _best(found: list[Words], keep: int) -> list[Words]:
    return sorted(found, key=lambda words: (-words.accuracy, words.loss, words.columns))[:keep]
