"""The last transformer layer at the asked positions alone: its keys and values need every token, its queries, its feed-forward part and
everything behind it only those that are looked at.

The layer's own modules do the work, so adapted, quantized and hooked ones stay in effect; they only see fewer rows. A layer takes part
by its class, exchanged for one that behaves the same until `looking_at` says where to look; copies of the model copy it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch
from torch import nn

NarrowForward = Callable[..., torch.Tensor]
_POSITIONS: ContextVar[torch.Tensor | None] = ContextVar("positions", default=None)


@contextmanager
def looking_at(layer: nn.Module, positions: torch.Tensor, narrow: NarrowForward) -> Iterator[None]:
    """Within it, in this thread, `layer` answers at `positions` [B, M] only: [B, M, H] instead of [B, T, H]."""
    if not getattr(layer, "narrow", False):
        layer.__class__ = _narrowing(type(layer), narrow)
    token = _POSITIONS.set(positions)
    try:
        yield
    finally:
        _POSITIONS.reset(token)


def can_narrow(layer: nn.Module) -> bool:
    """Whether a layer may answer at fewer positions: nobody listens to its whole output, and no backward pass will call it again."""
    listened = bool(layer._forward_hooks or layer._forward_pre_hooks) or hasattr(layer, "_hf_hook")
    return not listened and not (layer.training and getattr(layer, "gradient_checkpointing", False))


@cache
def _narrowing(layer_class: type[nn.Module], narrow: NarrowForward) -> type[nn.Module]:
    def forward(self: nn.Module, hidden_states: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        positions = _POSITIONS.get()
        if positions is None:
            return layer_class.forward(self, hidden_states, *arguments, **options)
        return narrow(self, positions, hidden_states, *arguments, **options)

    # The name stays: transformers knows layers by the names of their classes when it shares a model out among devices.
    return type(layer_class.__name__, (layer_class,), {"forward": forward, "narrow": True, "__module__": layer_class.__module__})


def at(states: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """[B, T, H] and [B, M] to [B, M, H]."""
    rows = torch.arange(states.shape[0], device=states.device).unsqueeze(1)
    return states[rows, positions.to(states.device)]


def encoder_layer_at(
    layer: Any, positions: torch.Tensor, hidden: torch.Tensor, attention_mask: torch.Tensor | None = None, *rest: Any, **options: Any
) -> torch.Tensor:
    """BERT's layer, and RoBERTa's and ELECTRA's, which are of the same build."""
    attention = layer.attention.self
    wanted = at(hidden, positions)
    query, key, value = (
        _heads(module(states), attention.attention_head_size)
        for module, states in ((attention.query, wanted), (attention.key, hidden), (attention.value, hidden))
    )
    mask = mask_rows(attention_mask, positions)
    dropout = attention.dropout.p if attention.training else 0.0
    context = _attend(attention, query, key, value, mask, dropout, **_kept(options))
    return layer.feed_forward_chunk(layer.attention.output(context, wanted))


def decoder_layer_at(
    layer: Any, positions: torch.Tensor, hidden: torch.Tensor, attention_mask: torch.Tensor | None = None, *rest: Any, **options: Any
) -> torch.Tensor:
    """Llama's layer, and Mistral's, Qwen2's and Qwen3's, which are of the same build."""
    attention, size = layer.self_attn, layer.self_attn.head_dim
    normed = layer.input_layernorm(hidden)
    query, key = _split(attention.q_proj(at(normed, positions)), size), _split(attention.k_proj(normed), size)
    if hasattr(attention, "q_norm"):  # Qwen3
        query, key = attention.q_norm(query), attention.k_norm(key)
    cosine, sine = (part.expand(hidden.shape[0], -1, -1) for part in options.pop("position_embeddings"))
    query = _rotated(query.transpose(1, 2), at(cosine, positions), at(sine, positions))
    key = _rotated(key.transpose(1, 2), cosine, sine)
    mask = mask_rows(attention_mask, positions)
    if mask is None:  # causal attention by the function's own rule would count from the first query, not from its position
        mask = (torch.arange(hidden.shape[1], device=hidden.device) <= positions[..., None])[:, None]
    dropout = attention.attention_dropout if attention.training else 0.0
    value = _heads(attention.v_proj(normed), size)
    context = _attend(attention, query, key, value, mask, dropout, **_kept(options))
    wanted = at(hidden, positions) + attention.o_proj(context)
    return wanted + layer.mlp(layer.post_attention_layernorm(wanted))


def mask_rows(mask: torch.Tensor | None, positions: torch.Tensor) -> torch.Tensor | None:
    """The rows of an attention mask [B or 1, heads or 1, T or 1, keys] that belong to the queries at `positions` [B, M]."""
    if mask is None or mask.shape[-2] == 1:
        return mask
    batch, masks = positions.shape
    mask = mask.expand(batch, *mask.shape[1:])
    return mask.gather(2, positions[:, None, :, None].expand(batch, mask.shape[1], masks, mask.shape[-1]))


def _attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, dropout: float, **options: Any
) -> torch.Tensor:
    """The model's own attention function; [B, M, heads * head_dim]."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    function = ALL_ATTENTION_FUNCTIONS[module.config._attn_implementation]
    context, _ = function(module, query, key, value, mask, dropout=dropout, scaling=module.scaling, is_causal=False, **options)
    return context.reshape(*context.shape[:2], -1).contiguous()


def _split(states: torch.Tensor, size: int) -> torch.Tensor:
    return states.view(*states.shape[:2], -1, size)


def _heads(states: torch.Tensor, size: int) -> torch.Tensor:
    """[B, T, heads * size] to [B, heads, T, size]."""
    return _split(states, size).transpose(1, 2)


def _rotated(states: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Rotary positions (Su et al. 2021, equation 34, halves instead of pairs as in transformers)."""
    first, second = states.chunk(2, dim=-1)
    return states * cosine.unsqueeze(1) + torch.cat((-second, first), dim=-1) * sine.unsqueeze(1)


def _kept(options: dict[str, Any]) -> dict[str, Any]:
    """What a layer hands on to the attention function; caches and encoders have no part in reading a prompt."""
    dropped = ("past_key_values", "use_cache", "encoder_hidden_states", "encoder_attention_mask", "position_ids", "cache_position")
    return {name: value for name, value in options.items() if name not in dropped}
