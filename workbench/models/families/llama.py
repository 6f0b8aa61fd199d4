"""Llama (Touvron et al. 2023) and decoders of the same layout: Mistral, SmolLM."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.models.families import register_family
from workbench.models.families.family import Family
from workbench.models.last_layer import NarrowForward, decoder_layer_at


@dataclass(frozen=True)
class DecoderFamily(Family):
    """The names that Llama and nearly every decoder after it use."""

    kind: str = "causal"
    backbone_path: str = "model"
    embeddings_path: str = "model.embed_tokens"
    layers_path: str = "model.layers"
    output_path: str = "lm_head"
    lora_targets: tuple[str, ...] = ("q_proj", "v_proj")
    head_prefixes: tuple[str, ...] = ("model.norm.",)
    query: str = "self_attn.q_proj"
    key: str = "self_attn.k_proj"
    value: str = "self_attn.v_proj"
    output: str = "self_attn.o_proj"
    feed_forward: tuple[str, ...] = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
    attention_norms: tuple[str, str] | None = ("input_layernorm", "")
    feed_forward_norms: tuple[str, str] | None = ("post_attention_layernorm", "")
    features: tuple[str, ...] = ("causal attention", "RoPE", "RMSNorm", "SwiGLU")


@register_family
@dataclass(frozen=True)
class LlamaFamily(DecoderFamily):
    """transformers' LlamaForCausalLM and MistralForCausalLM."""

    name: str = "llama"
    title: str = "Llama"
    model_types: tuple[str, ...] = ("llama", "mistral")
    packs: bool = True
    layer_at: NarrowForward | None = decoder_layer_at
