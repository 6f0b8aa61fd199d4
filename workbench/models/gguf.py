"""GGUF files (llama.cpp's format), read by transformers into plain weights that can be tuned and saved like any others."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from workbench.errors import ModelError
from workbench.recipe import ModelPart

# What transformers' reader raises on files that are cut, altered, or of an architecture that it does not know.
_UNREADABLE = (
    OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, NotImplementedError, ArithmeticError, MemoryError,
    AssertionError, struct.error,
)  # fmt: skip


def is_gguf(path: Path) -> bool:
    """Whether a path is a GGUF file, by its name and its first four bytes."""
    if path.suffix.lower() != ".gguf" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def load_gguf(file: Path, part: ModelPart, dtype: torch.dtype, device: torch.device) -> tuple[Any, Any]:
    """Model in evaluation mode, its weights unpacked to `dtype`, and tokenizer.

    Raises:
        ModelError: quantization asked for on top, the package gguf missing, or an architecture that transformers cannot read.
    """
    from transformers import AutoModelForCausalLM, GgufConfig

    if part.quantization != "none":
        raise ModelError(
            "A GGUF file is unpacked to plain weights, which cannot be quantized while loading.", fix="Choose quantization none."
        )
    tokenizer = gguf_tokenizer(file)
    with _plain_reading(file), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=dtype, trust_remote_code=False, local_files_only=True,
            quantization_config=GgufConfig(dequantize=True),
        )  # fmt: skip
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return model.to(device).eval(), tokenizer


def gguf_tokenizer(file: Path) -> Any:
    """The tokenizer inside a GGUF file, with a token to pad with; the weights are not read.

    Raises:
        ModelError: as `load_gguf`.
    """
    from transformers import AutoTokenizer

    with _plain_reading(file):
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False, local_files_only=True)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


@contextmanager
def _plain_reading(file: Path) -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise ModelError("Reading GGUF files needs the package gguf.", fix="Install it with pip install gguf.") from None
    except _UNREADABLE as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160].rstrip(".")
        raise ModelError(f"{file.name} cannot be read ({reason}).", fix="Download it again, or choose the model in safetensors.") from None


def gguf_config(file: Path) -> Any:
    """The transformers configuration of a GGUF file, without its weights."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False, local_files_only=True)
    except (*_UNREADABLE, ImportError) as error:
        raise ModelError(f"{file.name} cannot be read ({type(error).__name__}).", fix="Download it again.") from None
    return config
