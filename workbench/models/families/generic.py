"""The family of an architecture that has no file of its own: found by transformers' conventions, exact, and slower."""

from __future__ import annotations

from typing import Any

from torch import nn

from workbench.errors import ModelError
from workbench.models.families.family import Family


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
        lora_targets=own or ((packed,) if packed else tuple(name for name in linear if "att" in name.lower())) or tuple(linear),
        linear=tuple(linear),
        head_prefixes=head,
        query=_first(linear, "q") or packed,
        key=_first(linear, "k") or packed,
        value=_first(linear, "v") or packed,
        features=("served by transformers' conventions",),
        rows_only=False,
    )


def linear_maps(layer: nn.Module) -> list[str]:
    """Names of a layer's linear maps; transformers' Conv1D is one with its weight transposed."""
    return [name for name, module in layer.named_modules() if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"]


def _first(names: list[str], letter: str) -> str:
    """The first linear map whose own name starts like query, key or value does; empty when there is none."""
    return next((name for name in names if name.rsplit(".", 1)[-1].startswith(letter)), "")
