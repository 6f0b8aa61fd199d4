"""LoRA's update and the weights it belongs to: its size, folding it in and out exactly, and quantized weights made plain."""

from __future__ import annotations

import copy
import logging
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel


def adapted_layers(peft_model: nn.Module) -> dict[str, Any]:
    """peft's layers by name, as peft names them in its files."""
    from peft.tuners.lora import LoraLayer

    return {name: module for name, module in peft_model.named_modules() if isinstance(module, LoraLayer)}


def plain_weight(layer: Any) -> Tensor:
    """The matrix under a LoRA layer in float32, dequantized if it has to be."""
    from peft.utils.integrations import dequantize_module_weight

    base = layer.get_base_layer()
    kept = _keep(base) if hasattr(base, "state") else None
    weight = dequantize_module_weight(base).detach().float()
    if kept is not None:
        _put_back(base, kept)
    return weight


def update_norms(peft_model: nn.Module) -> list[tuple[str, float, float]]:
    """By matrix: name within the model, Frobenius norm of its update, and that norm's share of the matrix's own."""
    found = []
    for name, layer in adapted_layers(peft_model).items():
        with torch.no_grad():
            size = float(layer.get_delta_weight("default").float().norm())
            own = float(plain_weight(layer).norm())
        found.append((name.removeprefix("base_model.model."), size, size / max(own, 1e-12)))
    return found


class Fold:
    """An update added to the weights, with everything needed to take it out again bit for bit. Holds a copy of the tuned matrices.

    Attributes:
        cost: largest relative difference (Frobenius) between what a folded matrix should be and what its format can hold.
    """

    def __init__(self, peft_model: nn.Module) -> None:
        self._layers = list(adapted_layers(peft_model).values())
        self._kept = [_keep(layer.get_base_layer()) for layer in self._layers]
        wanted = []
        for layer in self._layers:
            with torch.no_grad():
                wanted.append(plain_weight(layer) + layer.get_delta_weight("default").float())
        exact = all(type(layer.get_base_layer().weight) is nn.Parameter for layer in self._layers)
        with warnings.catch_warnings():
            # peft warns that quantized weights round the update; `cost` says by how much.
            warnings.simplefilter("ignore")
            for layer in self._layers:
                layer.merge(safe_merge=True)
        self.cost = 0.0
        if not exact:
            pairs = zip(self._layers, wanted, strict=True)
            self.cost = max(float((plain_weight(layer) - target).norm() / target.norm()) for layer, target in pairs)

    def undo(self) -> None:
        """Puts the former weights back."""
        for layer, kept in zip(self._layers, self._kept, strict=True):
            layer.merged_adapters.clear()
            _put_back(layer.get_base_layer(), kept)


def _keep(base: Any) -> dict[str, Any]:
    state = getattr(base, "state", None)
    kept: dict[str, Any] = {"weight": base.weight, "data": base.weight.data}
    if type(base.weight) is nn.Parameter:
        kept["data"] = base.weight.data.clone()
    if state is not None:
        # int8 layers move their integers from the weight into this state at their first call, and dequantizing moves them about.
        kept |= {"state": copy.copy(state), "integers": (base.weight.CB, base.weight.SCB)}
    return kept


def _put_back(base: Any, kept: dict[str, Any]) -> None:
    base.weight = kept["weight"]
    base.weight.data = kept["data"]
    if "state" in kept:
        base.state = kept["state"]
        base.weight.CB, base.weight.SCB = kept["integers"]


def dequantized(loaded: LoadedModel) -> LoadedModel:
    """Turns a quantized model's matrices into plain float32 ones, in place; it is a plain model from then on."""
    logger = logging.getLogger("transformers.integrations.bitsandbytes")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        loaded.model.dequantize(dtype=torch.float32)
    finally:
        logger.setLevel(level)
    for parameter in loaded.model.parameters():
        parameter.requires_grad_(False)
    loaded.quantization = "none"
    return loaded
