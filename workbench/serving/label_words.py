"""The search for label words by itself: ranked words with their scores, for a person to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.prompts.verbalizers.automatic import AutomaticVerbalizer
from workbench.serving.classifier import PromptClassifier
from workbench.serving.own_numbers import own_numbers
from workbench.serving.predictor import untuned

if TYPE_CHECKING:
    from workbench.data.dataset import InputExample
    from workbench.models.loading import LoadedModel
    from workbench.recipe import PromptPart

Ranking = dict[str, list[tuple[str, float]]]


@own_numbers()
def search_label_words(
    loaded: LoadedModel, prompt: PromptPart, labels: tuple[str, ...], examples: Sequence[InputExample], **options: Any
) -> Ranking:
    """For each label the words that tell it apart best under the prompt's templates, with their likelihood ratios, best first.

    Args:
        prompt: its templates are used, all together; its verbalizer is not.
        examples: labelled rows, of every label.
        options: those of the verbalizer kind `automatic`, such as words_per_label.

    Raises:
        VerbalizerError: an option out of bounds, or a label without rows or words.
        TemplateError: as `PromptClassifier`.
    """
    searching = untuned(prompt).model_copy(update={"verbalizer": {"kind": "automatic", **options}, "template_words": None})
    classifier = PromptClassifier(loaded, searching, labels)
    classifier.fit(examples)
    found = [verbalizer for verbalizer in classifier.distinct_verbalizers if isinstance(verbalizer, AutomaticVerbalizer)]
    if len(found) == 1:
        return found[0].ranking()
    return {label: _best(label, found, classifier) for label in labels}


def _best(label: str, found: Sequence[AutomaticVerbalizer], classifier: PromptClassifier) -> list[tuple[str, float]]:
    """One ranking of those under templates with and without a blank before the mask: a word's highest score counts."""
    scores: dict[str, float] = {}
    for verbalizer in found:
        for word, score in verbalizer.ranking()[label]:
            scores[word] = max(score, scores.get(word, score))
    return sorted(scores.items(), key=lambda item: -item[1])[: classifier.verbalizer.options.words_per_label]
