"""A model's lower layers read by themselves, and its upper layers going on from what they said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from workbench.models.cloze import last_states

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel


def trained_from(loaded: LoadedModel, input_ids: Tensor, attention_mask: Tensor) -> int:
    """Number of the first layer whose output depends on something that trains; 0 where what it reads does already, where no layer's
    output does, and for a family whose layers are not a plain sequence of tensors."""
    layers, outputs = loaded.family.layers(loaded.model), []
    handles = [layer.register_forward_hook(lambda module, given, output: outputs.append(output)) for layer in layers]
    try:
        with torch.enable_grad():
            last_states(loaded, input_ids, attention_mask, torch.zeros_like(input_ids[:, :1]))
    finally:
        for handle in handles:
            handle.remove()
    if len(outputs) != len(layers) or not all(isinstance(output, Tensor) for output in outputs):
        return 0
    return next((number for number, output in enumerate(outputs) if output.requires_grad), 0)


def read_below(loaded: LoadedModel, number: int, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """What layer `number`, from 1, reads: [B, T, H]."""
    found: list[Tensor] = []
    below: nn.Module = loaded.family.layers(loaded.model)[number - 1]
    handle = below.register_forward_hook(lambda module, given, output: found.append(output))
    try:
        with torch.no_grad():
            last_states(loaded, input_ids, attention_mask, torch.zeros_like(input_ids[:, :1]))
    finally:
        handle.remove()
    return found[0]


@contextmanager
def above(loaded: LoadedModel, number: int, states: Tensor) -> Iterator[None]:
    """Within it layer `number`, from 1, reads `states` [B, T, H], and those below it compute nothing. For the model's only user."""

    def known(*given: Any, **options: Any) -> Tensor:
        return states

    below: list[Any] = list(loaded.family.layers(loaded.model)[:number])
    own = [vars(layer).get("forward") for layer in below]  # where another library has put one over the class's
    for layer in below:
        layer.forward = known
    try:
        yield
    finally:
        for layer, before in zip(below, own, strict=True):
            del layer.forward
            if before is not None:
                layer.forward = before
