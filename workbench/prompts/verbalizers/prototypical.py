"""Prototypical verbalizer (Cui et al. 2022, "Prototypical Verbalizer for Prompt-based Few-shot Tuning").

    v = W h,  S(a, b) = cosine of a and b,  P(c | x) = softmax_c S(v, proto_c)                          (section 3.1)
    L_p = -1/N mean log [exp S(v_i, proto_n) / sum_n' exp S(v_i, proto_n')]                             (instance and prototype)
    L_s = -1/N mean over pairs of one class, log [exp S(v_i, v_j) / sum_all exp S(v_i, v_j')]           (instance and instance)

W and the prototypes train on N (L_s + L_p), that is on the usual mean negative log-likelihood plus the mean over pairs: the factor N
only scales the rate. With `prototypes: means` nothing trains: a prototype is the mean state of its class's training rows, and W is
left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from workbench.errors import VerbalizerError
from workbench.prompts.verbalizers import register_verbalizer
from workbench.prompts.verbalizers.head import hidden_width
from workbench.prompts.verbalizers.verbalizer import Diagnosis, Reading, TrainableOptions, Verbalizer

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel


class PrototypicalOptions(TrainableOptions):
    """Options of prototypes (ProtoVerb, Cui et al. 2022), trained or the means of the training rows."""

    kind: Literal["prototypical"] = "prototypical"
    prototypes: Literal["learned", "means"] = Field(
        "learned", description="Learned beside the model as published, or the mean state of each class's training rows, without training."
    )
    dimension: int = Field(64, ge=2, le=4096, description="Width of the space that states are projected into when prototypes are learned.")
    temperature: float = Field(1.0, gt=0, le=100, description="Similarities are divided by it; smaller makes answers more decided.")


class Prototypes(nn.Module):
    """The projection W [D, H] and one prototype [D] per class, both as published: uniform after Glorot, no bias."""

    def __init__(self, width: int, dimension: int, classes: int, device: Any) -> None:
        super().__init__()
        self.project = nn.Linear(width, dimension, bias=False, device=device)
        self.prototypes = nn.Parameter(torch.empty(classes, dimension, device=device))
        nn.init.xavier_uniform_(self.prototypes)

    def forward(self, hidden: Tensor) -> Tensor:
        """Cosine [B, C] of hidden states [B, H] at the mask with the label prototypes."""
        return cosine(self.project(hidden), self.prototypes)


@register_verbalizer
class PrototypicalVerbalizer(Verbalizer):
    """Scores are cosines between the mask's state and a prototype per class; no label words at all."""

    options_type = PrototypicalOptions
    title = "Prototypes"
    description = "Each label is a point among the model's states, learned from examples: the nearest one wins. Needs no words."
    reads = "hidden"
    shared = True

    def __init__(
        self, options: PrototypicalOptions, labels: tuple[str, ...], tokenizer: Any, *, causal: bool, leading_space: bool
    ) -> None:
        super().__init__(options, labels, tokenizer, causal=causal, leading_space=leading_space)
        self._means: Tensor | None = None

    @property
    def needs_fit(self) -> bool:
        return self.options.prototypes == "means"

    def prepare(self, loaded: LoadedModel) -> None:
        if self.options.prototypes == "learned":
            self.module = Prototypes(hidden_width(loaded), self.options.dimension, len(self.labels), loaded.device)

    def fit(self, readings: Iterable[tuple[Reading, Tensor]]) -> None:
        """Prototypes as class means of the states at the mask.

        Raises:
            VerbalizerError: a class without rows.
        """
        sums: Tensor | None = None
        counts = torch.zeros(len(self.labels), dtype=torch.float64)
        for reading, labels in readings:
            hidden, chosen = reading.hidden("mask", transformed=False).double().cpu(), labels.cpu()
            sums = torch.zeros(len(self.labels), hidden.shape[1], dtype=torch.float64) if sums is None else sums
            sums.index_add_(0, chosen, hidden)
            counts.index_add_(0, chosen, torch.ones(len(chosen), dtype=torch.float64))
        if sums is None or not counts.all():
            label = self.labels[int(counts.argmin())]
            raise VerbalizerError(f"There is no training row of '{label}' to make a prototype from.", fix="Give rows of every label.")
        self._means = (sums / counts.unsqueeze(1)).float()

    def scores(self, reading: Reading) -> Tensor:
        hidden = reading.hidden("mask", transformed=False)
        if self.module is not None:
            return self.module(hidden) / self.options.temperature
        if self._means is None:
            raise VerbalizerError("The prototypes have not been taken from training rows yet.", fix="Give labelled rows, or train.")
        return cosine(hidden, self._means.to(hidden)) / self.options.temperature

    def auxiliary_loss(self, reading: Reading, labels: Tensor) -> Tensor | None:
        if self.module is None:
            return None
        projected = self.module.project(reading.hidden("mask", transformed=False))
        return pair_loss(projected.float(), labels, self.options.temperature)

    def state(self) -> dict[str, Tensor]:
        return super().state() if self._means is None else {"prototypes": self._means}

    def load_state(self, state: dict[str, Tensor]) -> None:
        if self.needs_fit:
            self._means = state["prototypes"]
        else:
            super().load_state(state)

    def diagnose(self) -> list[Diagnosis]:
        if self.needs_fit:
            return []
        return [Diagnosis("untrained", "Learned prototypes know nothing before they are trained: until then the answers are chance.")]


def cosine(left: Tensor, right: Tensor) -> Tensor:
    """Cosines of every row of [B, D] with every row of [C, D]: [B, C]."""
    return nn.functional.normalize(left, dim=-1) @ nn.functional.normalize(right, dim=-1).T


def pair_loss(vectors: Tensor, labels: Tensor, temperature: float = 1.0) -> Tensor:
    """N L_s of the module docstring over one batch: the mean over ordered pairs of one class, an instance with itself included.

    Args:
        vectors: [B, D]; labels: [B].
    """
    log_shares = torch.log_softmax(cosine(vectors, vectors) / temperature, dim=1)
    same = labels.unsqueeze(0) == labels.unsqueeze(1)
    return -log_shares[same].mean()
