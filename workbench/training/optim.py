"""Fused AdamW with weight decay on matrices only, learning-rate curves, and optimizer state as named tensors."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from workbench.errors import TrainingError
from workbench.models.sharding import like, whole

Named = list[tuple[str, nn.Parameter]]


def build_optimizer(
    parameters: Named, *, learning_rate: float, weight_decay: float, rate_of: Callable[[str, float], float] | None = None
) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019). Biases, norms and other vectors do not decay.

    Args:
        rate_of: the learning rate of a parameter by its name where the run's is the second argument; each group keeps its share of
            the run's rate under "share".
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in parameters:
        rate = rate_of(name, learning_rate) if rate_of else learning_rate
        groups.setdefault((rate, weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    fused = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for _, p in parameters)
    return torch.optim.AdamW(
        [
            {"params": members, "lr": rate, "weight_decay": decay, "share": rate / learning_rate}
            for (rate, decay), members in sorted(groups.items(), key=lambda item: item[0], reverse=True)
        ],
        lr=learning_rate,
        fused=fused,
    )


def rate_factor(step: int, total: int, *, scheduler: str, warmup: float) -> float:
    """Share of the peak learning rate at step `step` (from 0) of `total`: a linear rise, then linear, cosine or constant.

    A pure function of the step, so a resumed run needs no scheduler state. The first step is never 0 and the last one is not either.
    """
    rising = math.ceil(total * warmup)
    if step < rising:
        return (step + 1) / (rising + 1)
    left = (total - step) / max(1, total - rising)
    if scheduler == "linear":
        return left
    if scheduler == "cosine":
        return 0.5 * (1 - math.cos(math.pi * left))
    return 1.0


def optimizer_state(optimizer: torch.optim.Optimizer, parameters: Named) -> dict[str, Tensor]:
    """Everything AdamW remembers, as tensors on the CPU named `parameter/key`."""
    return {
        f"{name}/{key}": whole(value).to("cpu", copy=True).contiguous()
        for name, parameter in parameters
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer_state(optimizer: torch.optim.Optimizer, parameters: Named, state: dict[str, Tensor]) -> None:
    """Puts back what `optimizer_state` took.

    Raises:
        TrainingError: the state belongs to other parameters.
    """
    own = dict(parameters)
    for full_name, value in state.items():
        name, _, key = full_name.rpartition("/")
        if name not in own or (key != "step" and value.shape != own[name].shape):
            raise TrainingError(f"The checkpoint's optimizer state does not fit '{name}'.", fix="Start the run anew.")
        same = value.shape == own[name].shape
        optimizer.state[own[name]][key] = like(own[name], value) if same else value.to(own[name].device, copy=True)
