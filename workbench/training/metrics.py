"""What an evaluation reports: accuracy, macro-F1, loss, figures per class and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def classification_metrics(log_probs: Any, labels: Sequence[int], names: Sequence[str] | None = None) -> dict[str, Any]:
    """Plain numbers and lists, ready for JSON.

    Args:
        log_probs: [N, C] class log-probabilities, a tensor or an array; N is at least 1.
        labels: N class numbers.
        names: C label names; class numbers when left out.

    Returns:
        accuracy, macro_f1 (mean over the classes that occur in the labels or in the predictions, as scikit-learn does), loss (mean
        negative log-likelihood, nats), per_class (label, precision, recall, f1, support), confusion[true][predicted], labels.
    """
    scores = np.asarray(log_probs, dtype=np.float64)
    truth = np.asarray(labels, dtype=np.int64)
    names = [str(number) for number in range(scores.shape[1])] if names is None else names
    predicted = scores.argmax(axis=1)
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    hits, support, guesses = confusion.diagonal().astype(float), confusion.sum(axis=1), confusion.sum(axis=0)
    precision = _ratio(hits, guesses)
    recall = _ratio(hits, support)
    f1 = _ratio(2 * hits, support + guesses)
    present = (support + guesses) > 0
    per_class = [
        {"label": name, "precision": float(precision[i]), "recall": float(recall[i]), "f1": float(f1[i]), "support": int(support[i])}
        for i, name in enumerate(names)
    ]
    return {
        "accuracy": float((predicted == truth).mean()),
        "macro_f1": float(f1[present].mean()),
        "loss": float(-scores[np.arange(len(truth)), truth].mean()),
        "per_class": per_class,
        "confusion": confusion.tolist(),
        "labels": list(names),
    }


def only_class(confusion: Sequence[Sequence[int]]) -> int | None:
    """The class that every row is called though the rows are of several; None where more than one is predicted.

    Args:
        confusion: counts [true][predicted]; may be empty.
    """
    if not len(confusion):
        return None
    guesses, truth = np.sum(confusion, axis=0), np.sum(confusion, axis=1)
    alike = np.count_nonzero(guesses) == 1 and np.count_nonzero(truth) > 1
    return int(guesses.argmax()) if alike else None


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros(len(numerator)), where=denominator > 0)
