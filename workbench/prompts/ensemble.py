"""PET's arithmetic: weighted ensembles, soft labels, and the growing training sets of iPET (Schick & Schuetze 2021, sections 3.2 to 3.4).

Pure functions of numbers and a seed; trainings are somebody else's (`workbench.runs.pet`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

ZERO_SHOT_ROWS = 10
ZERO_SHOT_CANDIDATES = 100


def pattern_weights(accuracies: Sequence[float | None], weighting: str) -> list[float]:
    """w(p) of every pattern: its accuracy on the training rows before training, or 1 for all (section 3.2). Never all zero.

    Args:
        accuracies: one per pattern; None where there are no training rows.
        weighting: accuracy or uniform.
    """
    weights = [accuracy or 0.0 for accuracy in accuracies]
    if weighting == "uniform" or not any(weights):
        return [1.0] * len(weights)
    return weights


def ensemble_scores(scores: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """s_M(l|x) = sum_p w(p) s_p(l|x) / sum_p w(p) (equation 5).

    Args:
        scores: one [N, C] per model, logits or log-probabilities: they differ by a constant per row, which no softmax sees.
        weights: one per model.
    """
    mixed = sum(weight * score.double() for score, weight in zip(scores, weights, strict=True))
    return torch.as_tensor(mixed) / sum(weights)


def soft_labels(scores: Tensor, temperature: float) -> Tensor:
    """q = softmax(s_M / T), [N, C] (section 3.2, step 2)."""
    return torch.softmax(scores.double() / temperature, dim=-1)


def generation_counts(counts: dict[str, int], growth: float, generation: int) -> dict[str, int]:
    """c_j(l) = d c_{j-1}(l): rows per label in generation j >= 1 (section 3.4). Without labelled rows c_1(l) = 10 / |L|.

    Args:
        counts: c_0(l), labelled rows per label.
        growth: d.
    """
    if not any(counts.values()):
        first = max(1, round(ZERO_SHOT_ROWS / len(counts)))
        return {label: round(first * growth ** (generation - 1)) for label in counts}
    return {label: round(count * growth**generation) for label, count in counts.items()}


def choose_teachers(models: int, own: Sequence[int], share: float, seed: str) -> list[int]:
    """lambda (n - 1) models, at least one, drawn from the models that are not `own` (section 3.4, step 1).

    Args:
        models: how many there are.
        own: those that must not teach: the model itself.
        share: lambda.
    """
    others = [index for index in range(models) if index not in own] or list(range(models))
    return sorted(random.Random(seed).sample(others, max(1, min(len(others), round(share * (models - 1))))))


def draw_pseudo_labelled(scores: Tensor, labels: Sequence[str], wanted: dict[str, int], seed: str) -> list[tuple[int, str]]:
    """Rows of the pool that enter a training set with their label (section 3.4, step 2): for each label l, `wanted[l]` rows among those
    the teachers give it, drawn without replacement with probability proportional to s_N(l|x).

    Args:
        scores: [N, C] of the teachers' ensemble; the softmax is s_N(l|x).

    Returns:
        (row, label); fewer than wanted of a label when the pool holds fewer.
    """
    confidence = torch.softmax(scores.double(), dim=-1)
    best = confidence.argmax(dim=-1)
    drawn = []
    for place, label in enumerate(labels):
        rows = (best == place).nonzero().flatten().tolist()
        drawn += [(row, label) for row in _sample(rows, confidence[:, place], wanted[label], f"{seed}-{label}")]
    return drawn


def draw_without_labels(scores: Tensor, labels: Sequence[str], wanted: dict[str, int], seed: str) -> list[tuple[int, str]]:
    """The first training sets of zero-shot iPET: for each label `wanted[l]` of the 100 rows with the highest s_N(l|x), whatever their best
    label is, since the untrained models may never predict some label (section 3.4). Arguments and answer as `draw_pseudo_labelled`."""
    confidence = torch.softmax(scores.double(), dim=-1)
    drawn = []
    for place, label in enumerate(labels):
        order = torch.argsort(confidence[:, place], descending=True, stable=True).tolist()
        drawn += [(row, label) for row in _sample(order[:ZERO_SHOT_CANDIDATES], None, wanted[label], f"{seed}-{label}")]
    return drawn


def _sample(rows: list[int], weights: Tensor | None, count: int, seed: str) -> list[int]:
    """Up to `count` of `rows` without replacement, all alike or in proportion to their weight."""
    draw = random.Random(seed)
    # Efraimidis and Spirakis 2006: the largest u^(1/w) are a weighted sample without replacement.
    keys = {row: draw.random() ** (1 / max(float(weights[row]), 1e-12) if weights is not None else 1) for row in rows}
    return sorted(sorted(rows, key=lambda row: (-keys[row], row))[:count])
