"""P-tuning (Liu et al. 2021, "GPT Understands, Too"): soft tokens that come out of a small encoder, so that they depend on each other.

    h_i = MLP([LSTM_forward(h_0..h_i) ; LSTM_backward(h_i..h_m)])        (section 3.2, equation 4)

The LSTM has two layers of half the embedding width each way, the MLP two layers with a ReLU between them. Once trained, only the
encoder's output is needed and the encoder is dropped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from workbench.methods.attached import refuse_quantized
from workbench.methods.registry import Options, register
from workbench.methods.soft import SoftMethod, refuse_words_without_text


class PTuningOptions(Options):
    """Options of P-tuning (Liu et al. 2021)."""

    name: Literal["p_tuning"] = "p_tuning"
    length: int = Field(6, ge=1, le=1024, description="Soft tokens put in front of a template that has no [SOFT] of its own.")
    encoder: Literal["lstm", "mlp"] = Field("lstm", description="What makes the vectors: LSTM and MLP as published, or the MLP alone.")
    init: Literal["vocabulary", "random", "words", "label_words"] = Field(
        "random", description="Where the inputs start: random numbers as published, common words, words of yours, or the label words."
    )
    words: str = Field("", max_length=2000, description="The words to start from when init is words; repeated to fill the length.")
    backbone: Literal["frozen", "trained"] = Field("frozen", description="Whether the model itself stays as it is or is trained with it.")
    backbone_rate: float = Field(3e-5, gt=0, le=1, description="Learning rate of the model itself when it is trained.")
    keep_encoder: bool = Field(False, description="Keep the encoder in what the run leaves, to go on training from there.")

    @model_validator(mode="after")
    def _words_are_given(self) -> PTuningOptions:
        refuse_words_without_text(self)
        return self


class PromptEncoder(nn.Module):
    """Raw vectors [n, E] through LSTM and MLP to the soft tokens [n, E].

    Args:
        start: the raw vectors to start from.
        lstm: with the LSTM; without it the MLP reads the raw vectors.
    """

    def __init__(self, start: Tensor, *, lstm: bool) -> None:
        super().__init__()
        width = start.shape[1]
        half = max(1, width // 2)
        self.raw = nn.Parameter(start.clone())
        self.lstm = nn.LSTM(width, half, num_layers=2, bidirectional=True, batch_first=True) if lstm else None
        self.mlp = nn.Sequential(nn.Linear(2 * half if lstm else width, width), nn.ReLU(), nn.Linear(width, width))
        self.to(start.device)

    def forward(self) -> Tensor:
        """The soft tokens, [n, E]."""
        hidden = self.raw.unsqueeze(0)
        if self.lstm is not None:
            hidden = self.lstm(hidden)[0]
        return self.mlp(hidden).squeeze(0)


def encoder_parameters(count: int, width: int, *, lstm: bool) -> int:
    """Parameters of the published encoder for `count` tokens of an even `width`, as a closed formula.

    Raw vectors n E; an LSTM direction with h = E / 2 has 4 h (input + h) + 8 h, the input being E in both layers; MLP 2 (E^2 + E).
    """
    half = width // 2
    recurrent = 2 * 2 * (4 * half * (width + half) + 8 * half) if lstm else 0
    return count * width + recurrent + 2 * (width * width + width)


@register
class PTuning(SoftMethod):
    """The encoder trains; with `backbone: trained` so does the whole model, at a rate of its own (section 4.1)."""

    options_type = PTuningOptions
    title = "P-tuning"
    description = "Soft tokens anywhere in the template, made by a small recurrent network so that they fit together."
    # The encoder's weights move like those of any small network: on the embedded Chinese model 5e-3 lowers the training loss within 30
    # steps of 16 rows (48 % right before, 54 % after), about as fast as the vectors themselves do at ten times the rate.
    rates = (5e-3, 2e-3, 1e-3)
    peft_type = "P_TUNING"

    def places(self) -> frozenset[str]:
        model = {"embeddings", "attention", "feed_forward", "biases", "head"} if self.options.backbone == "trained" else set()
        return frozenset({"prompt", *model})

    def formula(self) -> tuple[str, int] | None:
        """None where the whole model trains: there is no closed formula for that."""
        if self.options.backbone == "trained" or not isinstance(self.embedding.prompt, PromptEncoder):
            return super().formula() if self.options.backbone == "frozen" else None
        (count, width), lstm = self.embedding.prompt.raw.shape, self.options.encoder == "lstm"
        half = width // 2
        recurrent = f" + 4\u00b7(4\u00b7{half}\u00b7({width} + {half}) + 8\u00b7{half})" if lstm else ""
        text = f"{count}\u00b7{width}{recurrent} + 2\u00b7({width}\u00b2 + {width})"
        return text, encoder_parameters(count, width, lstm=lstm)

    def _backbone(self) -> list[tuple[str, nn.Parameter]]:
        if self.options.backbone == "frozen":
            return []
        selected = self._read(list(self.loaded.model.named_parameters()))
        refuse_quantized(selected, "p_tuning with a trained backbone")
        return selected

    def _encoder(self, start: Tensor) -> nn.Module:
        return PromptEncoder(start, lstm=self.options.encoder == "lstm")

    def rate_of(self, name: str, rate: float) -> float:
        """The model's own parameters, where they train at all, learn at `backbone_rate`."""
        return rate if name.startswith("soft.") else self.options.backbone_rate

    def save_final(self, folder: Path) -> None:
        if self.options.keep_encoder and isinstance(self.embedding.prompt, PromptEncoder):
            self.save(folder)
        else:
            super().save_final(folder)

    def _peft_options(self) -> dict[str, object]:
        width = self.embedding.table.weight.shape[1]
        return {
            "encoder_reparameterization_type": "LSTM" if self.options.encoder == "lstm" else "MLP",
            "encoder_hidden_size": width // 2,
            "encoder_num_layers": 2,
        }
