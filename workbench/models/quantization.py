"""8- and 4-bit weights through bitsandbytes, on GPU and CPU: LLM.int8 (Dettmers et al. 2022), NF4 and FP4 (Dettmers et al. 2023).

Only the linear maps of the layers are quantized; embeddings, norms and the vocabulary product stay as they are.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch

from workbench.errors import ModelError

QUANTIZATIONS = ("none", "int8", "nf4", "fp4")


def quantization_config(name: str, device: torch.device) -> Any:
    """The `BitsAndBytesConfig` for int8, nf4 or fp4, with double quantization of the 4-bit scales.

    Raises:
        ModelError: an unknown name, bitsandbytes missing, or a device that it does not serve.
    """
    if name not in QUANTIZATIONS[1:]:
        raise ModelError(f"There is no quantization '{name}'.", fix=f"Choose one of {', '.join(QUANTIZATIONS)}.")
    if device.type not in ("cpu", "cuda"):
        raise ModelError(f"Weights cannot be quantized on the device '{device}'.", fix="Choose device cpu or cuda, or quantization none.")
    try:
        import bitsandbytes  # noqa: F401
        from transformers import BitsAndBytesConfig
    except ImportError:
        raise ModelError(f"{name} needs the package bitsandbytes.", fix="Install it with pip install bitsandbytes.") from None
    if name == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    # bfloat16 products did not finish on CPUs without such instructions; float32 runs at the speed of plain weights.
    compute = torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=name, bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=compute
    )


def keep_four_bit_exact(model: Any) -> None:
    """Keeps 4-bit layers from repacking themselves on CPUs with AVX-512 BF16 instructions.

    bitsandbytes 0.50 repacks a layer at its first call in evaluation mode: its scales become bfloat16, so the same layer answers
    differently in training and in evaluation, and widths that are no multiple of 64 raise.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def quiet_casts() -> None:
    """Drops the cast notice that int8 layers repeat on every call."""
    warnings.filterwarnings("ignore", message=r".*MatMul8bitLt.*")
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
