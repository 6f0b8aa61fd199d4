"""8- and 4-bit weights through bitsandbytes, on GPU and CPU: LLM.int8 (Dettmers et al. 2022), NF4 and FP4 (Dettmers et al. 2023).

Only the linear maps of the layers are quantized; embeddings, norms and the vocabulary product stay as they are.
"""

from __future__ import annotations

import functools
import logging
import math
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import ModelError

QUANTIZATIONS = ("none", "int8", "nf4", "fp4")
DEQUANTIZE = "bitsandbytes::dequantize_4bit"


def quantization_config(name: str, device: torch.device, *, double: bool = True, compute_dtype: str = "auto") -> Any:
    """The `BitsAndBytesConfig` for int8, nf4 or fp4.

    Args:
        double: quantizes the scales of 4-bit weights too.
        compute_dtype: the type in which 4-bit weights are multiplied; auto is bfloat16 on a GPU that has it, float32 elsewhere.

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
    if device.type == "cpu":
        _read_half_blocks()
    # bfloat16 products did not finish on CPUs without such instructions; float32 runs at the speed of plain weights.
    compute = torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    if compute_dtype != "auto":
        compute = getattr(torch, compute_dtype)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=name, bnb_4bit_use_double_quant=double, bnb_4bit_compute_dtype=compute
    )


def keep_four_bit_exact(model: Any) -> None:
    """Keeps 4-bit layers from repacking themselves on CPUs with AVX-512 BF16 instructions.

    bitsandbytes 0.50 repacks a layer at its first call in evaluation mode: its scales become bfloat16, so the same layer answers
    differently in training and in evaluation, and widths that are no multiple of 64 raise.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


@functools.cache
def _read_half_blocks() -> torch.library.Library:
    """Has 4-bit matrices whose rows are no whole number of blocks read here on CPUs, as long as the answer lives.

    bitsandbytes 0.50 reads them with the wrong scales on CPUs with AVX-512 where half a block is left over: rows of 32, 96, 160 numbers
    come back with two to six times NF4's own error. Rows of whole blocks, as most models have, go on to its own kernel.
    """
    import bitsandbytes.functional  # registers the kernel

    kernels = torch.library.Library("bitsandbytes", "IMPL")
    own = torch.library.get_kernel(DEQUANTIZE, "CPU")
    table = functools.cache(bitsandbytes.functional.get_4bit_type)

    def read(keys: Any, A: Tensor, absmax: Tensor, blocksize: int, quant_type: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        if shape[-1] % blocksize == 0:
            return own.call_boxed(keys, A, absmax, blocksize, quant_type, shape, dtype)
        pairs, count = A.view(torch.uint8).flatten(), math.prod(shape)
        numbers = torch.stack([pairs >> 4, pairs & 15], dim=1).flatten()[:count].long()
        values = nn.functional.pad(table(quant_type, device="cpu")[numbers], (0, -count % blocksize))
        return (values.view(-1, blocksize) * absmax.float()[:, None]).flatten()[:count].reshape(shape).to(dtype)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?s).*Overriding a previously registered kernel")
        kernels.impl("dequantize_4bit", read, "CPU", with_keyset=True, allow_override=True)
    return kernels


def quiet_casts() -> None:
    """Drops the cast notice that int8 layers repeat on every call."""
    warnings.filterwarnings("ignore", message=r".*MatMul8bitLt.*")
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
