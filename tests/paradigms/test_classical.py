"""The linear models against direct scikit-learn calls, and their files."""

import json

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.svm import LinearSVC

from workbench.paradigms.classical import WORD_PATTERN, Classical, LinearText
from workbench.paradigms.paradigm import Task
from workbench.recipe import PRESETS, Recipe
from workbench.training.control import Control

DIRECT = {"naive_bayes": MultinomialNB, "logistic_regression": LogisticRegression, "linear_svm": LinearSVC}
DATA = {"en": "en_movie_reviews.csv", "zh": "zh_product_reviews.csv", "sources": "en_text_sources.csv"}


def task(data, method, shots=60, validation=120):
    split = {"shots": shots, "validation": validation, "seed": 13}
    return Task(Recipe().replace({"data.train": str(PRESETS / "data" / DATA[data]), "data.split": split}), method)


@pytest.mark.parametrize("method", list(DIRECT))
@pytest.mark.parametrize("data", list(DATA))
def test_a_cell_is_what_scikit_learn_says_on_the_same_split(tmp_path, data, method):
    work = task(data, method)
    figures = Classical().fit(work, tmp_path, Control(), None)
    opened = Classical().open(work, tmp_path, None)
    train, held = work.splits.train.examples, work.splits.validation.examples
    features = {name: figures.settings[name] for name in ("analyzer", "ngram_range", "min_df")}
    options = {name: value for name, value in figures.settings.items() if name not in (*features, "features")}
    pattern = WORD_PATTERN if features["analyzer"] == "word" else None
    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=pattern, **features).fit([e.fields["text"] for e in train])
    if method == "linear_svm":
        options["random_state"] = 0
    direct = DIRECT[method](**options).fit(vectorizer.transform([e.fields["text"] for e in train]), [e.label for e in train])
    matrix = vectorizer.transform([e.fields["text"] for e in held])
    rows = np.array(opened.probabilities([e.fields for e in held]))
    assert [opened.labels[i] for i in rows.argmax(axis=1)] == direct.predict(matrix).tolist()
    assert figures.validation["accuracy"] == pytest.approx(direct.score(matrix, [e.label for e in held]))
    if method != "linear_svm":
        assert rows == pytest.approx(direct.predict_proba(matrix), abs=1e-9)
    assert rows.sum(axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize(("data", "analyzer"), [("en", "word"), ("zh", "char")])
def test_the_script_of_the_text_decides_between_words_and_characters(tmp_path, data, analyzer):
    assert Classical().fit(task(data, "naive_bayes", shots=8), tmp_path, Control(), None).settings["analyzer"] == analyzer


def test_what_speaks_for_an_answer_adds_up_to_its_score(tmp_path):
    """A linear model's score is the sum of its features' shares and the intercept."""
    work = task("en", "logistic_regression")
    Classical().fit(work, tmp_path, Control(), None)
    opened = LinearText.load(tmp_path / "final")
    fields = work.splits.validation.examples[0].fields
    why = opened.why(fields, opened.labels[1])
    score = opened.estimator.decision_function(opened.vectorizer.transform([fields["text"]]))[0]
    assert sum(reason.weight for reason in why.reasons) + opened.estimator.intercept_[0] == pytest.approx(score, abs=1e-9)
    assert [reason.start for reason in why.reasons] == sorted(reason.start for reason in why.reasons) and why.phrases


def test_characters_speak_too(tmp_path):
    work = task("zh", "linear_svm")
    Classical().fit(work, tmp_path, Control(), None)
    opened = LinearText.load(tmp_path / "final")
    fields = {"text": "这个手机很好OK"}
    why = opened.why(fields, opened.labels[0])
    margin = opened.estimator.decision_function(opened.vectorizer.transform([fields["text"]]))[0] - opened.estimator.intercept_[0]
    assert why.text == fields["text"] and sum(reason.weight for reason in why.reasons) == pytest.approx(-margin, abs=1e-9)


def test_a_stop_is_obeyed_between_candidates(tmp_path):
    control = Control()
    control.request_stop()
    assert Classical().fit(task("en", "naive_bayes"), tmp_path, control, None) is None
    assert not (tmp_path / "final").exists()


def test_files_hold_no_code(tmp_path):
    Classical().fit(task("en", "naive_bayes", shots=8), tmp_path, Control(), None)
    assert {file.name for file in (tmp_path / "final").iterdir()} == {"linear.json", "linear.safetensors", "manifest.json"}
    assert json.loads((tmp_path / "final" / "linear.json").read_text())["method"] == "naive_bayes"


@pytest.mark.slow
@pytest.mark.parametrize("method", list(DIRECT))
@pytest.mark.parametrize(("data", "least"), [("en", 0.755), ("zh", 0.79)])
def test_all_rows_reach_an_honest_strength(tmp_path, data, least, method):
    """Rows not seen: 1,000 held out by the recipe's seed, of which 300 choose; the figures are of the other 700, whose standard error is
    1.5 points. On the board's own test rows README has 0.783 to 0.790 in English and 0.811 to 0.827 in Chinese."""
    work = task(data, method, shots=None, validation=1000)
    held = work.splits.validation.examples
    chosen, unseen = held[:300], held[300:]
    work.splits.validation.examples[:] = chosen
    Classical().fit(work, tmp_path, Control(), None)
    opened = LinearText.load(tmp_path / "final")
    rows = np.array(opened.probabilities([e.fields for e in unseen]))
    right = [opened.labels[i] == e.label for i, e in zip(rows.argmax(axis=1), unseen, strict=True)]
    assert np.mean(right) >= least
