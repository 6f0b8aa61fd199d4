"""Gemma and Gemma 2 (Gemma Team 2024): Llama's layout with GeGLU; Gemma 2 with local layers, norms around both parts and capped logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.models.families import register_family
from workbench.models.families.llama import DecoderFamily


@register_family
@dataclass(frozen=True)
class GemmaFamily(DecoderFamily):
    """transformers' GemmaForCausalLM."""

    name: str = "gemma"
    title: str = "Gemma"
    model_types: tuple[str, ...] = ("gemma",)
    features: tuple[str, ...] = ("causal attention", "RoPE", "RMSNorm", "GeGLU")


@register_family
@dataclass(frozen=True)
class Gemma2Family(DecoderFamily):
    """transformers' Gemma2ForCausalLM."""

    name: str = "gemma2"
    title: str = "Gemma 2"
    model_types: tuple[str, ...] = ("gemma2",)
    attention_norms: tuple[str, str] | None = ("input_layernorm", "post_attention_layernorm")
    feed_forward_norms: tuple[str, str] | None = ("pre_feedforward_layernorm", "post_feedforward_layernorm")
    features: tuple[str, ...] = ("causal attention", "RoPE", "RMSNorm", "GeGLU", "local and global layers")

    def finish_logits(self, model: nn.Module | Any, logits: torch.Tensor) -> torch.Tensor:
        """cap * tanh(logits / cap) where the configuration has a cap."""
        cap = model.config.final_logit_softcapping
        return logits if cap is None else torch.tanh(logits / cap) * cap
