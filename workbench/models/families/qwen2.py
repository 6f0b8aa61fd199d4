"""Qwen2 and Qwen2.5 (Yang et al. 2024): Llama's layout with biases on query, key and value."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.models.families import register_family
from workbench.models.families.llama import DecoderFamily
from workbench.models.last_layer import NarrowForward, decoder_layer_at


@register_family
@dataclass(frozen=True)
class Qwen2Family(DecoderFamily):
    """transformers' Qwen2ForCausalLM."""

    name: str = "qwen2"
    title: str = "Qwen2"
    model_types: tuple[str, ...] = ("qwen2",)
    packs: bool = True
    layer_at: NarrowForward | None = decoder_layer_at
    features: tuple[str, ...] = ("causal attention", "RoPE", "RMSNorm", "SwiGLU", "biases on query, key and value")
