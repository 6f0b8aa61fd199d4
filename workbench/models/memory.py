"""Bytes that a model needs, part by part, from counts of its parameters alone: nothing is loaded.

Weights and optimizer are exact. Activations follow Korthikanti et al. 2022 (section 4.1) with the attention matrix left out, which
the fused attention kernels never keep; they are what one layer keeps for the backward pass, times layers and tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.models.card import ModelCard

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# A 4-bit weight takes half a byte, a scale byte per 64 weights and a float32 per 256 scales (QLoRA, Dettmers et al. 2023, section 3).
FOUR_BIT = 0.5 + 1 / 64 + 4 / (64 * 256)


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes by what they hold; `total` is what must fit beside everything else on the device."""

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """Bytes in all."""
        return self.weights + self.gradients + self.optimizer + self.activations


def weights_bytes(linear: int, linear_rows: int, rest: int, quantization: str, dtype: str) -> int:
    """Bytes of all weights.

    Args:
        linear: parameters in matrices that quantization reaches; `linear_rows` their output rows.
        rest: all other parameters, always in `dtype`.
    """
    each = DTYPE_BYTES[dtype]
    if quantization == "none":
        return (linear + rest) * each
    if quantization == "int8":
        return linear + 4 * linear_rows + rest * each
    return round(linear * FOUR_BIT) + rest * each


def estimate_bytes(
    card: ModelCard,
    *,
    trainable_parameters: int,
    quantization: str = "none",
    dtype: str = "float32",
    batch_size: int = 16,
    length: int = 128,
    gradient_checkpointing: bool = False,
) -> MemoryEstimate:
    """What training needs at its peak with AdamW.

    Args:
        trainable_parameters: of the tuning method, in float32; parameters of the model itself count in `weights` already.
        dtype: of the weights and the matrix products, "float32", "bfloat16" or "float16".
        batch_size, length: sequences of how many tokens stand in one batch.
    """
    weights = weights_bytes(card.linear_parameters, card.linear_rows, card.parameters - card.linear_parameters, quantization, dtype)
    tokens = batch_size * length
    width = card.heads * card.head_size
    kept_feed_forward = 4 if card.gated else 3
    layer = 7 * card.hidden_size + 2 * width + 2 * card.kv_heads * card.head_size + kept_feed_forward * card.feed_forward_size
    if gradient_checkpointing:
        elements = tokens * (card.layers * card.hidden_size + layer)
    else:
        elements = tokens * card.layers * layer
    return MemoryEstimate(
        weights=weights,
        gradients=4 * trainable_parameters,
        optimizer=8 * trainable_parameters,
        activations=elements * DTYPE_BYTES[dtype],
    )
