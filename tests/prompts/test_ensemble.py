"""PET's numbers against hand computation and the paper's formulas."""

import math
from collections import Counter

import pytest
import torch

from workbench.prompts.ensemble import (
    choose_teachers,
    draw_pseudo_labelled,
    draw_without_labels,
    ensemble_scores,
    generation_counts,
    pattern_weights,
    soft_labels,
)


def test_weights_are_accuracies_before_training():
    assert pattern_weights([0.75, 0.5], "accuracy") == [0.75, 0.5]
    assert pattern_weights([0.75, 0.5], "uniform") == [1.0, 1.0]
    assert pattern_weights([0.0, 0.0], "accuracy") == [1.0, 1.0], "an ensemble of nobody answers nothing"
    assert pattern_weights([None, None], "accuracy") == [1.0, 1.0]


def test_soft_labels_by_hand():
    scores = ensemble_scores([torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0, 0.0]])], [0.5, 1.0])
    # (0.5 * 1 + 1 * 2) / 1.5 = 5/3 and (0.5 * 3 + 0) / 1.5 = 1
    assert scores.tolist()[0] == pytest.approx([5 / 3, 1.0])
    # at T = 2 the difference of 2/3 is 1/3: 1 / (1 + e^(-1/3))
    assert soft_labels(scores, 2.0)[0, 0].item() == pytest.approx(1 / (1 + math.exp(-1 / 3)), abs=1e-12)


def test_log_probabilities_and_logits_make_the_same_soft_labels():
    logits = [torch.randn(5, 3, dtype=torch.float64) for _ in range(4)]
    weights = [0.2, 0.9, 0.5, 0.7]
    from_logits = soft_labels(ensemble_scores(logits, weights), 2.0)
    from_log = soft_labels(ensemble_scores([torch.log_softmax(x, dim=-1) for x in logits], weights), 2.0)
    assert torch.allclose(from_logits, from_log, atol=1e-12)


def test_generations_grow_by_the_papers_factor():
    counts = {"a": 8, "b": 4}
    assert [generation_counts(counts, 5, j) for j in (1, 2)] == [{"a": 40, "b": 20}, {"a": 200, "b": 100}]
    # without labelled rows: 10 in all, balanced, then the same factor
    assert [generation_counts({"a": 0, "b": 0}, 5, j)["a"] for j in (1, 2, 3)] == [5, 25, 125]


def test_teachers_are_others_and_as_many_as_the_paper_says():
    for own in range(12):
        chosen = choose_teachers(12, [own], 0.25, f"seed-{own}")
        assert len(chosen) == round(0.25 * 11) == len(set(chosen)) and own not in chosen
        assert chosen == choose_teachers(12, [own], 0.25, f"seed-{own}")
    assert len(choose_teachers(2, [0], 0.25, "s")) == 1
    assert {tuple(choose_teachers(12, [0], 0.25, str(seed))) for seed in range(20)} != {tuple(choose_teachers(12, [0], 0.25, "0"))}


def test_pseudo_labels_are_the_teachers_and_no_row_comes_twice():
    scores = torch.randn(200, 3, generator=torch.Generator().manual_seed(1)) * 3
    drawn = draw_pseudo_labelled(scores, ("a", "b", "c"), {"a": 10, "b": 0, "c": 1000}, "seed")
    rows = [row for row, _ in drawn]
    assert len(set(rows)) == len(rows)
    assert all("abc"[int(scores[row].argmax())] == label for row, label in drawn)
    counts = Counter(label for _, label in drawn)
    assert counts["a"] == 10 and counts["b"] == 0 and counts["c"] == int((scores.argmax(dim=1) == 2).sum())


def test_confident_rows_are_drawn_in_proportion():
    # softmax of [0, log(p / (1 - p))] is p for the second class
    scores = torch.tensor([[0.0, math.log(p / (1 - p))] for p in (0.9, 0.6)])
    draws = Counter(draw_pseudo_labelled(scores, ("x", "y"), {"x": 0, "y": 1}, str(seed))[0][0] for seed in range(4000))
    assert draws[0] / 4000 == pytest.approx(0.9 / 1.5, abs=0.03)


def test_the_first_sets_without_labels_come_from_the_hundred_most_confident():
    scores = torch.stack([torch.linspace(5, 0, 400), torch.zeros(400)], dim=1)  # every row is of the first class
    drawn = draw_without_labels(scores, ("a", "b"), {"a": 5, "b": 5}, "seed")
    assert Counter(label for _, label in drawn) == {"a": 5, "b": 5}
    assert all(row < 100 for row, label in drawn if label == "a") and all(row >= 300 for row, label in drawn if label == "b")
