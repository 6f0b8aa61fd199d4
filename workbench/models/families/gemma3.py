"""Gemma 3 (text; Gemma Team 2025): Gemma 2's layout with normalised queries and keys."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.models.families import register_family
from workbench.models.families.gemma import Gemma2Family


@register_family
@dataclass(frozen=True)
class Gemma3Family(Gemma2Family):
    """transformers' Gemma3ForCausalLM."""

    name: str = "gemma3"
    title: str = "Gemma 3"
    model_types: tuple[str, ...] = ("gemma3_text",)
    head_norms: tuple[str, ...] = ("self_attn.q_norm", "self_attn.k_norm")
    features: tuple[str, ...] = ("causal attention", "RoPE", "RMSNorm", "GeGLU", "normalised queries and keys", "local and global layers")
