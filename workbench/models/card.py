"""The model card: what is inside a model, from its configuration alone.

The architecture is built on PyTorch's meta device, where tensors have shapes and no storage, so a 7B model's card takes a second
and no memory.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from workbench.errors import ModelError
from workbench.models.baichuan import is_baichuan, llama_config
from workbench.models.families import Family, family_of
from workbench.models.folder import check_config, read_config
from workbench.models.gguf import gguf_config, is_gguf
from workbench.models.loading import LoadedModel, find_device, find_model, locate, weight_dtype
from workbench.models.memory import DTYPE_BYTES, weights_bytes
from workbench.models.quantization import QUANTIZATIONS
from workbench.models.sizes import empty_model
from workbench.recipe import ModelPart


@dataclass(frozen=True)
class ModelCard:
    """Counts in parameters, sizes in units of the hidden state, memory in bytes.

    Attributes:
        parameters_by_part: embeddings, attention, feed_forward, normalisation_and_other, head; tied weights count once.
        feed_forward_size: 0 where it is not known, as are `heads` of an architecture without attention.
        norms: whether one stands before attention, behind it, before the feed-forward part, behind it; None where it is not known.
        linear_parameters: those in matrices that quantization reaches; `linear_rows` their output rows.
        memory: bytes of the weights as none, int8, nf4 and fp4, what is not quantized in `memory_dtype`, the type that loading takes.
        cache_bytes_per_token: keys and values of all layers in `memory_dtype`; 0 for masked models, which keep none.
        cache_bytes_per_token_all_heads: the same if every query head had keys and values of its own.
    """

    name: str
    family: str
    kind: str
    architecture: str
    parameters: int
    parameters_by_part: dict[str, int]
    layers: int
    hidden_size: int
    feed_forward_size: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    max_length: int
    gated: bool
    norms: list[bool] | None
    features: list[str]
    quantization: str
    memory: dict[str, int]
    memory_dtype: str
    cache_bytes_per_token: int
    cache_bytes_per_token_all_heads: int
    linear_parameters: int
    linear_rows: int

    def to_json(self) -> dict[str, Any]:
        """The card as plain values that JSON can hold."""
        return asdict(self)


def model_card(source: str | ModelPart | LoadedModel) -> ModelCard:
    """The card of a loaded model, of a recipe's, or of `embedded:NAME`, a folder with a config.json (weights are not needed), or a hub id.

    Raises:
        ModelError: not found, not a language model, own code, or a device that this computer does not have.
    """
    if isinstance(source, LoadedModel):
        dtype = str(source.model.dtype).removeprefix("torch.")
        packed = getattr(source.model.config, "quantization_config", None)
        double = packed.bnb_4bit_use_double_quant if source.quantization in ("nf4", "fp4") else True
        how = {"quantization": source.quantization, "dtype": dtype, "device": str(source.device), "double_quantization": double}
        part = ModelPart.model_validate(how)
        return card_of(source.model.config, source.kind, source.name, part)
    part = ModelPart(path=source) if isinstance(source, str) else source
    return card_of(*configuration(part.path, part.revision), part)


def card_of(config: Any, kind: str, name: str, part: ModelPart | None = None) -> ModelCard:
    """The card of what a transformers configuration describes; `kind` is masked or causal.

    Args:
        part: how the weights would be loaded; None for a recipe's defaults.

    Raises:
        ModelError: sizes that make no model, or a device that this computer does not have.
    """
    part = part or ModelPart()
    model = empty_model(config, kind)
    family = family_of(model, kind)
    linear, rows = _quantizable(model)
    parameters = sum(p.numel() for p in model.parameters())
    dtype = str(weight_dtype(part.dtype, find_device(part.device), parameters)).removeprefix("torch.")
    heads = getattr(config, "num_attention_heads", None) or 0
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    head_size = getattr(config, "head_dim", None) or (config.hidden_size // heads if heads else 0)
    cache = 2 * config.num_hidden_layers * head_size * DTYPE_BYTES[dtype] if kind == "causal" else 0
    feed_forward_size, gated = _feed_forward(model, family)
    return ModelCard(
        name=name,
        family=family.name,
        kind=kind,
        architecture=type(model).__name__,
        parameters=parameters,
        parameters_by_part=_by_part(model, family),
        layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        feed_forward_size=feed_forward_size,
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        vocabulary=config.vocab_size,
        max_length=max_length(config),
        gated=gated,
        norms=_norms(family),
        features=_features(model, family, heads, kv_heads),
        quantization=part.quantization,
        memory={q: weights_bytes(linear, rows, parameters - linear, q, dtype, part.double_quantization) for q in QUANTIZATIONS},
        memory_dtype=dtype,
        cache_bytes_per_token=cache * kv_heads,
        cache_bytes_per_token_all_heads=cache * heads,
        linear_parameters=linear,
        linear_rows=rows,
    )


def max_length(config: Any) -> int:
    """The longest input in tokens that the positions allow; RoBERTa's table starts after the padding id."""
    positions = int(getattr(config, "max_position_embeddings", 0) or 0)
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        return positions - (config.pad_token_id or 0) - 1
    return positions


def configuration(source: str, revision: str | None = None) -> tuple[Any, str, str]:
    """The transformers configuration of a model that is not loaded, its kind and its name; of a Baichuan layout that of the Llama it is.

    Raises:
        ModelError: not found, not a language model, own code.
    """
    folder = locate(source, revision, config_only=True)
    config, kind = configuration_in(folder)
    # A hub model lies in the cache under its commit, which says nothing to a person.
    named = source.startswith("embedded:") or isinstance(find_model(source, revision), str)
    return config, kind, source if named else folder.name


def configuration_in(folder: Path) -> tuple[Any, str]:
    """The transformers configuration in a folder or a GGUF file, and its kind; of a Baichuan layout that of the Llama it is.

    Raises:
        ModelError: it describes no language model, or wants code of its own.
    """
    from transformers import AutoConfig, LlamaConfig

    if is_gguf(folder):
        return gguf_config(folder), "causal"
    content = read_config(folder)
    if is_baichuan(content):
        return LlamaConfig(**llama_config(content)), "causal"
    kind = check_config(folder, content)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        raise ModelError(
            f"config.json in {folder.name} does not describe a model.", fix="Copy or download the model's files again."
        ) from None
    return config, kind


def quantizable(model: Any) -> list[Any]:
    """The linear maps that bitsandbytes replaces, by transformers' own rule of what it leaves alone."""
    from transformers.pytorch_utils import Conv1D
    from transformers.quantizers.base import get_keys_to_not_convert

    kept = set(get_keys_to_not_convert(model))
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and not any(name == key or name.startswith(key + ".") for key in kept)
    ]


def _quantizable(model: Any) -> tuple[int, int]:
    """Parameters and output rows of the matrices that bitsandbytes replaces; a Conv1D keeps its matrix the other way round."""
    maps = quantizable(model)
    rows = sum(module.weight.shape[0 if isinstance(module, nn.Linear) else 1] for module in maps)
    return sum(module.weight.numel() for module in maps), rows


def _by_part(model: Any, family: Family) -> dict[str, int]:
    parts = dict.fromkeys(("embeddings", "attention", "feed_forward", "normalisation_and_other", "head"), 0)
    attention = [path for path in (family.query, family.key, family.value, family.output) if path]
    for name, parameter in model.named_parameters():
        parts[_part(name, family, attention)] += parameter.numel()
    return parts


def _part(name: str, family: Family, attention: list[str]) -> str:
    if name.startswith(family.layers_path + "."):
        inside = name.removeprefix(family.layers_path + ".").split(".", 1)[1]
        if any(inside.startswith(path + ".") for path in attention):
            return "attention"
        if any(inside.startswith(path + ".") for path in family.feed_forward):
            return "feed_forward"
        return "normalisation_and_other"
    if not name.startswith(family.backbone_path + "."):
        return "head"
    return "embeddings" if "embed" in name or name.split(".")[1] in ("wte", "wpe") else "normalisation_and_other"


def _feed_forward(model: Any, family: Family) -> tuple[int, bool]:
    """Width inside the feed-forward part, and whether one map gates another; both may be one map of twice the width."""
    # Of a family read off a model the configuration tells more surely than the shapes.
    width = int(getattr(model.config, "intermediate_size", None) or 0) if family.linear else 0
    if not family.feed_forward:
        return width, False
    first: Any = family.layers(model)[0].get_submodule(family.feed_forward[0])
    rows = first.out_features if isinstance(first, nn.Linear) else first.nf
    return width or rows, len(family.feed_forward) > 2 or rows == 2 * width


def _norms(family: Family) -> list[bool] | None:
    if family.attention_norms is None or family.feed_forward_norms is None:
        return None
    return [bool(name) for name in (*family.attention_norms, *family.feed_forward_norms)]


def _features(model: Any, family: Family, heads: int, kv_heads: int) -> list[str]:
    features = list(family.features)
    if _norms(family) == [True, False, True, False] and "LayerNorm before each block" not in features:
        features.append("pre-normalisation")
    if not heads:
        features.append("no attention heads")
    elif kv_heads == heads:
        features.append("multi-head attention")
    else:
        features.append("multi-query attention" if kv_heads == 1 else "grouped-query attention")
    if model.get_output_embeddings().weight is model.get_input_embeddings().weight:
        features.append("tied embeddings")
    return features
