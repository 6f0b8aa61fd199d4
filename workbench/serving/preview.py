"""What the model makes of a prompt, row by row: the tokens with their roles, the top predictions, the label words, the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from workbench.prompts.encoding import Encoding, PromptEncoder
from workbench.prompts.soft import SoftSlots
from workbench.prompts.template import parse_template
from workbench.serving.classifier import PromptClassifier
from workbench.serving.predictor import untuned

if TYPE_CHECKING:
    from workbench.data.dataset import InputExample
    from workbench.models.loading import LoadedModel
    from workbench.recipe import PromptPart


@dataclass(frozen=True)
class PreviewToken:
    """One token as text. Role: text:FIELD, template, mask, special or soft."""

    text: str
    role: str


@dataclass(frozen=True)
class PreviewRow:
    """One example: tokens and top predictions under the first template, the probabilities over all templates.

    Args:
        tokens: the prompt as the model reads it; for a causal model the mask itself is not part of it.
        removed_tokens: tokens of the fields that were cut to make room.
        top: the most probable tokens at the first mask with their probabilities; empty where the template has no mask.
        label_words: label -> word -> probability over the whole vocabulary; without words in a verbalizer that has none.
        class_probabilities: label -> probability.
    """

    example: InputExample
    tokens: list[PreviewToken]
    removed_tokens: int
    top: list[tuple[str, float]]
    label_words: dict[str, dict[str, float]]
    class_probabilities: dict[str, float]


def preview(
    loaded: LoadedModel,
    prompt: PromptPart,
    labels: tuple[str, ...],
    examples: Sequence[InputExample],
    *,
    k: int = 10,
    fit_on: Sequence[InputExample] = (),
) -> list[PreviewRow]:
    """One row per example; the examples' labels are not needed and may be anything.

    Args:
        fit_on: labelled rows for a verbalizer that learns from them before any training.

    Raises:
        TemplateError, VerbalizerError: as `PromptClassifier`.
    """
    if not examples:
        return []
    classifier = PromptClassifier(loaded, untuned(prompt), labels)
    classifier.fit(fit_on)
    unlabelled = [replace(example, label=None) for example in examples]
    probabilities = classifier.predict(unlabelled).tolist()
    words = classifier.label_word_probabilities(unlabelled)
    masks = 1 if loaded.kind == "causal" else classifier.verbalizer.mask_counts[0]
    encodings = _shown_encoder(loaded, prompt, classifier).encode_many([example.fields for example in examples], masks=masks)
    return [
        PreviewRow(
            example=example,
            tokens=preview_tokens(encoding, loaded.tokenizer),
            removed_tokens=encoding.removed_tokens,
            top=next(iter(classifier.top_predictions(example.fields, k)), []),
            label_words=_by_label(classifier, word_row),
            class_probabilities=dict(zip(labels, row, strict=True)),
        )
        for example, encoding, word_row, row in zip(examples, encodings, words, probabilities, strict=True)
    ]


def _shown_encoder(loaded: LoadedModel, prompt: PromptPart, classifier: PromptClassifier) -> PromptEncoder:
    """The encoder of the first template with its soft tokens, which the untuned model is asked without."""
    template = parse_template(prompt.templates[0], needs_mask=False)
    if all(piece.kind != "soft" for piece in template.pieces):
        return classifier.encoders[0]
    soft = SoftSlots(loaded.tokenizer, start=len(loaded.tokenizer), length=1, templates=prompt.templates[:1])
    causal = loaded.kind == "causal"
    return PromptEncoder(template, loaded.tokenizer, max_length=classifier.max_length, causal=causal, soft=soft)


def preview_tokens(encoding: Encoding, tokenizer: Any) -> list[PreviewToken]:
    """The encoding's tokens as text, each with its role. Soft tokens, which have no text, are shown as [SOFT]."""
    tokens = []
    for span in encoding.spans:
        role = f"text:{span.field}" if span.field is not None else span.role
        for token in encoding.input_ids[span.start : span.end]:
            tokens.append(PreviewToken("[SOFT]" if span.role == "soft" else tokenizer.decode([token]), role))
    return tokens


def _by_label(classifier: PromptClassifier, probabilities: dict[str, float]) -> dict[str, dict[str, float]]:
    grouped: dict[str, dict[str, float]] = {label: {} for label in classifier.labels}
    for word in classifier.verbalizer.words:
        grouped[classifier.labels[word.label]][word.text] = probabilities[word.text]
    return grouped
