"""Full fine-tuning: every weight of the model moves."""

from __future__ import annotations

from typing import Literal

from torch import nn

from workbench.errors import MethodError
from workbench.methods.attached import Attached
from workbench.methods.registry import Options, register


class FullOptions(Options):
    """Full fine-tuning has nothing to choose."""

    name: Literal["full"] = "full"


@register
class Full(Attached):
    """All parameters, tied ones once. Needs about four times the memory of the weights while it trains."""

    options_type = FullOptions
    title = "Full fine-tuning"
    description = "Trains every weight. Strongest with many examples and a small model; saves a whole model."
    rates = (1e-4, 3e-5, 1e-5)
    shards = True

    def places(self) -> frozenset[str]:
        return frozenset({"embeddings", "attention", "feed_forward", "biases", "head"})

    def _select(self) -> list[tuple[str, nn.Parameter]]:
        if self.loaded.quantization != "none":
            raise MethodError(
                f"Full fine-tuning cannot train {self.loaded.quantization} weights.",
                fix="Choose lora, or set model.quantization to none.",
            )
        return list(self.loaded.model.named_parameters())
