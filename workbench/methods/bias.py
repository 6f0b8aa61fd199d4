"""Bias only (BitFit, Ben Zaken, Ravfogel & Goldberg 2022): the bias vectors of the body, about one weight in a thousand."""

from __future__ import annotations

from typing import Literal

from torch import nn

from workbench.errors import MethodError
from workbench.methods.attached import Attached
from workbench.methods.registry import Options, register


class BiasOptions(Options):
    """BitFit (Ben Zaken et al. 2022) has nothing to choose."""

    name: Literal["bias"] = "bias"


@register
class Bias(Attached):
    """Every bias of the backbone, those of its norms included; the head stays fixed."""

    options_type = BiasOptions
    title = "Bias only (BitFit)"
    description = "Trains the bias vectors of the body and nothing else: a few kilobytes that often come close to full fine-tuning."
    rates = (2e-3, 1e-3, 5e-4)

    def places(self) -> frozenset[str]:
        return frozenset({"biases"})

    def _select(self) -> list[tuple[str, nn.Parameter]]:
        backbone = self.loaded.family.backbone(self.loaded.model)
        inside = {id(parameter) for name, parameter in backbone.named_parameters() if name.rsplit(".", 1)[-1] == "bias"}
        selected = [(name, parameter) for name, parameter in self.loaded.model.named_parameters() if id(parameter) in inside]
        if not selected:
            raise MethodError("This model has no bias vectors (Llama and Qwen3 are built without).", fix="Choose lora instead.")
        return selected
