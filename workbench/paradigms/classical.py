"""Traditional machine learning: TF-IDF features and a linear model, by scikit-learn, every choice made on the validation rows.

Words for text with blanks between them; for text that is mostly Chinese, Japanese or Korean, runs of characters. Vocabulary and
document frequencies come from the training rows alone. A trained cell is arrays and a JSON file: no pickle, and the estimators that
answer are scikit-learn's own with their fitted attributes put back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.data.profile import mostly_ideographs
from workbench.errors import RunError
from workbench.paradigms.paradigm import Figures, OnEvent, Paradigm, Reason, Task, Why, register, text_of, texts_of
from workbench.recipe import MEASURED
from workbench.training.control import Control
from workbench.training.folder import write_folder
from workbench.training.metrics import classification_metrics

if TYPE_CHECKING:
    from workbench.models.pool import ModelPool

# Grids on purpose small: they are searched again for every number of examples and every seed.
WORDS: tuple[dict[str, Any], ...] = (
    {"analyzer": "word", "ngram_range": (1, 1), "min_df": 1},
    {"analyzer": "word", "ngram_range": (1, 2), "min_df": 1},
)
CHARACTERS: tuple[dict[str, Any], ...] = (
    {"analyzer": "char", "ngram_range": (1, 2), "min_df": 1},
    {"analyzer": "char", "ngram_range": (1, 3), "min_df": 2},
)
ESTIMATORS: dict[str, tuple[dict[str, Any], ...]] = {
    "naive_bayes": ({"alpha": 0.1}, {"alpha": 0.3}, {"alpha": 1.0}),
    "logistic_regression": ({"C": 1.0, "max_iter": 1000}, {"C": 5.0, "max_iter": 1000}, {"C": 20.0, "max_iter": 1000}),
    "linear_svm": ({"C": 0.1}, {"C": 0.3}, {"C": 1.0}),
}
FITTED = {
    "naive_bayes": ("class_log_prior_", "feature_log_prob_"),
    "logistic_regression": ("coef_", "intercept_"),
    "linear_svm": ("coef_", "intercept_"),
}
# Beside runs of two letters or more, as scikit-learn's default takes them: marks that carry feeling.
WORD_PATTERN = r"(?u)\b\w\w+\b|[!?]"
SMALLEST = 1e-12
PHRASES = 12


@register
class Classical(Paradigm):
    """Counts words and weighs them. Fast, small, readable, and hard to beat once there are many rows."""

    name = "classical"
    methods = ("naive_bayes", "logistic_regression", "linear_svm")

    def warm(self, task: Task, pool: ModelPool) -> None:
        super().warm(task, pool)
        make_estimator(task.method, ESTIMATORS[task.method][0])

    def fit(self, task: Task, folder: Path, control: Control, pool: ModelPool, on_event: OnEvent | None = None) -> Figures | None:
        """The best of the grid on validation; ties go to the lower loss, then to the earlier candidate."""
        train, validation = task.splits.train.examples, task.splits.validation.examples
        labels = task.splits.labels
        texts, truth = texts_of(train), [str(example.label) for example in train]
        best: LinearText | None = None
        for features in feature_grid(texts):
            vectorizer = make_vectorizer(features)
            try:
                matrix = vectorizer.fit_transform(texts)
            except ValueError:  # min_df left no term, or the texts hold none
                continue
            held = vectorizer.transform(texts_of(validation)) if validation else None
            for options in ESTIMATORS[task.method]:
                if control.stop_requested:
                    return None
                estimator = make_estimator(task.method, options).fit(matrix, truth)
                candidate = LinearText(labels, task.method, features, options, vectorizer, estimator)
                candidate.judge(held, [str(example.label) for example in validation])
                if best is None or candidate.rank > best.rank:
                    best = candidate
        if best is None:
            raise RunError("The training texts hold no word that could be counted.", fix="Choose a text column with words in it.")
        write_folder(folder / "final", best.save)
        return best.figures()

    def open(self, task: Task, folder: Path, pool: ModelPool) -> LinearText:
        return LinearText.load(folder / "final")


class LinearText:
    """A fitted vectorizer and estimator as one answerer. Owned by whoever opened it; answers from several threads."""

    def __init__(
        self, labels: tuple[str, ...], method: str, features: dict[str, Any], options: dict[str, Any], vectorizer: Any, estimator: Any
    ) -> None:
        self.labels, self.method, self.features, self.options = tuple(labels), method, features, options
        self.vectorizer, self.estimator = vectorizer, estimator
        self.scale = 1.0
        self.validation: dict[str, float] | None = None

    def judge(self, held: Any, truth: Sequence[str]) -> None:
        """Measures the validation rows; a margin's scale as a probability is chosen there too and never moves a decision."""
        if held is None:
            return
        numbers = [self.labels.index(label) for label in truth]
        if self.method == "linear_svm":
            self.scale = _fitted_scale(self._scores(held), numbers)
        metrics = classification_metrics(self._log_probabilities(held), numbers, self.labels)
        self.validation = {name: metrics[name] for name in MEASURED["classification"]}

    @property
    def rank(self) -> tuple[float, float]:
        """Orders candidates; one that was never judged is as good as any."""
        return (self.validation["accuracy"], -self.validation["loss"]) if self.validation else (0.0, 0.0)

    def probabilities(self, fields: Sequence[dict[str, str]], *, batch_size: int = 32) -> list[list[float]]:
        """Class probabilities [N][C]. A linear SVM's are a softmax over scaled margins (Guo et al. 2017, temperature scaling)."""
        if not fields:
            return []
        return np.exp(self._log_probabilities(self.vectorizer.transform([text_of(row) for row in fields]))).tolist()

    def why(self, fields: dict[str, str], label: str) -> Why:
        """Each feature's share in the score of `label`, spread evenly over the characters of its occurrences."""
        text = text_of(fields)
        weights = self._weights(self.labels.index(label))
        row = self.vectorizer.transform([text])
        value = dict(zip(row.indices.tolist(), row.data.tolist(), strict=True))
        share = np.zeros(len(text))
        places = list(self._occurrences(text))
        counts: dict[str, int] = {}
        for term, _, _ in places:
            counts[term] = counts.get(term, 0) + 1
        phrases: dict[str, float] = {}
        for term, start, end in places:
            column = self.vectorizer.vocabulary_.get(term)
            if column is not None and column in value:
                weight = value[column] * weights[column]
                phrases[term] = weight
                share[start:end] += weight / counts[term] / (end - start)
        strongest = sorted(phrases.items(), key=lambda pair: -abs(pair[1]))[:PHRASES]
        return Why(text, [Reason(a, b, float(share[a:b].sum())) for a, b in self._units(text)], strongest, "contribution")

    def figures(self) -> Figures:
        """Coefficients are what was trained; the inverse document frequencies are needed beside them to answer."""
        arrays = [getattr(self.estimator, name) for name in FITTED[self.method]]
        trained = sum(array.size for array in arrays)
        idf = self.vectorizer.idf_
        settings = {**self.features, **self.options, "features": len(idf)}
        return Figures(trained, trained + idf.size, sum(array.nbytes for array in arrays) + idf.nbytes, self.validation, settings)

    def save(self, folder: Path) -> None:
        """Writes arrays and a JSON file into an existing folder."""
        from safetensors.numpy import save_file

        arrays = {name: np.ascontiguousarray(getattr(self.estimator, name)) for name in FITTED[self.method]}
        save_file({**arrays, "idf": np.ascontiguousarray(self.vectorizer.idf_)}, folder / "linear.safetensors")
        terms = sorted(self.vectorizer.vocabulary_, key=self.vectorizer.vocabulary_.__getitem__)
        content = {
            "labels": self.labels, "method": self.method, "features": self.features, "options": self.options,
            "classes": [str(name) for name in self.estimator.classes_], "scale": self.scale, "validation": self.validation, "terms": terms,
        }  # fmt: skip
        (folder / "linear.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> LinearText:
        """What `save` wrote.

        Raises:
            RunError: its files are missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            content = json.loads((folder / "linear.json").read_text(encoding="utf-8"))
            arrays = load_file(folder / "linear.safetensors")
        except (OSError, ValueError, SafetensorError):
            raise RunError("The files of this linear model are missing or damaged.", fix="Run the board again.") from None
        features = content["features"] | {"ngram_range": tuple(content["features"]["ngram_range"])}
        vectorizer = make_vectorizer(features, vocabulary={term: place for place, term in enumerate(content["terms"])})
        vectorizer.idf_ = arrays["idf"]
        estimator = make_estimator(content["method"], content["options"])
        estimator.classes_ = np.array(content["classes"])
        estimator.n_features_in_ = len(content["terms"])
        for name in FITTED[content["method"]]:
            setattr(estimator, name, arrays[name])
        known = cls(tuple(content["labels"]), content["method"], features, content["options"], vectorizer, estimator)
        known.scale, known.validation = content["scale"], content["validation"]
        return known

    def _scores(self, matrix: Any) -> np.ndarray:
        """Scores [N, C] in the order of `labels`, minus infinity for a class that training rows did not have."""
        if self.method == "linear_svm":
            margin = self.estimator.decision_function(matrix)
            found = np.stack([-margin / 2, margin / 2], axis=1) if margin.ndim == 1 else margin
        else:
            found = np.log(np.clip(self.estimator.predict_proba(matrix), SMALLEST, None))
        scores = np.full((found.shape[0], len(self.labels)), np.log(SMALLEST))
        scores[:, [self.labels.index(str(name)) for name in self.estimator.classes_]] = found
        return scores

    def _log_probabilities(self, matrix: Any) -> np.ndarray:
        scores = self._scores(matrix) * self.scale
        scores = scores - scores.max(axis=1, keepdims=True)
        return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))

    def _weights(self, label: int) -> np.ndarray:
        """Weight of every feature for one class, against the mean of the others."""
        classes = [str(name) for name in self.estimator.classes_]
        if self.labels[label] not in classes:
            return np.zeros(len(self.vectorizer.idf_))
        own = classes.index(self.labels[label])
        if self.method == "naive_bayes":
            table = self.estimator.feature_log_prob_
            return table[own] - np.delete(table, own, axis=0).mean(axis=0)
        table = self.estimator.coef_
        if len(table) == 1:
            return table[0] if own == 1 else -table[0]
        return table[own] - np.delete(table, own, axis=0).mean(axis=0)

    def _units(self, text: str) -> list[tuple[int, int]]:
        """Words, or characters without blanks, as places in the text."""
        pattern = WORD_PATTERN if self.features["analyzer"] == "word" else r"\S"
        return [match.span() for match in re.finditer(pattern, text)]

    def _occurrences(self, text: str) -> Iterator[tuple[str, int, int]]:
        """Every n-gram of the text as the vectorizer spells it, with its place."""
        low, high = self.features["ngram_range"]
        if self.features["analyzer"] == "word":
            units = [(text[a:b].lower(), a, b) for a, b in self._units(text)]
            joint = " "
        else:
            units, joint = _characters(text), ""
        for size in range(low, high + 1):
            for first in range(len(units) - size + 1):
                run = units[first : first + size]
                yield joint.join(unit for unit, _, _ in run), run[0][1], run[-1][2]


def feature_grid(texts: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """Candidates for the TF-IDF features, by the script of the training texts."""
    return CHARACTERS if mostly_ideographs(texts) else WORDS


def make_vectorizer(features: dict[str, Any], vocabulary: dict[str, int] | None = None) -> Any:
    """scikit-learn's TfidfVectorizer with logarithmic term frequencies; a given vocabulary is taken as it is."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    pattern = WORD_PATTERN if features["analyzer"] == "word" else None
    return TfidfVectorizer(sublinear_tf=True, token_pattern=pattern, vocabulary=vocabulary, **features)


def make_estimator(method: str, options: dict[str, Any]) -> Any:
    """scikit-learn's MultinomialNB, LogisticRegression or LinearSVC."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.svm import LinearSVC

    if method == "naive_bayes":
        return MultinomialNB(**options)
    if method == "logistic_regression":
        return LogisticRegression(**options)
    return LinearSVC(random_state=0, **options)


def _characters(text: str) -> list[tuple[str, int, int]]:
    """Characters as the vectorizer counts them: lower case, runs of blanks as one blank."""
    units: list[tuple[str, int, int]] = []
    for place, character in enumerate(text):
        if not character.isspace():
            units.append((character.lower(), place, place + 1))
        elif not units or units[-1][0] != " ":
            units.append((" ", place, place + 1))
    return units


def _fitted_scale(scores: np.ndarray, truth: list[int]) -> float:
    """The positive factor on margins under which the validation rows are most likely."""
    from scipy.optimize import minimize_scalar

    def loss(log_scale: float) -> float:
        scaled = scores * np.exp(log_scale)
        top = scaled.max(axis=1, keepdims=True)
        normalizer = top[:, 0] + np.log(np.exp(scaled - top).sum(axis=1))
        return float((normalizer - scaled[np.arange(len(truth)), truth]).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded").x))
