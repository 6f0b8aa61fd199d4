"""ALBERT (Lan et al. 2020): one layer used at every depth, and embeddings narrower than the hidden state."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from workbench.models.families import register_family
from workbench.models.families.family import Family, bare_model


@register_family
@dataclass(frozen=True)
class AlbertFamily(Family):
    """transformers' AlbertForMaskedLM."""

    name: str = "albert"
    title: str = "ALBERT"
    model_types: tuple[str, ...] = ("albert",)
    backbone_path: str = "albert"
    embeddings_path: str = "albert.embeddings.word_embeddings"
    layers_path: str = "albert.encoder.albert_layer_groups.0.albert_layers"
    output_path: str = "predictions.decoder"
    lora_targets: tuple[str, ...] = ("query", "value")
    head_prefixes: tuple[str, ...] = ("predictions.dense.", "predictions.LayerNorm.", "predictions.bias", "predictions.decoder.bias")
    query: str = "attention.query"
    key: str = "attention.key"
    value: str = "attention.value"
    output: str = "attention.dense"
    feed_forward: tuple[str, ...] = ("ffn", "ffn_output")
    attention_norms: tuple[str, str] | None = ("", "attention.LayerNorm")
    feed_forward_norms: tuple[str, str] | None = ("", "full_layer_layer_norm")
    features: tuple[str, ...] = ("bidirectional attention", "learned positions", "shared layers", "factorised embeddings", "MLM head")

    def transform_hidden(self, model: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
        head = bare_model(model).predictions
        return head.LayerNorm(head.activation(head.dense(hidden)))
