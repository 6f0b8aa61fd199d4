"""What the checks look at: the recipe, its rows and prompt as the model sees them, and the events of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from workbench.data.conversations import conversations, load_conversations
from workbench.data.dataset import InputExample, Splits, load_splits
from workbench.data.readers import read_table
from workbench.data.table import rows_where
from workbench.errors import WorkbenchError
from workbench.recipe import Recipe

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel
    from workbench.models.pool import ModelPool

ROWS_ENCODED = 256
Contents = tuple[list[tuple[str, ...]], list[tuple[str, ...]]]


@dataclass(frozen=True)
class Seen:
    """What a run has said so far; all empty before it starts.

    Args:
        steps, losses: of every training step.
        evaluations: content of its evaluation events, oldest first.
        rate: the peak learning rate.
        failed: the message of the error that ended it.
    """

    steps: Sequence[int] = ()
    losses: Sequence[float] = ()
    evaluations: Sequence[dict[str, Any]] = ()
    rate: float | None = None
    failed: str = ""


@dataclass(frozen=True)
class Written:
    """Rows for a model that writes.

    Args:
        asked, unanswered: rows of the training file with a question, and those of them without an answer.
        contents: questions of the training and of the validation rows.
        lengths: tokens of the first training rows' whole conversations, uncut.
        answers: tokens of their first answers.
    """

    asked: int
    unanswered: int
    contents: Contents
    lengths: Sequence[int] = ()
    answers: Sequence[int] = ()


@dataclass(frozen=True)
class Evidence:
    """Everything that a check may look at.

    Args:
        splits: training and validation rows; None where they cannot be read or the task has no classes.
        usual_rate: the learning rate that `auto` stands for.
        prior: label -> probability before a text is read, for prompts with label words and no calibration.
        lengths: tokens of the first training rows' prompts, uncut.
        longest: tokens that the model has positions for.
        written: the rows of a task without classes; None where they cannot be read.
    """

    recipe: Recipe
    seen: Seen = field(default_factory=Seen)
    splits: Splits | None = None
    usual_rate: float | None = None
    prior: dict[str, float] | None = None
    lengths: Sequence[int] = ()
    longest: int | None = None
    written: Written | None = None

    @property
    def contents(self) -> Contents:
        """What the training rows and the validation rows ask, without label or answer."""
        if self.splits is not None:
            train, validation = self.splits.train.examples, self.splits.validation.examples
            return [example.content for example in train], [example.content for example in validation]
        return self.written.contents if self.written is not None else ([], [])

    @property
    def per_class(self) -> Counter[str]:
        """Training rows of each label."""
        return Counter(str(example.label) for example in self.splits.train.examples) if self.splits else Counter()


def gather(recipe: Recipe, pool: ModelPool, seen: Seen | None = None) -> Evidence:
    """The evidence about a recipe, read from its files and its model; what cannot be read is left out, and the run itself will say why."""
    evidence = Evidence(recipe, seen or Seen())
    try:
        if recipe.task == "generation":
            evidence = replace(evidence, written=_written(recipe))
            return _with_conversations(evidence, pool)
        evidence = replace(evidence, splits=load_splits(recipe.data))
        return _with_prompt(evidence, pool)
    except WorkbenchError:
        return evidence


def _written(recipe: Recipe) -> Written:
    table = rows_where(read_table(recipe.data.train, encoding=recipe.data.encoding), recipe.data.only)
    asked = [row for row in conversations(table, recipe.data.columns) if any(text.strip() for text in row.fields.values())]
    splits = load_conversations(recipe.data)
    contents = ([(row.content,) for row in splits.train], [(row.content,) for row in splits.validation])
    return Written(len(asked), sum(not row.turns for row in asked), contents)


def _with_conversations(evidence: Evidence, pool: ModelPool) -> Evidence:
    from workbench.serving.classifier import model_max_length
    from workbench.serving.generator import Generator

    assert evidence.written is not None
    loaded, rows = pool.get(evidence.recipe.model), load_conversations(evidence.recipe.data).train[:ROWS_ENCODED]
    lengths = Generator(loaded, None, evidence.recipe).encoder.whole_lengths(rows)
    answers = loaded.tokenizer([row.turns[0].text for row in rows], add_special_tokens=False).input_ids if rows else []
    written = replace(evidence.written, lengths=lengths, answers=[len(ids) for ids in answers])
    usual = _usual_rate(evidence.recipe, loaded)
    return replace(evidence, written=written, usual_rate=usual, longest=model_max_length(loaded))


def _usual_rate(recipe: Recipe, loaded: LoadedModel) -> float:
    from workbench.methods import check_method, method_class
    from workbench.methods.manifest import rate_for

    return rate_for(loaded.model, method_class(check_method(recipe.method).name).rates)


def _with_prompt(evidence: Evidence, pool: ModelPool) -> Evidence:
    from workbench.serving.classifier import PromptClassifier, model_max_length
    from workbench.serving.own_numbers import own_numbers
    from workbench.serving.predictor import untuned

    assert evidence.splits is not None
    recipe, labels = evidence.recipe, evidence.splits.labels
    loaded = pool.get(recipe.model)
    usual = _usual_rate(recipe, loaded)
    with own_numbers():
        classifier = PromptClassifier(loaded, untuned(recipe.prompt), labels)
    rows: list[InputExample] = evidence.splits.train.examples[:ROWS_ENCODED]
    encoded = classifier.encode(rows)
    lengths = [max(len(e.input_ids) + e.removed_tokens for e in example.variants) for example in encoded]
    prior = _prior(classifier)
    return replace(evidence, usual_rate=usual, prior=prior, lengths=lengths, longest=model_max_length(loaded))


def _prior(classifier: Any) -> dict[str, float] | None:
    """Only of words: what has to be trained first says nothing of its own, and calibration takes a prior off."""
    words = classifier.verbalizer.options.kind == "manual" and classifier.verbalizer.options.calibration == "none"
    return classifier.prior() if words else None
