"""DistilBERT (Sanh et al. 2019): half of BERT's layers, head maps directly on the model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from workbench.models.families import register_family
from workbench.models.families.family import Family, bare_model


@register_family
@dataclass(frozen=True)
class DistilBertFamily(Family):
    """transformers' DistilBertForMaskedLM."""

    name: str = "distilbert"
    title: str = "DistilBERT"
    model_types: tuple[str, ...] = ("distilbert",)
    backbone_path: str = "distilbert"
    embeddings_path: str = "distilbert.embeddings.word_embeddings"
    layers_path: str = "distilbert.transformer.layer"
    output_path: str = "vocab_projector"
    lora_targets: tuple[str, ...] = ("q_lin", "v_lin")
    head_prefixes: tuple[str, ...] = ("vocab_transform.", "vocab_layer_norm.", "vocab_projector.bias")
    query: str = "attention.q_lin"
    key: str = "attention.k_lin"
    value: str = "attention.v_lin"
    output: str = "attention.out_lin"
    feed_forward: tuple[str, ...] = ("ffn.lin1", "ffn.lin2")
    attention_norms: tuple[str, str] | None = ("", "sa_layer_norm")
    feed_forward_norms: tuple[str, str] | None = ("", "output_layer_norm")
    features: tuple[str, ...] = ("bidirectional attention", "learned positions", "LayerNorm after each block", "MLM head")

    def transform_hidden(self, model: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
        bare = bare_model(model)
        return bare.vocab_layer_norm(bare.activation(bare.vocab_transform(hidden)))
