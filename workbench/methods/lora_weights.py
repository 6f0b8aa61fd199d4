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
    weight = dequantize_module_weight(base).detach().to(torch.float32, copy=True)
    if kept is not None:
        _put_back(base, kept)
    return weight


@torch.no_grad()
def tuned_weight(layer: Any) -> Tensor:
    """The matrix that a LoRA layer multiplies by, in float32: its own plus the product, and with DoRA every output's row rescaled to the
    learnt magnitude (Liu et al. 2024, equation 5)."""
    whole = plain_weight(layer) + layer.get_delta_weight("default").float()
    if not layer.use_dora["default"]:
        return whole
    along = 0 if layer.fan_in_fan_out else 1
    magnitude = layer.lora_magnitude_vector["default"].weight.float()
    return whole * (magnitude / whole.norm(dim=along)).unsqueeze(along)


@torch.no_grad()
def update_norms(peft_model: nn.Module, start: dict[str, Tensor]) -> list[tuple[str, float, float]]:
    """By matrix: name within the model, Frobenius norm of its update, and that norm's share of the matrix's own.

    Args:
        start: PiSSA's first factors by their names, whose product was taken off the matrices and belongs to them; else empty.
    """
    found = []
    for name, layer in adapted_layers(peft_model).items():
        own = plain_weight(layer)
        if start:
            first = layer.scaling["default"] * (start[f"{name}.lora_B.weight"].float() @ start[f"{name}.lora_A.weight"].float())
            own += first.T if layer.fan_in_fan_out else first
        size = float((tuned_weight(layer) - own).norm())
        found.append((name.removeprefix("base_model.model."), size, size / max(float(own.norm()), 1e-12)))
    return found


class Fold:
    """An update added to the weights, with everything needed to take it out again bit for bit. Holds a copy of the tuned matrices.

    Attributes:
        cost: largest relative difference (Frobenius) between what a folded matrix should be and what its format can hold.
    """

    def __init__(self, peft_model: nn.Module) -> None:
        self._layers = list(adapted_layers(peft_model).values())
        self._kept = [_keep(layer.get_base_layer()) for layer in self._layers]
        wanted = [tuned_weight(layer) for layer in self._layers]
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
