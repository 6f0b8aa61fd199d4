"""How many positions a model has, which bounds its prompts and what methods put before them."""

from __future__ import annotations

from typing import Any

UNBOUNDED = 2**31


def position_count(config: Any) -> int:
    """Tokens that a model has positions for, by its transformers configuration; UNBOUNDED where it says nothing."""
    positions = getattr(config, "max_position_embeddings", None) or UNBOUNDED
    # RoBERTa counts positions from padding_idx + 1, so as many of its embeddings are never used.
    if any(name in config.model_type for name in ("roberta", "camembert", "xlm")):
        positions -= (config.pad_token_id or 0) + 1
    return int(positions)
