"""The family of an architecture that has no file of its own: found by transformers' conventions, exact, and slower."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from workbench.errors import ModelError
from workbench.models.families.family import Family
from workbench.models.families.gemma import Gemma2Family
from workbench.models.families.llama import LlamaFamily

HEAD_NORM = re.compile(r"(^|\.)[qk]_?(layer)?norm$")


def generic_family(model: nn.Module | Any, kind: str) -> Family:
    """A family read off one model. Its logits come from the model's own full forward pass (`rows_only` is False).

    Raises:
        ModelError: when the model names no backbone, no layers or no output embeddings.
    """
    names = {id(module): name for name, module in model.named_modules()}
    backbone = getattr(model, model.base_model_prefix, None)
    output = model.get_output_embeddings()
    depth = getattr(model.config, "num_hidden_layers", None)
    layers = next((m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == depth), None)
    if backbone is None or output is None or layers is None:
        raise ModelError(
            f"The architecture '{model.config.model_type}' does not name its parts as transformers models usually do.",
            fix="Choose a model of another family, such as BERT, RoBERTa, Qwen2 or Llama.",
        )
    linear = linear_maps(layers[0])
    # Query, key and value in one map (ModernBERT's Wqkv); what LoRA tunes by default falls back on it, then on all of attention.
    packed = next((name for name in linear if "qkv" in name.rsplit(".", 1)[-1].lower()), "")
    own = tuple(name.rsplit(".", 1)[-1] for name in (_first(linear, "q"), _first(linear, "v")) if name)
    query, key, value = (_first(linear, letter) or packed for letter in "qkv")
    attention = [name for name in linear if "att" in name.lower()]
    behind = [name for name in attention if name not in (query, key, value)]
    forward = tuple(name for name in linear if name not in attention)
    norms = [name for name, module in layers[0].named_modules() if "norm" in type(module).__name__.lower()]
    head_norms = tuple(name for name in norms if HEAD_NORM.search(name))
    placed = _placed({*norms} - {*head_norms})
    prefix = model.base_model_prefix + "."
    head = tuple(name for name, _ in model.named_parameters() if not name.startswith(prefix))
    return Family(
        name=model.config.model_type,
        title=model.config.model_type,
        kind=kind,
        model_types=(model.config.model_type,),
        backbone_path=model.base_model_prefix,
        embeddings_path=names[id(model.get_input_embeddings())],
        layers_path=names[id(layers)],
        output_path=names[id(output)],
        lora_targets=own or ((packed,) if packed else tuple(attention)) or tuple(linear),
        linear=tuple(linear),
        head_prefixes=head,
        query=query,
        key=key,
        value=value,
        output=behind[0] if len(behind) == 1 else "",
        feed_forward=forward if len(forward) in (2, 3) else (),  # experts have many
        attention_norms=placed[0] if placed else None,
        feed_forward_norms=placed[1] if placed else None,
        head_norms=head_norms,
        features=("served by transformers' conventions", *_features(model, layers[0], kind, head_norms, gated=len(forward) == 3)),
        rows_only=False,
    )


def _placed(norms: set[str]) -> tuple[tuple[str, str], tuple[str, str]] | None:
    """The norms of attention and of the feed-forward part, where a layer calls them as Llama or Gemma 2 do."""
    for family in (LlamaFamily(), Gemma2Family()):
        attention, forward = family.attention_norms, family.feed_forward_norms
        if attention and forward and norms == {name for name in (*attention, *forward) if name}:
            return attention, forward
    return None


def _features(model: nn.Module | Any, layer: nn.Module, kind: str, head_norms: tuple[str, ...], *, gated: bool) -> list[str]:
    """What the configuration and the classes of a layer's modules tell for certain."""
    config = model.config
    found = ["causal attention" if kind == "causal" else "bidirectional attention"]
    if getattr(config, "rope_parameters", None) or getattr(config, "rope_theta", None):
        found.append("RoPE")
    if any("RMSNorm" in type(module).__name__ for module in layer.modules()):
        found.append("RMSNorm")
    if gated:
        activation = str(getattr(config, "hidden_act", None) or getattr(config, "hidden_activation", None))
        found += ["SwiGLU"] if activation in ("silu", "swish") else ["GeGLU"] if activation.startswith("gelu") else []
    return found + ["normalised queries and keys"] * bool(head_norms)


def linear_maps(layer: nn.Module) -> list[str]:
    """Names of a layer's linear maps; transformers' Conv1D is one with its weight transposed."""
    return [name for name, module in layer.named_modules() if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"]


def _first(names: list[str], letter: str) -> str:
    """The first linear map whose own name starts like query, key or value does; empty when there is none."""
    return next((name for name in names if name.rsplit(".", 1)[-1].startswith(letter)), "")
