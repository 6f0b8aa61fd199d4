"""What torch and python raise where memory runs out."""

from __future__ import annotations

import torch


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory, a GPU's or the machine's."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # On a CPU torch reports this as a plain RuntimeError.
    return isinstance(error, RuntimeError) and any(words in str(error) for words in ("can't allocate memory", "not enough memory"))
