"""ELECTRA's generator (Clark et al. 2020): the masked language model of the pair; the discriminator has no vocabulary head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from workbench.models.families import register_family
from workbench.models.families.family import Family, bare_model
from workbench.models.last_layer import NarrowForward, encoder_layer_at


@register_family
@dataclass(frozen=True)
class ElectraFamily(Family):
    """transformers' ElectraForMaskedLM, the generator."""

    name: str = "electra"
    title: str = "ELECTRA generator"
    model_types: tuple[str, ...] = ("electra",)
    backbone_path: str = "electra"
    embeddings_path: str = "electra.embeddings.word_embeddings"
    layers_path: str = "electra.encoder.layer"
    output_path: str = "generator_lm_head"
    lora_targets: tuple[str, ...] = ("query", "value")
    head_prefixes: tuple[str, ...] = ("generator_predictions.", "generator_lm_head.bias")
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    output: str = "attention.output.dense"
    feed_forward: tuple[str, ...] = ("intermediate.dense", "output.dense")
    attention_norms: tuple[str, str] | None = ("", "attention.output.LayerNorm")
    feed_forward_norms: tuple[str, str] | None = ("", "output.LayerNorm")
    layer_at: NarrowForward | None = encoder_layer_at
    features: tuple[str, ...] = ("bidirectional attention", "learned positions", "factorised embeddings", "MLM head")

    def transform_hidden(self, model: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
        return bare_model(model).generator_predictions(hidden)
