"""The rows that tell most about a classifier: those it is surest of, rightly and wrongly, and those that cost it most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.data.dataset import InputExample
from workbench.data.table import shorten

MOST_ROWS = 5
LONGEST_TEXT = 160
KINDS = ("surest_wrong", "highest_loss", "surest_right")


def telling_rows(log_probs: Any, examples: Sequence[InputExample], names: Sequence[str]) -> list[dict[str, Any]]:
    """At most `MOST_ROWS` of each of `KINDS`, ready for JSON; a row that is of two kinds, as with two classes most are, stands once.

    Args:
        log_probs: [N, C] class log-probabilities, a tensor or an array.
        examples: N rows whose labels are among `names`.
        names: C label names.

    Returns:
        Of each row kinds, line (in its file), text (its fields, cut to `LONGEST_TEXT` characters), label, predicted, probability (of
        what was predicted) and loss (negative log-likelihood of the label, nats).
    """
    scores = np.asarray(log_probs, dtype=np.float64)
    numbers = {name: number for number, name in enumerate(names)}
    truth = np.array([numbers[str(example.label)] for example in examples], dtype=np.int64)
    rows = np.arange(len(truth))
    predicted = scores.argmax(axis=1)
    sureness, losses = scores[rows, predicted], -scores[rows, truth]
    wrong = predicted != truth
    chosen = {
        "surest_wrong": _highest(sureness, rows[wrong]),
        "highest_loss": _highest(losses, rows),
        "surest_right": _highest(sureness, rows[~wrong]),
    }
    kinds: dict[int, list[str]] = {}
    for kind in KINDS:
        for row in chosen[kind]:
            kinds.setdefault(int(row), []).append(kind)
    return [
        {
            "kinds": found, "line": examples[row].line, "text": _text(examples[row]), "label": names[truth[row]],
            "predicted": names[predicted[row]], "probability": round(float(np.exp(sureness[row])), 6), "loss": round(float(losses[row]), 6),
        }
        for row, found in kinds.items()
    ]  # fmt: skip


def _highest(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Those of `rows` with the highest values, the highest first; of equal ones the earlier."""
    return rows[np.argsort(-values[rows], kind="stable")[:MOST_ROWS]]


def _text(example: InputExample) -> str:
    return shorten(" \u00b7 ".join(value for value in example.fields.values() if value.strip()), LONGEST_TEXT)
