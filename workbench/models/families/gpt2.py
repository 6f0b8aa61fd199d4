"""GPT-2 (Radford et al. 2019): query, key and value in one packed map (transformers' Conv1D, weights transposed)."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.models.families import register_family
from workbench.models.families.family import Family


@register_family
@dataclass(frozen=True)
class Gpt2Family(Family):
    """transformers' GPT2LMHeadModel."""

    name: str = "gpt2"
    title: str = "GPT-2"
    kind: str = "causal"
    model_types: tuple[str, ...] = ("gpt2",)
    backbone_path: str = "transformer"
    embeddings_path: str = "transformer.wte"
    layers_path: str = "transformer.h"
    output_path: str = "lm_head"
    lora_targets: tuple[str, ...] = ("c_attn",)
    head_prefixes: tuple[str, ...] = ("transformer.ln_f.",)
    query: str = "attn.c_attn"
    key: str = "attn.c_attn"
    value: str = "attn.c_attn"
    output: str = "attn.c_proj"
    feed_forward: tuple[str, ...] = ("mlp.c_fc", "mlp.c_proj")
    attention_norms: tuple[str, str] | None = ("ln_1", "")
    feed_forward_norms: tuple[str, str] | None = ("ln_2", "")
    packs: bool = True
    features: tuple[str, ...] = ("causal attention", "learned positions", "LayerNorm before each block", "GELU")
