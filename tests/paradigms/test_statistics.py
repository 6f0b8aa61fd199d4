"""Figures against scipy, scikit-learn and closed forms."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from workbench.paradigms.statistics import Pair, bootstrap, compare, holm, mcnemar, spread


def answers(rows=300, seeds=2, classes=3, share=0.7):
    generator = np.random.default_rng(5)
    truth = generator.integers(classes, size=rows)
    wrong = generator.integers(classes, size=(seeds, rows))
    return truth, np.where(generator.random((seeds, rows)) < share, truth, wrong)


def test_the_figures_are_scikit_learns():
    truth, predicted = answers()
    found = bootstrap(truth, predicted, 3)
    assert found["accuracy"].value == pytest.approx((predicted == truth).mean())
    assert found["macro_f1"].value == pytest.approx(np.mean([f1_score(truth, line, average="macro") for line in predicted]))


def test_the_interval_is_as_wide_as_theory_says():
    """For one model accuracy is a mean of independent rows: its standard error is sqrt(p (1 - p) / n)."""
    truth, predicted = answers(rows=400, seeds=1)
    found = bootstrap(truth, predicted, 3, rounds=4000)["accuracy"]
    error = np.sqrt(found.value * (1 - found.value) / 400)
    assert found.low < found.value < found.high
    assert (found.high - found.low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.06)


def test_macro_f1_leaves_out_classes_that_occur_nowhere():
    truth, predicted = np.array([0, 1, 0, 1]), np.array([[0, 1, 1, 1]])
    assert bootstrap(truth, predicted, 5)["macro_f1"].value == pytest.approx(f1_score(truth, predicted[0], average="macro"))


def test_mcnemar_is_the_binomial_over_the_rows_that_only_one_got_right():
    first = np.array([True] * 50 + [True] * 9 + [False] * 2 + [False] * 5)
    second = np.array([True] * 50 + [False] * 9 + [True] * 2 + [False] * 5)
    # 2 * (1 + 11 + 55) / 2^11: at most 2 heads in 11 throws, either way.
    assert mcnemar(first, second) == (9, 2, pytest.approx(2 * 67 / 2048))
    assert mcnemar(first, first) == (0, 0, 1.0)


def test_holm_multiplies_by_what_is_left_and_never_falls():
    pairs = [Pair("a", "b", 0, 0, 0, p) for p in (0.02, 0.01, 0.04)]
    assert [(pair.p, pair.adjusted) for pair in holm(pairs)] == [(0.01, pytest.approx(0.03)), (0.02, 0.04), (0.04, 0.04)]


def test_seeds_are_merged_as_twice_their_median_and_equal_models_never_differ():
    generator = np.random.default_rng(1)
    strong, weak = generator.random((3, 200)) < 0.9, generator.random((3, 200)) < 0.6
    (pair,) = compare({"strong": strong, "weak": weak})
    single = [binomtest(int((a & ~b).sum()), int((a ^ b).sum())).pvalue for a, b in zip(strong, weak, strict=True)]
    assert pair.p == pytest.approx(2 * np.median(single)) and pair.adjusted < 1e-6 and pair.difference > 0.2
    assert compare({"a": strong, "b": strong})[0].adjusted == 1.0


def test_the_spread_is_the_sample_deviation():
    assert spread([0.5, 0.7]) == (pytest.approx(0.6), pytest.approx(np.sqrt(0.02)))
    assert spread([0.5]) == (0.5, 0.0)
