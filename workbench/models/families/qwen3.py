"""Qwen3 (Qwen Team 2025): Llama's layout with normalised queries and keys."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.models.families import register_family
from workbench.models.families.llama import DecoderFamily
from workbench.models.last_layer import NarrowForward, decoder_layer_at


@register_family
@dataclass(frozen=True)
class Qwen3Family(DecoderFamily):
    """transformers' Qwen3ForCausalLM."""

    name: str = "qwen3"
    title: str = "Qwen3"
    model_types: tuple[str, ...] = ("qwen3",)
    head_norms: tuple[str, ...] = ("self_attn.q_norm", "self_attn.k_norm")
    packs: bool = True
    layer_at: NarrowForward | None = decoder_layer_at
    features: tuple[str, ...] = ("causal attention", "RoPE", "RMSNorm", "SwiGLU", "normalised queries and keys")
