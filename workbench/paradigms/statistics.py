"""How sure a figure is: bootstrap intervals, McNemar's test with Holm's correction, spread over seeds. numpy and scipy, no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ROUNDS = 1_000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A figure with the bounds between which it would lie in 95 of 100 draws of the test rows."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Pair:
    """Two models on the same rows.

    Args:
        only_first, only_second: rows that one of them got right and the other wrong, in the mean over seeds.
        difference: accuracy of the first minus that of the second.
        p: probability of a split at least as uneven if both were equally good.
        adjusted: p after Holm's correction for all the pairs compared.
    """

    first: str
    second: str
    only_first: float
    only_second: float
    difference: float
    p: float
    adjusted: float = 1.0


def bootstrap(truth: np.ndarray, predicted: np.ndarray, classes: int, *, seed: int = 0, rounds: int = ROUNDS) -> dict[str, Interval]:
    """Percentile bootstrap over test rows (Efron & Tibshirani 1993, section 13.3) of accuracy and macro-F1, means over seeds.

    The rows are drawn anew, with replacement, `rounds` times; a draw is the same for every seed, because the rows are.

    Args:
        truth: class numbers [N].
        predicted: class numbers [S, N], one line per seed.

    Returns:
        accuracy and macro_f1; macro-F1 is over the classes that occur in the true or predicted labels of a draw, as scikit-learn's.
    """
    rows = len(truth)
    draws = np.random.default_rng(seed).multinomial(rows, np.full(rows, 1 / rows), size=rounds)
    weights = np.vstack([np.ones(rows), draws])
    accuracies, scores = [], []
    for line in predicted:
        actual, said = np.eye(classes)[truth], np.eye(classes)[line]
        hits, support, guesses = weights @ (actual * said), weights @ actual, weights @ said
        accuracies.append(hits.sum(axis=1) / rows)
        present = support + guesses
        f1 = np.divide(2 * hits, present, out=np.zeros_like(hits), where=present > 0)
        scores.append(f1.sum(axis=1) / (present > 0).sum(axis=1))
    return {"accuracy": _interval(np.mean(accuracies, axis=0)), "macro_f1": _interval(np.mean(scores, axis=0))}


def mcnemar(first: np.ndarray, second: np.ndarray) -> tuple[int, int, float]:
    """McNemar's test on paired answers, two-sided, exact: among the rows that one model gets right and the other wrong, the right ones
    of either are a fair coin's if both are equally good (Dietterich 1998, section 3.1; the binomial instead of its approximation).

    Args:
        first, second: whether each row was answered rightly, [N] bool.

    Returns:
        rows only the first got right, rows only the second got right, p.
    """
    from scipy.stats import binomtest

    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    discordant = only_first + only_second
    return only_first, only_second, float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


def compare(right: dict[str, np.ndarray]) -> list[Pair]:
    """Every pair of models, Holm-corrected, the surest difference first.

    The seeds of a model share the test rows, so their tests are not independent: they are merged as twice their median, which is a
    valid p-value whatever the dependence (Rueschendorf 1982; Vovk & Wang 2020).

    Args:
        right: model -> [S, N] bool.
    """
    names = list(right)
    pairs = []
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            tests = [mcnemar(a, b) for a, b in zip(right[first], right[second], strict=True)]
            p_values = [p for _, _, p in tests]
            p = p_values[0] if len(p_values) == 1 else min(1.0, 2 * float(np.median(p_values)))
            wins = [float(np.mean([test[i] for test in tests])) for i in (0, 1)]
            difference = float(right[first].mean() - right[second].mean())
            pairs.append(Pair(first, second, wins[0], wins[1], difference, p))
    return holm(pairs)


def holm(pairs: Sequence[Pair]) -> list[Pair]:
    """Holm's step-down correction (1979): the chance that any of the differences called real is none stays below the level."""
    ordered = sorted(pairs, key=lambda pair: pair.p)
    corrected, largest = [], 0.0
    for place, pair in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - place) * pair.p))
        corrected.append(Pair(pair.first, pair.second, pair.only_first, pair.only_second, pair.difference, pair.p, largest))
    return corrected


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation over seeds; 0 for a single seed."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _interval(values: np.ndarray) -> Interval:
    """The first value is the figure itself, the others are its draws."""
    low, high = np.quantile(values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(values[0]), float(low), float(high))
