"""Evaluation mode for a while: no dropout, and every module afterwards as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(*roots: nn.Module) -> Iterator[None]:
    """Models in evaluation mode; modules that were training before are training again afterwards."""
    modules = [module for root in roots for module in root.modules() if module.training]
    for root in roots:
        root.eval()
    try:
        yield
    finally:
        for module in modules:
            module.training = True
