"""RoBERTa (Liu et al. 2019), XLM-RoBERTa and CamemBERT: BERT's body with a flat `lm_head`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from workbench.models.families import register_family
from workbench.models.families.family import Family, bare_model
from workbench.models.last_layer import NarrowForward, encoder_layer_at


@register_family
@dataclass(frozen=True)
class RobertaFamily(Family):
    """transformers' RobertaForMaskedLM, and those of XLM-RoBERTa and CamemBERT, which have its layout."""

    name: str = "roberta"
    title: str = "RoBERTa"
    model_types: tuple[str, ...] = ("roberta", "xlm-roberta", "camembert")
    backbone_path: str = "roberta"
    embeddings_path: str = "roberta.embeddings.word_embeddings"
    layers_path: str = "roberta.encoder.layer"
    output_path: str = "lm_head.decoder"
    lora_targets: tuple[str, ...] = ("query", "value")
    head_prefixes: tuple[str, ...] = ("lm_head.dense.", "lm_head.layer_norm.", "lm_head.bias", "lm_head.decoder.bias")
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
        head = bare_model(model).lm_head
        return head.layer_norm(nn.functional.gelu(head.dense(hidden)))
