"""How a model computes: for a while without dropout, and every module afterwards as it was; with less kept for the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from workbench.errors import ModelError


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


def checkpoint_gradients(model: Any) -> None:
    """Lets a model compute its activations again in the backward pass instead of keeping them (Chen et al. 2016).

    Raises:
        ModelError: the architecture cannot.
    """
    if not getattr(model, "supports_gradient_checkpointing", False):
        raise ModelError("This model cannot checkpoint gradients.", fix="Set training.gradient_checkpointing to false.")
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
