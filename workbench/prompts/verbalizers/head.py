"""A classification head in the place of words: dropout and one linear map over a hidden state, as in BERT's fine-tuning
(Devlin et al. 2019, section 4.1), without its pooler.

It makes any tuning method a classifier of the ordinary kind (P-tuning v2, Liu et al. 2022, is usually run so), and with the method
`head`, which then trains nothing of the model, a linear probe. The template needs no [MASK]: "{text}" alone is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field
from torch import Tensor, nn

from workbench.errors import VerbalizerError
from workbench.prompts.verbalizers import register_verbalizer
from workbench.prompts.verbalizers.verbalizer import Diagnosis, Position, Reading, TrainableOptions, Verbalizer

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel

INITIAL_DEVIATION = 0.02


class HeadOptions(TrainableOptions):
    """Options of a classification head."""

    kind: Literal["head"] = "head"
    position: Position = Field(
        "auto", description="The token whose state is read: the mask, the first or the last; auto is the mask if there is one."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of the state that is dropped while training.")

    @property
    def needs_mask(self) -> bool:
        return self.position == "mask"


class ClassificationHead(nn.Module):
    """Dropout and a linear map [B, H] to [B, C]; weights normal with deviation 0.02, biases zero."""

    def __init__(self, width: int, classes: int, dropout: float, device: Any) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, classes, device=device)
        nn.init.normal_(self.linear.weight, std=INITIAL_DEVIATION)
        nn.init.zeros_(self.linear.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden: [B, H]; returns scores [B, C]."""
        return self.linear(self.dropout(hidden))


@register_verbalizer
class HeadVerbalizer(Verbalizer):
    """One linear map over the last layer's state at the mask, the first token ([CLS]) or, for a causal model, the last token.

    Raises:
        VerbalizerError: the first token of a causal model, which has read nothing.
    """

    options_type = HeadOptions
    title = "Classification head"
    description = "A new linear layer over the model's state replaces words. Knows nothing before training; needs no [MASK]."
    reads = "hidden"
    shared = True

    def __init__(self, options: HeadOptions, labels: tuple[str, ...], tokenizer: Any, *, causal: bool, leading_space: bool) -> None:
        super().__init__(options, labels, tokenizer, causal=causal, leading_space=leading_space)
        if causal and options.position == "first":
            raise VerbalizerError(
                "The first token of a causal model has read nothing but itself.", fix="Set prompt.verbalizer.position to last or auto."
            )

    def prepare(self, loaded: LoadedModel) -> None:
        self.module = ClassificationHead(hidden_width(loaded), len(self.labels), self.options.dropout, loaded.device)

    def scores(self, reading: Reading) -> Tensor:
        assert self.module is not None
        return self.module(reading.hidden(self.options.position, transformed=False))

    def diagnose(self) -> list[Diagnosis]:
        return [Diagnosis("untrained", "A classification head knows nothing before it is trained: until then its answers are chance.")]


def hidden_width(loaded: LoadedModel) -> int:
    """Width H of the last layer's hidden states."""
    return int(loaded.model.config.get_text_config().hidden_size)
