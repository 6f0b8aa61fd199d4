"""A tuned classifier as one ONNX graph: token ids of every prompt in, class probabilities out.

Template and tokenizer stay outside; whatever the method and the verbalizer added is inside, so nothing has to be merged before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from workbench.models.cloze import cloze_logits, hidden_at
from workbench.prompts.verbalizers.verbalizer import Context, Position

if TYPE_CHECKING:
    from workbench.data.dataset import InputExample
    from workbench.models.loading import LoadedModel
    from workbench.serving.classifier import PromptClassifier

PARTS = ("ids", "seen", "at")
"""What a graph takes of the prompt at place n of the classifier's plan, as `ids_n` and so on: input_ids and attention_mask [B, T], and
mask positions [B, M], which are [B, 1] zeros where the template has no mask. All int64."""


class _Reading:
    """The `Reading` of one template inside a graph, where tensors have no values yet."""

    def __init__(self, loaded: LoadedModel, tensors: dict[Context, tuple[Tensor, Tensor, Tensor]]) -> None:
        self._loaded, self._tensors = loaded, tensors

    def logits(self, context: Context, token_ids: Sequence[int] | None, *, normalize: bool = False) -> tuple[Tensor, Tensor | None]:
        """As `Reading.logits`."""
        chosen = None if token_ids is None else torch.tensor(list(token_ids))
        return cloze_logits(self._loaded, *self._tensors[context], chosen, normalizer=normalize)

    def hidden(self, position: Position, *, transformed: bool) -> Tensor:
        """As `Reading.hidden`."""
        ids, seen, at = self._tensors[1]
        place = at[:, :1]
        if position == "first":
            place = torch.zeros_like(place)
        elif position == "last":
            place = seen.sum(dim=1, keepdim=True) - 1
        return hidden_at(self._loaded, ids, seen, place, transformed=transformed).float()

    def text_tokens(self) -> list[list[int]]:
        """Nothing is fitted in a graph."""
        return []


class AnswerGraph(nn.Module):
    """`PromptClassifier.predict` on tensors: in, `PARTS` of each prompt of the plan; out, class probabilities [B, C], calibrated."""

    def __init__(self, classifier: PromptClassifier) -> None:
        super().__init__()
        loaded = classifier.loaded
        # Its last layer computes every position: exchanging a layer's class for a moment is nothing that can be written down.
        self._loaded = dataclasses.replace(loaded, family=dataclasses.replace(loaded.family, layer_at=None))
        self._classifier, self._offsets = classifier, classifier.offsets()
        self.model = loaded.model
        self.own = nn.ModuleList([v.module for v in classifier.distinct_verbalizers if v.module is not None])

    def forward(self, *tensors: Tensor) -> Tensor:
        """[B, C]; several templates are the mean of their probabilities."""
        plan, rows = self._classifier.plan, []
        for template, verbalizer in enumerate(self._classifier.verbalizers):
            places = [(number, context) for number, (owner, context) in enumerate(plan) if owner == template]
            given = {context: (tensors[3 * n], tensors[3 * n + 1], tensors[3 * n + 2]) for n, context in places}
            scores = torch.log_softmax(verbalizer.scores(_Reading(self._loaded, given)).float(), dim=-1)
            rows.append(torch.softmax(scores - self._offsets[template] if self._offsets else scores, dim=-1))
        return torch.stack(rows).mean(dim=0)


def write_graph(classifier: PromptClassifier, examples: Sequence[InputExample], file: Path) -> None:
    """Writes the classifier as ONNX for any number of rows of any length; large weights lie in a file beside it.

    Args:
        examples: at least two rows whose prompts are read on the way.

    Raises:
        whatever torch's exporter raises on a model that it cannot follow.
    """
    encoded = classifier.encode(examples)
    given: list[Tensor] = []
    for place in range(len(classifier.plan)):
        ids, seen, at = classifier.tensors([example.variants[place] for example in encoded])
        given += [ids, seen, at if at.shape[1] else torch.zeros_like(ids[:, :1])]
    rows = torch.export.Dim("rows")
    shapes = []
    for place in range(len(classifier.plan)):
        length = torch.export.Dim(f"length_{place}")
        shapes += [{0: rows, 1: length}, {0: rows, 1: length}, {0: rows}]
    with classifier.evaluating(), _quiet():
        torch.onnx.export(
            AnswerGraph(classifier).eval(), tuple(given), str(file), dynamo=True, verbose=False, dynamic_shapes=(tuple(shapes),),
            input_names=[f"{part}_{place}" for place in range(len(classifier.plan)) for part in PARTS], output_names=["probabilities"],
        )  # fmt: skip


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's talk about packages that it does not need here."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
