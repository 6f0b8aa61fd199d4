"""BERT (Devlin et al. 2019) and checkpoints of its shape: MacBERT, BERT-wwm, MiniLM, multilingual BERT."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from workbench.models.families import register_family
from workbench.models.families.family import Family, bare_model
from workbench.models.last_layer import NarrowForward, encoder_layer_at


@register_family
@dataclass(frozen=True)
class BertFamily(Family):
    """transformers' BertForMaskedLM."""

    name: str = "bert"
    title: str = "BERT"
    model_types: tuple[str, ...] = ("bert",)
    backbone_path: str = "bert"
    embeddings_path: str = "bert.embeddings.word_embeddings"
    layers_path: str = "bert.encoder.layer"
    output_path: str = "cls.predictions.decoder"
    lora_targets: tuple[str, ...] = ("query", "value")
    head_prefixes: tuple[str, ...] = ("cls.predictions.transform.", "cls.predictions.bias", "cls.predictions.decoder.bias")
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    output: str = "attention.output.dense"
    feed_forward: tuple[str, ...] = ("intermediate.dense", "output.dense")
    attention_norms: tuple[str, str] | None = ("", "attention.output.LayerNorm")
    feed_forward_norms: tuple[str, str] | None = ("", "output.LayerNorm")
    layer_at: NarrowForward | None = encoder_layer_at
    features: tuple[str, ...] = ("bidirectional attention", "learned positions", "LayerNorm after each block", "MLM head")

    def transform_hidden(self, model: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
        return bare_model(model).cls.predictions.transform(hidden)
