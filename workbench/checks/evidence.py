"""What the checks look at: the recipe, its rows and prompt as the model sees them, and the events of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from workbench.data.dataset import InputExample, Splits, load_splits
from workbench.errors import WorkbenchError
from workbench.recipe import Recipe

if TYPE_CHECKING:
    from workbench.models.pool import ModelPool

ROWS_ENCODED = 256


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
class Evidence:
    """Everything that a check may look at.

    Args:
        splits: training and validation rows; None where they cannot be read or the task has no classes.
        usual_rate: the learning rate that `auto` stands for.
        prior: label -> probability before a text is read, for prompts with label words and no calibration.
        lengths: tokens of the first training rows' prompts, uncut.
        longest: tokens that the model has positions for.
    """

    recipe: Recipe
    seen: Seen = field(default_factory=Seen)
    splits: Splits | None = None
    usual_rate: float | None = None
    prior: dict[str, float] | None = None
    lengths: Sequence[int] = ()
    longest: int | None = None

    @property
    def per_class(self) -> Counter[str]:
        """Training rows of each label."""
        return Counter(str(example.label) for example in self.splits.train.examples) if self.splits else Counter()


def gather(recipe: Recipe, pool: ModelPool, seen: Seen | None = None) -> Evidence:
    """The evidence about a recipe, read from its files and its model; what cannot be read is left out, and the run itself will say why."""
    evidence = Evidence(recipe, seen or Seen())
    if recipe.task != "classification":
        return evidence
    try:
        evidence = replace(evidence, splits=load_splits(recipe.data))
        return _with_prompt(evidence, pool)
    except WorkbenchError:
        return evidence


def _with_prompt(evidence: Evidence, pool: ModelPool) -> Evidence:
    from workbench.methods import check_method, method_class
    from workbench.methods.manifest import hidden_size
    from workbench.serving.classifier import PromptClassifier, model_max_length
    from workbench.serving.predictor import untuned

    assert evidence.splits is not None
    recipe, labels = evidence.recipe, evidence.splits.labels
    loaded = pool.get(recipe.model)
    small, base, large = method_class(check_method(recipe.method).name).rates
    hidden = hidden_size(loaded.model)
    usual = small if hidden <= 512 else base if hidden <= 1024 else large
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
