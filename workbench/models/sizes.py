"""Whether a configuration and the weights beside it can belong together, found out before anything is allocated."""

from __future__ import annotations

from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from workbench.errors import ModelError
from workbench.models.folder import weight_files
from workbench.models.foreign import foreign

# Packed 4-bit weights store two numbers in one element; a head that the checkpoint lacks comes on top.
MOST_PARAMETERS_PER_ELEMENT = 4
ALWAYS_ALLOWED = 10_000_000
STORED_AS = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def empty_model(config: Any, kind: str) -> Any:
    """The model that a configuration describes, on the meta device: shapes without memory.

    Args:
        kind: "masked" or "causal".

    Raises:
        ModelError: sizes that make no model.
    """
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    loader = AutoModelForMaskedLM if kind == "masked" else AutoModelForCausalLM
    with foreign(_refusal), torch.device("meta"):
        # Without a dtype transformers makes the checkpoint's the default of the whole process meanwhile, other threads included.
        return loader.from_config(config, dtype=torch.float32, trust_remote_code=False)


def _refusal(error: Exception) -> ModelError:
    if isinstance(error, ImportError):  # a way of computing attention, or what a model type sees and hears with
        return ModelError(
            "config.json asks for a package that is not installed here.", fix="Remove attn_implementation from it, or choose another model."
        )
    return ModelError("The sizes in config.json do not make a model.", fix="Copy or download the model's config.json again.")


def refuse_swollen(folder: Path, kind: str) -> int:
    """Parameters of the model that config.json describes.

    Raises:
        ModelError: it asks for far more memory than the weights could ever fill, or makes no model.
    """
    from transformers import AutoConfig

    nothing = ModelError(f"config.json in {folder.name} describes no model.", fix="Copy or download the model's files again.")
    with foreign(lambda error: nothing):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    wanted = parameters_of(config, kind)
    stored = stored_elements(folder)
    if wanted > MOST_PARAMETERS_PER_ELEMENT * stored + ALWAYS_ALLOWED:
        raise ModelError(
            f"config.json in {folder.name} describes {wanted:,} parameters, and its weights hold {stored:,}.",
            fix="Put the config.json of this very model into the folder.",
        )
    return wanted


def parameters_of(config: Any, kind: str) -> int:
    """Parameters of the model that a configuration describes, tied ones once. Raises ModelError for sizes that make no model."""
    return sum(parameter.numel() for parameter in empty_model(config, kind).parameters())


def stored_elements(folder: Path) -> int:
    """Elements of all tensors in the folder's safetensors, read from their headers.

    Raises:
        ModelError: a file is damaged.
    """
    return sum(_stored(folder).values())


def stored_bytes(folder: Path, dtype: torch.dtype) -> int:
    """Bytes of the tensors of one type in the folder's safetensors.

    Raises:
        ModelError: a file is damaged.
    """
    return _stored(folder)[STORED_AS[dtype]] * dtype.itemsize


def _stored(folder: Path) -> Counter[str]:
    """Elements in the folder's safetensors by their type."""
    found: Counter[str] = Counter()
    for file in weight_files(folder):
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118  no mapping
                    tensor = tensors.get_slice(name)
                    found[tensor.get_dtype()] += prod(tensor.get_shape())
        except (OSError, SafetensorError):
            raise ModelError(
                f"The weights in {folder.name} cannot be loaded: {file.name} is damaged.", fix="Copy or download the model's files again."
            ) from None
    return found
