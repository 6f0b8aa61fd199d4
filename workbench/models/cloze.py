"""Logits of chosen words at chosen positions: the one question that prompt-based classification asks a language model.

The backbone runs once; the head's transform and the vocabulary product are computed at the gathered positions only, and the
product only for the rows that were asked for. On a 30,522-word vocabulary that leaves a few rows of thirty thousand at one
position of a hundred, and the numbers are those of the model's own full logits.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.models.last_layer import at, can_narrow, looking_at

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel


def cloze_logits(
    loaded: LoadedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    mask_positions: torch.Tensor,
    token_ids: torch.Tensor | None,
    *,
    normalizer: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Logits at `mask_positions`, differentiable in everything that requires a gradient.

    Args:
        input_ids, attention_mask: [B, T], padded on the right.
        mask_positions: [B, M]; for a causal model the position before the word, whose output predicts it.
        token_ids: [W] vocabulary ids, or None for the whole vocabulary.
        normalizer: also return the log of the sum of exponentials over the whole vocabulary, which makes logits
            log-probabilities; costs the full vocabulary product at these positions.

    Returns:
        float32 logits [B, M, W] (W = V without token_ids) and normalizer [B, M] or None.
    """
    device = loaded.device
    input_ids, attention_mask = input_ids.to(device), attention_mask.to(device)
    mask_positions = mask_positions.to(device)
    token_ids = None if token_ids is None else token_ids.to(device)
    if loaded.family.rows_only:
        states = last_states(loaded, input_ids, attention_mask, mask_positions)
        return vocabulary_logits(loaded, states, token_ids, normalizer=normalizer)
    options = _call_options(loaded)
    full = loaded.model(input_ids=input_ids, attention_mask=attention_mask, **options).logits
    full = at(full, mask_positions).flatten(0, 1)
    logits = full if token_ids is None else full[:, token_ids]
    return _shaped(logits, full if normalizer else None, *mask_positions.shape)


def vocabulary_logits(
    loaded: LoadedModel, states: torch.Tensor, token_ids: torch.Tensor | None, *, normalizer: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """As `cloze_logits`, from the last layer's states [B, M, H] of a family that computes rows of the product."""
    hidden = loaded.family.transform_hidden(loaded.model, states.flatten(0, 1))
    logits, full = _vocabulary_product(loaded, hidden, token_ids, whole=normalizer or token_ids is None)
    return _shaped(logits, full if normalizer else None, *states.shape[:2])


def _shaped(
    logits: torch.Tensor, full: torch.Tensor | None, batch: int, masks: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """[B * M, W] as [B, M, W], and the normalizers [B, M] of the full logits where they are given."""
    total = None if full is None else torch.logsumexp(full.float(), dim=-1).view(batch, masks)
    return logits.float().view(batch, masks, -1), total


def hidden_at(
    loaded: LoadedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, positions: torch.Tensor, *, transformed: bool = True
) -> torch.Tensor:
    """Hidden states at `positions` [B, M]: those that the vocabulary product takes, [B * M, E], or, not `transformed`, the last
    layer's, [B * M, H]."""
    input_ids, attention_mask = input_ids.to(loaded.device), attention_mask.to(loaded.device)
    if transformed and not loaded.family.rows_only:
        return _into_product(loaded, input_ids, attention_mask, positions)
    gathered = last_states(loaded, input_ids, attention_mask, positions).flatten(0, 1)
    return loaded.family.transform_hidden(loaded.model, gathered) if transformed else gathered


def last_states(
    loaded: LoadedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, positions: torch.Tensor, **options: Any
) -> torch.Tensor:
    """The backbone's output at `positions`, [B, M, H]; where the family says how, its last layer computes nothing for any other.

    Args:
        options: more for the backbone's call, such as position_ids.
    """
    family, options = loaded.family, {**_call_options(loaded), **options}
    backbone: Any = family.backbone(loaded.model)
    layer = family.layers(loaded.model)[-1]
    if family.layer_at is None or not can_narrow(layer) or loaded.model.config._attn_implementation == "eager":
        return at(backbone(input_ids=input_ids, attention_mask=attention_mask, **options).last_hidden_state, positions)
    with looking_at(layer, positions, family.layer_at):
        return backbone(input_ids=input_ids, attention_mask=attention_mask, **options).last_hidden_state


def _into_product(
    loaded: LoadedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, positions: torch.Tensor
) -> torch.Tensor:
    """What a head of unknown build passes into its vocabulary product, caught on its way during a full forward pass."""
    caught: list[torch.Tensor] = []
    caller = threading.get_ident()

    def catch(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        # The model may be shared: what another thread passes meanwhile is its own.
        if threading.get_ident() == caller:
            caught.append(given[0])

    hook = loaded.family.output_module(loaded.model).register_forward_pre_hook(catch)
    try:
        loaded.model(input_ids=input_ids, attention_mask=attention_mask, **_call_options(loaded))
    finally:
        hook.remove()
    return at(caught[-1], positions).flatten(0, 1)


def _call_options(loaded: LoadedModel) -> dict[str, Any]:
    # A key/value cache is only ever needed to generate; here it would keep every layer's keys alive.
    return {"use_cache": False} if loaded.kind == "causal" else {}


def _vocabulary_product(
    loaded: LoadedModel, hidden: torch.Tensor, token_ids: torch.Tensor | None, *, whole: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Logits [N, W], and the full ones [N, V] when `whole`."""
    family, model = loaded.family, loaded.model
    module: Any = family.output_module(model)
    # A quantized or adapted output (Linear4bit, a LoRA layer, an offloading hook) has no plain rows: it is called whole.
    if whole or type(module) is not nn.Linear or hasattr(module, "_hf_hook"):
        full = family.finish_logits(model, module(hidden))
        return (full if token_ids is None else full.index_select(1, token_ids)), full
    weight, bias = family.output_weight(model)
    assert token_ids is not None
    chosen = None if bias is None else bias.index_select(0, token_ids)
    return family.finish_logits(model, nn.functional.linear(hidden, weight.index_select(0, token_ids), chosen)), None
