"""Examples to class log-probabilities: the one road that training, evaluation, prediction and the preview take.

Several templates are an ensemble: the mean of their class probabilities (Schick & Schuetze 2021, uniform weights). A prompt is
encoded once per template and per number of label-word tokens; nothing but what the verbalizer asks for is computed: the label words'
logits at the masks, or hidden states there.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.errors import DataError, nearest
from workbench.models.mode import evaluating
from workbench.models.positions import position_count
from workbench.models.transfer import untold
from workbench.prompts.encoding import Encoding, PromptEncoder
from workbench.prompts.template import parse_template
from workbench.prompts.verbalizers import Verbalizer, build_verbalizer, check_verbalizer, verbalizer_class
from workbench.prompts.verbalizers.verbalizer import Context, Diagnosis
from workbench.prompts.verbalizers.words import WordVerbalizer
from workbench.serving.batches import Pace
from workbench.serving.calibration import Calibration, contentless, mean_log, skew
from workbench.serving.reading import EncodedExample, SharedStates, StateSource, TemplateReading

if TYPE_CHECKING:
    from workbench.data.dataset import InputExample
    from workbench.methods.attached import Attached
    from workbench.models.loading import LoadedModel
    from workbench.recipe import PromptPart


Between = Callable[[float], None]
ROWS = 32
"""In a batch, where nobody says otherwise."""
ENCODED_AT_ONCE = 4096
"""Tokens, padding included, up to which a batch may grow beyond its number of rows. 800 prompts of a 4x256 BERT on one core: 2.42 CPU
seconds in batches of 32, 2.31 in batches of 1,024 tokens, 2.32 in batches of 4,096."""


class PromptClassifier:
    """A prompt on a loaded model. Beside a verbalizer's own parameters it keeps no state; belongs to whoever made it, like the model.

    Args:
        loaded: the model, with or without a tuning method attached.
        prompt: templates, verbalizer and maximum length.
        labels: the classes, in the order of every score.
        attached: the method on the model, for one that puts soft tokens into the prompt or takes positions for itself.

    Raises:
        TemplateError: a template that does not parse, fit the model, or leave room within `max_length`.
        VerbalizerError: label words that this tokenizer cannot express.
    """

    def __init__(self, loaded: LoadedModel, prompt: PromptPart, labels: tuple[str, ...], attached: Attached | None = None) -> None:
        self.loaded = loaded
        self.labels = labels
        self.pace = Pace()
        """How rows are read outside of training steps; whoever trains may put another one here."""
        self.kept: StateSource | None = None
        """States of rows under a body that does not train; whoever trains may put some here."""
        causal = loaded.kind == "causal"
        self.max_length = min(prompt.max_length, model_max_length(loaded) - (attached.positions if attached else 0))
        options = [check_verbalizer(prompt.verbalizer_of(number)) for number in range(len(prompt.templates))]
        templates = [parse_template(source, needs_mask=own.needs_mask) for source, own in zip(prompt.templates, options, strict=True)]
        soft = attached.soft if attached else None
        self.encoders = [PromptEncoder(t, loaded.tokenizer, max_length=self.max_length, causal=causal, soft=soft) for t in templates]
        made: dict[tuple[str, bool | None], Verbalizer] = {}
        self.verbalizers: list[Verbalizer] = []
        """One per template; templates with the same words share one unless a blank before the mask makes them different tokens."""
        for template, own in zip(templates, options, strict=True):
            space = template.leading_space
            key = (own.model_dump_json(), None if verbalizer_class(own.kind).shared else space)
            if key not in made:
                made[key] = build_verbalizer(own, labels, loaded.tokenizer, causal=causal, leading_space=space)
                made[key].prepare(loaded)
            self.verbalizers.append(made[key])
        self.plan: list[tuple[int, Context]] = [(i, context) for i, v in enumerate(self.verbalizers) for context in v.contexts]
        """The prompts of one example: template and context of each variant, in order."""
        for index, context in self.plan:
            _encode(self.encoders[index], [dict.fromkeys(templates[index].fields, "")], context, [None])
        pad = loaded.tokenizer.pad_token_id
        self.pad_id: int = pad if pad is not None else loaded.tokenizer.eos_token_id or 0
        self._calibration = Calibration(self)

    @property
    def verbalizer(self) -> Verbalizer:
        """The first template's verbalizer."""
        return self.verbalizers[0]

    @property
    def distinct_verbalizers(self) -> list[Verbalizer]:
        """Every verbalizer once, in the order of the templates."""
        return list({id(verbalizer): verbalizer for verbalizer in self.verbalizers}.values())

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that some template asks for, each once."""
        return tuple(dict.fromkeys(name for encoder in self.encoders for name in encoder.template.fields))

    def encode(self, examples: Sequence[InputExample]) -> list[EncodedExample]:
        """All variants of each example, tokenized together.

        Raises:
            DataError: a label that is not among the classes.
        """
        index = {label: i for i, label in enumerate(self.labels)}
        labels: list[int | None] = []
        for example in examples:
            if example.label is not None and example.label not in index:
                place = f"line {example.line}" if example.line else f"example {example.guid}"
                raise DataError(f"'{example.label}' ({place}) is not one of the labels.", fix=nearest(example.label, self.labels))
            labels.append(None if example.label is None else index[example.label])
        found: list[EncodedExample] = []
        for start in range(0, len(examples), ENCODED_AT_ONCE):
            self.pace.between()
            some = examples[start : start + ENCODED_AT_ONCE]
            rows, given = [example.fields for example in some], labels[start : start + ENCODED_AT_ONCE]
            columns = [_encode(self.encoders[i], rows, context, given) for i, context in self.plan]
            for example, label, *variants in zip(some, given, *columns, strict=True):
                longest = max(len(variant.input_ids) for variant in variants)
                found.append(EncodedExample(list(variants), label, longest, self._target(example)))
        return found

    def _target(self, example: InputExample) -> tuple[float, ...] | None:
        if example.probabilities is None:
            return None
        return tuple(example.probabilities.get(label, 0.0) for label in self.labels)

    def log_probabilities(self, batch: Sequence[EncodedExample]) -> Tensor:
        """Class log-probabilities [B, C], differentiable, not calibrated; of several templates the log of the mean probability."""
        return _mean(self.template_log_probabilities(batch))

    def template_log_probabilities(
        self, batch: Sequence[EncodedExample], readings: Sequence[TemplateReading] | None = None
    ) -> list[Tensor]:
        """Class log-probabilities [B, C] of each template, not calibrated; from readings where there are some already."""
        given = readings or self.read(batch)
        pairs = zip(self.verbalizers, given, strict=True)
        return [torch.log_softmax(verbalizer.scores(reading).float(), dim=-1) for verbalizer, reading in pairs]

    def read(self, batch: Sequence[EncodedExample]) -> list[TemplateReading]:
        """The readings of a batch, one per template; nothing is computed before a verbalizer asks."""
        if torch.is_grad_enabled():
            self.weights_changed()
        shared = SharedStates(self, batch)
        return [TemplateReading(self, batch, template, shared) for template in range(len(self.verbalizers))]

    def offsets(self) -> list[Tensor] | None:
        """What calibration takes off the class log-probabilities of each template, [C] each; None where there is none. Call it in
        evaluation mode."""
        return self._calibration.offsets()

    def weights_changed(self) -> None:
        """Says that the model is not what it was, so that calibration is computed again."""
        self._calibration.forget()

    @property
    def has_auxiliary_loss(self) -> bool:
        """Whether the verbalizer trains on more than the log-likelihood of the classes."""
        return type(self.verbalizer).auxiliary_loss is not Verbalizer.auxiliary_loss

    def loss_terms(self, batch: Sequence[EncodedExample]) -> tuple[Tensor, Tensor]:
        """Class log-probabilities [B, C] of a labelled batch, and the verbalizer's own mean term, a scalar, from the same readings.

        A row with class probabilities instead of a label counts as one of its likeliest class.
        """
        readings = self.read(batch)
        labels = torch.tensor([_class_of(example) for example in batch], device=self.loaded.device)
        log_probabilities = _mean(self.template_log_probabilities(batch, readings))
        terms = [v.auxiliary_loss(reading, labels) for v, reading in zip(self.verbalizers, readings, strict=True)]
        given = [term for term in terms if term is not None]
        return log_probabilities, torch.stack(given).mean() if given else log_probabilities.new_zeros(())

    def prior(self) -> dict[str, float]:
        """Label -> probability on content-free input, the mean over templates and inputs, before any calibration."""
        with self.evaluating():
            rows = contentless(self, self.verbalizer.options.content_free)
        probabilities = mean_log(torch.cat(rows)).exp().tolist()
        return dict(zip(self.labels, probabilities, strict=True))

    def diagnose(self) -> list[Diagnosis]:
        """What a person should know about the verbalizers on this model, the prior's skew included; not for one that has to be fitted."""
        said = {found.message: found for verbalizer in self.distinct_verbalizers for found in verbalizer.diagnose()}
        found = list(said.values())
        if any(diagnosis.code == "untrained" for diagnosis in found) or self.verbalizer.options.calibration != "none":
            return found
        skewed = skew(self.prior())
        return [*found, *([skewed] if skewed else [])]

    def before_reading(self) -> tuple[list[Diagnosis], dict[str, float] | None]:
        """What can be known before a row is read: `diagnose`, and `prior`, or None of a verbalizer that knows nothing yet."""
        found = self.diagnose()
        return found, None if any(diagnosis.code == "untrained" for diagnosis in found) else self.prior()

    def fit(self, examples: Sequence[InputExample], *, batch_size: int = ROWS) -> None:
        """Lets each verbalizer take what it needs from labelled examples, if it needs any; the model is read as it stands.

        Raises:
            DataError: a label that is not among the classes.
        """
        labelled = [example for example in examples if example.label is not None]
        for verbalizer in self.distinct_verbalizers:
            if verbalizer.needs_fit:
                with self.evaluating():
                    verbalizer.fit(self._readings(verbalizer, labelled, batch_size))

    def _readings(
        self, verbalizer: Verbalizer, examples: Sequence[InputExample], batch_size: int
    ) -> Iterator[tuple[TemplateReading, Tensor]]:
        """Every batch under every template of one verbalizer, with the classes of its rows [B]."""
        encoded = self.encode(examples)
        for numbers in self.pace.batches([example.length for example in encoded], batch_size):
            batch = [encoded[number] for number in numbers]
            labels = torch.tensor([example.label for example in batch], device=self.loaded.device)
            for template, other in enumerate(self.verbalizers):
                if other is verbalizer:
                    yield TemplateReading(self, batch, template), labels

    def predict(self, examples: Sequence[InputExample], *, batch_size: int = ROWS, between: Between = untold) -> Tensor:
        """Class probabilities [N, C] on the CPU, in the order given, calibrated if the verbalizer says so; evaluated without gradients in
        batches of similar length.

        Args:
            between: called before each batch with the share of all tokens that was read; what it raises ends the work.
        """
        return self.predict_encoded(self.encode(examples), batch_size=batch_size, between=between)

    def predict_encoded(self, encoded: Sequence[EncodedExample], *, batch_size: int = ROWS, between: Between = untold) -> Tensor:
        """As `predict`, of rows that `encode` gave."""
        result = torch.zeros(len(encoded), len(self.labels), dtype=torch.float32)
        for indices, by_template in self._answers(encoded, batch_size, between):
            result[indices] = _mean(by_template).exp().float().cpu()
        return result

    def predict_each(
        self, examples: Sequence[InputExample], *, batch_size: int = ROWS, between: Between = untold
    ) -> Tensor:
        """Class probabilities of every template by itself, [K, N, C]; otherwise as `predict`."""
        result = torch.zeros(len(self.verbalizers), len(examples), len(self.labels), dtype=torch.float32)
        for indices, by_template in self._answers(self.encode(examples), batch_size, between):
            result[:, indices] = torch.stack(by_template).exp().float().cpu()
        return result

    def _answers(
        self, encoded: Sequence[EncodedExample], batch_size: int, between: Between
    ) -> Iterator[tuple[list[int], list[Tensor]]]:
        """Batch after batch: row numbers, and calibrated class log-probabilities [B, C] of every template."""
        read, tokens = 0, sum(example.length for example in encoded)
        with self.evaluating():
            offsets = self.offsets() if encoded else None

            def answer(numbers: list[int]) -> list[Tensor]:
                between(read / tokens)
                return self.template_log_probabilities([encoded[number] for number in numbers])

            for indices, scores in self.pace.answers([example.length for example in encoded], batch_size, answer):
                read += sum(encoded[index].length for index in indices)
                pairs = zip(scores, offsets or [], strict=bool(offsets))
                yield indices, [torch.log_softmax(one - offset, dim=-1) for one, offset in pairs] if offsets else scores

    def label_word_probabilities(self, examples: Sequence[InputExample]) -> list[dict[str, float]]:
        """For each example, each label word's probability over the whole vocabulary; the mean over the templates whose verbalizer has
        the word. Empty without words."""
        words = [v.words if isinstance(v, WordVerbalizer) else [] for v in self.verbalizers]
        asked = Counter(text for found in words for text in dict.fromkeys(word.text for word in found))
        column = {text: place for place, text in enumerate(asked)}
        totals = torch.zeros(len(examples), len(asked), dtype=torch.float32)
        encoded = self.encode(examples)
        with self.evaluating():
            for indices in self.pace.batches([example.length for example in encoded], ROWS):
                batch = [encoded[number] for number in indices]
                for template, verbalizer in enumerate(self.verbalizers):
                    if isinstance(verbalizer, WordVerbalizer):
                        found = verbalizer.word_probabilities(TemplateReading(self, batch, template)).float().cpu()
                        own = {word.text: place for place, word in enumerate(verbalizer.words)}
                        places = [column[text] for text in own]
                        totals[torch.tensor(indices)[:, None], places] += found[:, list(own.values())]
        shares = totals / torch.tensor(list(asked.values()))
        return [dict(zip(asked, row, strict=True)) for row in shares.tolist()]

    def tensors(self, encodings: Sequence[Encoding]) -> tuple[Tensor, Tensor, Tensor]:
        """input_ids and attention_mask [B, T], padded on the right, and mask_positions [B, M], on the model's device."""
        longest = max(len(encoding.input_ids) for encoding in encodings)
        ids = [e.input_ids + [self.pad_id] * (longest - len(e.input_ids)) for e in encodings]
        attention = [[1] * len(e.input_ids) + [0] * (longest - len(e.input_ids)) for e in encodings]
        device = self.loaded.device
        return (
            torch.tensor(ids, device=device),
            torch.tensor(attention, device=device),
            torch.tensor([e.mask_positions for e in encodings], device=device),
        )

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Without gradients and dropout; afterwards the model and the verbalizers are in the mode they were in."""
        roots = [self.loaded.model, *(v.module for v in self.distinct_verbalizers if v.module is not None)]
        with evaluating(*roots), torch.no_grad():
            yield


def model_max_length(loaded: LoadedModel) -> int:
    """Tokens that the model has positions for."""
    return int(min(position_count(loaded.model.config), loaded.tokenizer.model_max_length))


def _mean(by_template: list[Tensor]) -> Tensor:
    """Log of the mean probability over templates: of log-probabilities [B, C]."""
    if len(by_template) == 1:
        return by_template[0]
    return torch.logsumexp(torch.stack(by_template), dim=0) - math.log(len(by_template))


def _class_of(example: EncodedExample) -> int:
    if example.label is not None or example.target is None:
        return int(example.label or 0)
    return max(range(len(example.target)), key=example.target.__getitem__)


def _encode(
    encoder: PromptEncoder, rows: Sequence[dict[str, str]], context: Context, labels: Sequence[int | None]
) -> list[Encoding]:
    if isinstance(context, int):
        return encoder.encode_many(rows, masks=context, labels=labels)
    return encoder.encode_many(rows, labels=labels, continuation=context)
