"""What a device can do: number format of the forward pass, gradient scaling, memory figures."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import torch

from workbench.errors import TrainingError
from workbench.models import loading


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """`workbench.models.loading.compute_dtype` of a recipe's `precision`, for training.

    Raises:
        TrainingError: float16 without CUDA, where gradients cannot be scaled.
    """
    if precision == "float16" and device.type != "cuda":
        raise TrainingError("Training in float16 needs a CUDA device.", fix="Set training.precision to auto or float32.")
    return loading.compute_dtype(precision, device)


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[object]:
    """The forward pass's number format; nothing at all for float32."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def memory_bytes(device: torch.device) -> int:
    """Memory in use now: allocated on the device, or resident in this process."""
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return peak_memory_bytes(device)
    import resource

    return pages * resource.getpagesize()


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory held: on the device since the last reset, or by this process since it started; 0 where unknown (Windows)."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:
        return 0
    # Linux counts in kilobytes, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
