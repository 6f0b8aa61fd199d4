"""What the model makes of a prompt, row by row: tokens with their roles, what was cut, top predictions at each mask, label words, classes.

Everything comes from one forward pass over the rows, so that it can follow a person's typing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

import torch

from workbench.models.attention import attention_at
from workbench.prompts.encoding import Encoding, PromptEncoder
from workbench.prompts.soft import SoftSlots
from workbench.prompts.template import parse_template
from workbench.prompts.verbalizers.verbalizer import Context
from workbench.prompts.verbalizers.words import WordVerbalizer
from workbench.serving.classifier import PromptClassifier
from workbench.serving.own_numbers import own_numbers
from workbench.serving.predictor import untuned
from workbench.serving.reading import EncodedExample, TemplateReading

if TYPE_CHECKING:
    from workbench.data.dataset import InputExample
    from workbench.models.loading import LoadedModel
    from workbench.recipe import PromptPart


@dataclass(frozen=True)
class MaskTop:
    """What the model would write at one mask.

    Args:
        tokens: the most probable ones with their probabilities, best first.
        behind: what the prompt of a causal model goes on with before this token, the beginning of a label word; empty at its end.
        number: of this mask in its prompt, from 1.
        masks: how many the prompt has: a masked model reads one for each number of tokens that label words have.
    """

    tokens: list[tuple[str, float]]
    behind: str = ""
    number: int = 1
    masks: int = 1


@dataclass(frozen=True)
class PreviewToken:
    """One token as text.

    Args:
        role: text:FIELD, template, mask, special or soft.
        cut: it was left out of the prompt, which is too long.
        attention: share of the mask's attention in the last layer, when asked for; a soft token, which the untuned model does not read,
            has none.
    """

    text: str
    role: str
    cut: bool = False
    attention: float | None = None


@dataclass(frozen=True)
class PreviewPrompt:
    """A prompt as the model reads it.

    Args:
        masks: how many it has; of a causal model, whose prompt ends before the mask, for how many tokens there is room behind it.
        tokens: with what was cut in its place; for a causal model the mask itself is not part of it.
        removed_tokens: tokens of the fields that were cut to make room.
    """

    masks: int
    tokens: list[PreviewToken]
    removed_tokens: int


@dataclass(frozen=True)
class PreviewRow:
    """One example under the first template; the class probabilities are those of all templates together.

    Args:
        prompts: one for each number of masks that label words are read at, the shortest first; a causal model's that are the same, once.
        top: the most probable tokens at each mask of each prompt that the label words are read in.
        label_words: label -> word -> probability over the whole vocabulary.
        masses: number of masks -> how much of their probability the label words of so many tokens hold together.
        class_probabilities: label -> probability.
    """

    example: InputExample
    prompts: list[PreviewPrompt]
    top: list[MaskTop]
    label_words: dict[str, dict[str, float]]
    masses: dict[int, float]
    class_probabilities: dict[str, float]

    @property
    def tokens(self) -> list[PreviewToken]:
        """Those of the shortest prompt."""
        return self.prompts[0].tokens


@own_numbers()
def preview(
    loaded: LoadedModel,
    prompt: PromptPart,
    labels: tuple[str, ...],
    examples: Sequence[InputExample],
    *,
    k: int = 10,
    attention: bool = False,
    fit_on: Sequence[InputExample] = (),
) -> list[PreviewRow]:
    """One row per example; the examples' labels are not needed and may be anything.

    Args:
        k: how many of the most probable tokens.
        attention: also what the mask looks at.
        fit_on: labelled rows for a verbalizer that learns from them before any training.

    Raises:
        TemplateError, VerbalizerError: as `PromptClassifier`.
    """
    if not examples:
        return []
    classifier = PromptClassifier(loaded, untuned(prompt), labels)
    classifier.fit(fit_on)
    unlabelled = [replace(example, label=None) for example in examples]
    encoded = classifier.encode(unlabelled)
    with classifier.evaluating():
        reading = _WholeReading(classifier, encoded, 0)
        looked = _look(classifier, reading, k)
    # One template without calibration is answered already; anything else takes the road of every prediction.
    whole = len(prompt.templates) == 1 and classifier.verbalizer.options.calibration == "none"
    probabilities = looked.classes if whole else classifier.predict(unlabelled).tolist()
    prompts = _prompts(classifier, _shown_encoder(loaded, prompt, classifier), examples, attention)
    return [
        PreviewRow(
            example=example,
            prompts=read,
            top=top,
            label_words=words,
            masses=masses,
            class_probabilities=dict(zip(labels, row, strict=True)),
        )
        for example, read, top, words, masses, row in zip(
            examples, prompts, looked.top, looked.words, looked.masses, probabilities, strict=True
        )
    ]


def takes_rows(prompt: PromptPart) -> bool:
    """Whether the label words' kind takes something from training rows; only then a preview needs them, and with them the split."""
    return bool(prompt.verbalizer.get("kind", "manual") != "manual")


def preview_tokens(encoding: Encoding, tokenizer: Any, attention: Sequence[float | None] | None = None) -> list[PreviewToken]:
    """The encoding's tokens as text, each with its role, and in their places those that were cut. Soft tokens, which have no text, are
    shown as [SOFT]."""
    tokens: list[PreviewToken] = []
    removed = {piece.at: piece for piece in reversed(encoding.removed)}

    def add_removed(place: int) -> None:
        piece = removed.pop(place, None)
        if piece is not None:
            tokens.extend(PreviewToken(tokenizer.decode([token]), f"text:{piece.field}", cut=True) for token in piece.ids)

    for span in encoding.spans:
        role = f"text:{span.field}" if span.field is not None else span.role
        for place in range(span.start, span.end):
            add_removed(place)
            text = "[SOFT]" if span.role == "soft" else tokenizer.decode([encoding.input_ids[place]])
            tokens.append(PreviewToken(text, role, attention=attention[place] if attention is not None else None))
    add_removed(len(encoding.input_ids))
    return tokens


def _prompts(
    classifier: PromptClassifier, shown_encoder: PromptEncoder, examples: Sequence[InputExample], attention: bool
) -> list[list[PreviewPrompt]]:
    """Each example's prompts under the first template, with `attention` if asked."""
    loaded, rows = classifier.loaded, [example.fields for example in examples]
    found: list[list[PreviewPrompt]] = [[] for _ in rows]
    for masks in sorted({context if isinstance(context, int) else len(context) + 1 for context in classifier.verbalizer.contexts}):
        read = classifier.encoders[0].encode_many(rows, masks=masks, keep_removed=True)
        shown = shown_encoder.encode_many(rows, masks=masks, keep_removed=True)
        with classifier.evaluating():
            weights = attention_at(loaded, *classifier.tensors(read)) if attention else None
        shares = [None] * len(rows) if weights is None else list(map(_carried, weights.tolist(), read, shown))
        for prompts, encoding, share in zip(found, shown, shares, strict=True):
            tokens = preview_tokens(encoding, loaded.tokenizer, share)
            if not prompts or prompts[-1].tokens != tokens:
                prompts.append(PreviewPrompt(masks, tokens, encoding.removed_tokens))
    return found


@dataclass
class _Looked:
    """What one forward pass says about each row: the top at each mask, the label words and their mass, the classes."""

    top: list[list[MaskTop]]
    words: list[dict[str, dict[str, float]]]
    masses: list[dict[int, float]]
    classes: list[list[float]]


class _WholeReading(TemplateReading):
    """A reading that asks the model once per context, for the whole vocabulary; label words, classes and the top are taken from that."""

    def __init__(self, classifier: PromptClassifier, batch: Sequence[EncodedExample], template: int) -> None:
        super().__init__(classifier, batch, template)
        self._whole: dict[Context, torch.Tensor] = {}

    def logits(
        self, context: Context, token_ids: Sequence[int] | None, *, normalize: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As `Reading.logits`."""
        if context not in self._whole:
            self._whole[context] = super().logits(context, None)[0]
        whole = self._whole[context]
        chosen = whole if token_ids is None else whole[:, :, list(token_ids)]
        return chosen, torch.logsumexp(whole, dim=-1) if normalize else None


def _look(classifier: PromptClassifier, reading: _WholeReading, k: int) -> _Looked:
    """The first template's answers. For a verbalizer without label words the top is shown all the same."""
    verbalizer = classifier.verbalizer
    scores = torch.log_softmax(verbalizer.scores(reading).float(), dim=-1)
    offsets = classifier.offsets()
    classes = torch.softmax(scores if offsets is None else scores - offsets[0], dim=-1).tolist()
    words: list[dict[str, dict[str, float]]] = [{label: {} for label in classifier.labels} for _ in classes]
    masses: list[dict[int, float]] = [{} for _ in classes]
    if isinstance(verbalizer, WordVerbalizer):
        for row, probabilities in enumerate(verbalizer.word_probabilities(reading).tolist()):
            for word, probability in zip(verbalizer.words, probabilities, strict=True):
                words[row][classifier.labels[word.label]][word.text] = probability
                masks = verbalizer.masks_of(word)
                masses[row][masks] = masses[row].get(masks, 0.0) + probability
    return _Looked(_top(classifier, reading, len(classes), k), words, [dict(sorted(mass.items())) for mass in masses], classes)


def _top(classifier: PromptClassifier, reading: _WholeReading, rows: int, k: int) -> list[list[MaskTop]]:
    """For each row the k most probable tokens at each mask of each context; what several contexts of a causal model begin with, once."""
    found: list[list[MaskTop]] = [[] for _ in range(rows)]
    if all(piece.kind != "mask" for piece in classifier.encoders[0].template.pieces):
        return found
    decode = classifier.loaded.tokenizer.decode
    causal, read = classifier.loaded.kind == "causal", set()
    for context in classifier.verbalizer.contexts:
        logits, _ = reading.logits(context, None)
        masks = logits.shape[1]
        probabilities, ids = torch.softmax(logits, dim=-1).topk(min(k, logits.shape[-1]), dim=-1)
        for mask in range(masks):
            behind = () if isinstance(context, int) else context[:mask]
            if causal and behind in read:
                continue
            read.add(behind)
            for top, tokens, shares in zip(found, ids[:, mask].tolist(), probabilities[:, mask].tolist(), strict=True):
                likeliest = [(decode([token]), share) for token, share in zip(tokens, shares, strict=True)]
                top.append(MaskTop(likeliest, decode(behind)) if causal else MaskTop(likeliest, "", mask + 1, masks))
    return found


def _carried(weights: Sequence[float], read: Encoding, shown: Encoding) -> list[float | None]:
    """The attention in the prompt that was read, token by token of the one that is shown: they differ by the soft tokens, and by what gave
    way to those. What was cut counts too, for only then is a token that stands twice the same one in both."""
    before, behind = _whole(read), _whole(shown)
    found: list[float | None] = [None] * len(shown.input_ids)
    same = SequenceMatcher(None, [token for token, _ in before], [token for token, _ in behind], autojunk=False)
    for at, to, size in same.get_matching_blocks():
        for (_, place), (_, target) in zip(before[at : at + size], behind[to : to + size], strict=True):
            if place is not None and target is not None:
                found[target] = weights[place]
    return found


def _whole(encoding: Encoding) -> list[tuple[int, int | None]]:
    """Every token but the soft ones and its place in the prompt, or None for one that was cut."""
    removed = {piece.at: piece.ids for piece in reversed(encoding.removed)}
    soft = {place for span in encoding.spans if span.role == "soft" for place in range(span.start, span.end)}
    found: list[tuple[int, int | None]] = []
    for place, token in enumerate(encoding.input_ids):
        found += [(cut, None) for cut in removed.get(place, [])]
        if place not in soft:
            found.append((token, place))
    return found + [(cut, None) for cut in removed.get(len(encoding.input_ids), [])]


def _shown_encoder(loaded: LoadedModel, prompt: PromptPart, classifier: PromptClassifier) -> PromptEncoder:
    """The encoder of the first template with its soft tokens, which the untuned model is asked without."""
    template = parse_template(prompt.templates[0], needs_mask=False)
    if all(piece.kind != "soft" for piece in template.pieces):
        return classifier.encoders[0]
    soft = SoftSlots(loaded.tokenizer, start=len(loaded.tokenizer), length=1, templates=prompt.templates[:1])
    return PromptEncoder(template, loaded.tokenizer, max_length=classifier.max_length, causal=loaded.kind == "causal", soft=soft)
