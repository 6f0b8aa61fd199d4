"""Bytes that weights take in memory, from counts of parameters alone: nothing is loaded. `workbench.methods.footprint` has the rest."""

from __future__ import annotations

from dataclasses import dataclass

import torch

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# A 4-bit weight takes half a byte, and every 64 of them a float32 scale; with double quantization a scale byte, and a float32 per 256
# scales (QLoRA, Dettmers et al. 2023, section 3).
FOUR_BIT = {False: 0.5 + 4 / 64, True: 0.5 + 1 / 64 + 4 / (64 * 256)}


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes by what they hold.

    Attributes:
        gradients, optimizer: of what trains.
        activations: what a forward pass keeps for the backward pass.
        step: at the fullest moment of a step, gradients included; less than both, since activations go as gradients come, or more, where
            a single operation needs much.
        cache: keys and values of the answers that an evaluation writes at once; 0 where nothing is written.
        writing: at the fullest moment of that, the cache included; no step is taken meanwhile.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    step: int
    cache: int = 0
    writing: int = 0

    @property
    def total(self) -> int:
        """What must fit beside everything else on the device."""
        return self.weights + self.optimizer + max(self.step, self.writing)


def weights_bytes(linear: int, linear_rows: int, rest: int, quantization: str, dtype: str, double: bool = True) -> int:
    """Bytes of all weights.

    Args:
        linear: parameters in matrices that quantization reaches; `linear_rows` their output rows.
        rest: all other parameters, always in `dtype`.
        double: double quantization of the scales of 4-bit weights.
    """
    each = DTYPE_BYTES[dtype]
    if quantization == "none":
        return (linear + rest) * each
    if quantization == "int8":
        return linear + 4 * linear_rows + rest * each
    return round(linear * FOUR_BIT[double]) + rest * each


def free_bytes(device: torch.device) -> int:
    """Memory that a device has left: a card's own, what torch holds there for nobody included, or this computer's for everything else."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    import psutil

    return int(psutil.virtual_memory().available)


def swap_bytes(device: torch.device) -> int:
    """What this computer could put on its disk to make room; a card has none."""
    if device.type == "cuda":
        return 0
    import psutil

    return int(psutil.swap_memory().free)


def whole_bytes() -> int:
    """All of this computer's memory, whoever has it now."""
    import psutil

    return int(psutil.virtual_memory().total)
