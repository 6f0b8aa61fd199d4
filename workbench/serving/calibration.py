"""What a prompt says before it has read anything, and how predictions take it off.

    contextual (Zhao et al. 2021, section 4)     p(c | x) / p_cf(c), p_cf the mean over content-free inputs such as "N/A"
    pmi (Holtzman et al. 2021, equation 4)       log P(w | prompt) - log P(w | domain prompt), the template with empty fields

Both subtract one number per class from a template's scores: class scores are weighted means over words, so the difference of a
class's scores is the weighted mean of its words' differences. What is subtracted depends on the weights of the model and is
computed again when they have changed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from workbench.data.dataset import InputExample
from workbench.prompts.verbalizers.verbalizer import Diagnosis

if TYPE_CHECKING:
    from workbench.serving.classifier import PromptClassifier

SKEWED = 0.5
"""Share of the greatest possible entropy below which a prior is called skewed; for two classes that is 89 to 11."""


class Calibration:
    """The offsets of one classifier's templates, kept until a weight changes. Owned by the classifier."""

    def __init__(self, classifier: PromptClassifier) -> None:
        self._classifier = classifier
        self._kept: tuple[Any, list[Tensor]] | None = None

    def offsets(self) -> list[Tensor] | None:
        """For each template [C], to be subtracted from its class log-probabilities; None without calibration. Call in evaluation mode."""
        options = self._classifier.verbalizer.options
        if options.calibration == "none":
            return None
        key = self._state()
        if self._kept is None or self._kept[0] != key:
            texts = [""] if options.calibration == "pmi" else options.content_free
            self._kept = (key, [mean_log(rows) for rows in contentless(self._classifier, texts)])
        return self._kept[1]

    def forget(self) -> None:
        """The next offsets are computed anew."""
        self._kept = None

    def _state(self) -> tuple[Any, ...]:
        """Changes when weights are loaded or replaced: torch counts the in-place changes of every tensor, though not those of a fused
        optimizer, which `PromptClassifier.weights_changed` is for."""
        tensors = [*self._classifier.loaded.model.parameters()]
        for verbalizer in self._classifier.distinct_verbalizers:
            tensors += [*verbalizer.state().values(), *(verbalizer.module.parameters() if verbalizer.module is not None else ())]
        return tuple((id(tensor), tensor._version) for tensor in tensors)


def contentless(classifier: PromptClassifier, texts: list[str]) -> list[Tensor]:
    """Class log-probabilities [number of texts, C] of each template with every field filled by each text."""
    rows = [InputExample(str(number), dict.fromkeys(classifier.fields, text), None) for number, text in enumerate(texts)]
    return classifier.template_log_probabilities(classifier.encode(rows))


def mean_log(rows: Tensor) -> Tensor:
    """Log of the mean probability of rows of log-probabilities: [n, C] to [C]."""
    return torch.logsumexp(rows, dim=0) - math.log(len(rows))


def skew(prior: dict[str, float]) -> Diagnosis | None:
    """A warning when one class has nearly all of a prior, so that the text can hardly change the answer.

    Args:
        prior: label -> probability on content-free input, as `PromptClassifier.prior` gives it.
    """
    entropy = -sum(p * math.log(p) for p in prior.values() if p > 0)
    if len(prior) < 2 or entropy >= SKEWED * math.log(len(prior)):
        return None
    label = max(prior, key=prior.__getitem__)
    share = f"{prior[label]:.0%}"
    message = f"Before it has read a text, this prompt says '{label}' with {share}: calibrate, or choose other words or another template."
    return Diagnosis("skew", message, {"label": label, "share": share})
