"""Family: the names of an architecture's parts, and the way from a hidden state to the vocabulary.

All paths are dotted attribute paths: from the model for `backbone_path`, `embeddings_path`, `layers_path` and `output_path`, from
one layer for `query`, `key`, `value`, `output`, `feed_forward`, the norms and `linear`. An object lives as long as the process and
holds no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.models.last_layer import NarrowForward


@dataclass(frozen=True)
class Family:
    """What one family of architectures calls its parts.

    Attributes:
        model_types: `config.model_type` values it serves.
        kind: "masked" or "causal".
        lora_targets: module name endings that LoRA adapts by default (Hu et al. 2021, section 4.2: query and value).
        head_prefixes: parameter name prefixes of the language-model head, without tied embeddings; empty when the head is
            only the vocabulary product.
        feed_forward: the linear maps of the feed-forward part, in order of use.
        attention_norms, feed_forward_norms: the norms before and behind either part; "" where there is none, both None where a family was
            read off a model whose norms were not recognised.
        head_norms: the norms of queries and keys.
        linear: every linear map of a layer, for a family read off a model, whose parts need not have been recognised.
        features: words for the model card; those that depend on the configuration are found by the card.
        rows_only: the vocabulary product may be computed for chosen rows at chosen positions.
        packs: several sequences may stand in one row, with positions and a mask of their own (models/packing.py).
        layer_at: computes the last layer at chosen positions only (models/last_layer.py); None where it has to be computed whole.
    """

    name: str = ""
    title: str = ""
    kind: str = "masked"
    model_types: tuple[str, ...] = ()
    backbone_path: str = ""
    embeddings_path: str = ""
    layers_path: str = ""
    output_path: str = ""
    lora_targets: tuple[str, ...] = ()
    head_prefixes: tuple[str, ...] = ()
    query: str = ""
    key: str = ""
    value: str = ""
    output: str = ""
    feed_forward: tuple[str, ...] = ()
    attention_norms: tuple[str, str] | None = None
    feed_forward_norms: tuple[str, str] | None = None
    head_norms: tuple[str, ...] = ()
    linear: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    rows_only: bool = True
    packs: bool = False
    layer_at: NarrowForward | None = None

    def backbone(self, model: nn.Module) -> nn.Module:
        """The model without its head: token ids to hidden states [B, T, H]."""
        return bare_model(model).get_submodule(self.backbone_path)

    def word_embeddings(self, model: nn.Module) -> nn.Module:
        """The table of input vectors, or whatever a method has put in its place."""
        return bare_model(model).get_submodule(self.embeddings_path)

    def layers(self, model: nn.Module) -> list[nn.Module]:
        """The transformer layers from the input on; ALBERT has one that is used several times."""
        return list(bare_model(model).get_submodule(self.layers_path).children())

    def output_module(self, model: nn.Module) -> nn.Module:
        """The module of the final vocabulary product."""
        return bare_model(model).get_submodule(self.output_path)

    def transform_hidden(self, model: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
        """Everything of the head before the vocabulary product: [N, H] to [N, E], E being the embedding width."""
        return hidden

    def output_weight(self, model: nn.Module) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Weight [V, E] and bias [V] or None of the vocabulary product, tied or not."""
        module: Any = self.output_module(model)
        return module.weight, module.bias

    def finish_logits(self, model: nn.Module, logits: torch.Tensor) -> torch.Tensor:
        """What the architecture does to logits after the product, elementwise; most do nothing."""
        return logits


def bare_model(model: nn.Module) -> nn.Module:
    """The transformers model inside a peft wrapper; injected layers stay in place."""
    unwrap = getattr(model, "get_base_model", None)
    return unwrap() if callable(unwrap) else model
