"""What the mask looks at: attention weights of the last layer, for a picture. Not an explanation of the answer, and said so."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel


def attention_at(
    loaded: LoadedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, positions: torch.Tensor
) -> torch.Tensor | None:
    """Attention weights from `positions` over the prompt: the last layer's, the mean over its heads and over the positions.

    Only eager attention has weights to show, so a twin of the model is asked that has the same weights and a configuration of its own:
    other threads are asking the model meanwhile.

    Args:
        input_ids, attention_mask: [B, T]; positions: [B, M].

    Returns:
        [B, T], every row a distribution over the tokens of its prompt; None from a model that gives no weights.
    """
    twin: Any = _twin(loaded.model, {})
    twin.set_attn_implementation("eager")
    with torch.no_grad():
        backbone: Any = loaded.family.backbone(twin)
        weights = backbone(input_ids=input_ids, attention_mask=attention_mask, output_attentions=True).attentions
    if not weights or weights[-1] is None:
        return None
    last = weights[-1].float().mean(dim=1)
    rows = torch.arange(len(last), device=last.device).unsqueeze(1)
    return last[rows, positions.to(last.device)].mean(dim=1)


def _twin(module: nn.Module, configs: dict[int, Any]) -> nn.Module:
    """The module with the same tensors, in modules of its own all the way down. transformers listens to layers with hooks when it is asked
    for attention, and leaves them there: on the twin they are in nobody's way."""
    twin = copy.copy(module)
    own: dict[str, Any] = {name: value.copy() for name, value in vars(module).items() if name.startswith("_forward") and value is not None}
    own["_modules"] = {name: _twin(child, configs) if child is not None else None for name, child in module._modules.items()}
    if "config" in vars(module):
        own["config"] = configs.setdefault(id(module.config), copy.deepcopy(module.config))
    vars(twin).update(own)
    return twin
