"""What the mask looks at: attention weights of the last layer, for a picture. Not an explanation of the answer, and said so."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel

_ONE_AT_A_TIME = threading.Lock()


def attention_at(
    loaded: LoadedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, positions: torch.Tensor
) -> torch.Tensor | None:
    """Attention weights from `positions` over the prompt: the last layer's, the mean over its heads and over the positions.

    Only eager attention has weights to show, so the model is switched to it for this call and back.

    Args:
        input_ids, attention_mask: [B, T]; positions: [B, M].

    Returns:
        [B, T], every row a distribution over the tokens of its prompt; None from a model that gives no weights.
    """
    model: Any = loaded.model
    with _ONE_AT_A_TIME:
        before = model.config._attn_implementation
        model.set_attn_implementation("eager")
        try:
            with torch.no_grad():
                backbone: Any = loaded.family.backbone(model)
                weights = backbone(input_ids=input_ids, attention_mask=attention_mask, output_attentions=True).attentions
        finally:
            model.set_attn_implementation(before)
    if not weights or weights[-1] is None:
        return None
    last = weights[-1].float().mean(dim=1)
    rows = torch.arange(len(last), device=last.device).unsqueeze(1)
    return last[rows, positions.to(last.device)].mean(dim=1)
