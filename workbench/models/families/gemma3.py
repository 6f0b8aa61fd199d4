"""Gemma 3 (text; Gemma Team 2025): local and global layers, normalised queries and keys, logits optionally capped by tanh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.models.families import register_family
from workbench.models.families.llama import DecoderFamily


@register_family
@dataclass(frozen=True)
class Gemma3Family(DecoderFamily):
    """transformers' Gemma3ForCausalLM."""

    name: str = "gemma3"
    title: str = "Gemma 3"
    model_types: tuple[str, ...] = ("gemma3_text",)
    features: tuple[str, ...] = ("causal attention", "RoPE", "RMSNorm", "GeGLU", "normalised queries and keys", "local and global layers")

    def finish_logits(self, model: nn.Module | Any, logits: torch.Tensor) -> torch.Tensor:
        """cap * tanh(logits / cap) where the configuration has a cap."""
        cap = model.config.final_logit_softcapping
        return logits if cap is None else torch.tanh(logits / cap) * cap
