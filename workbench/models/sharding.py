"""Parameters that are cut up among the processes of a run (torch's fully_shard): whole tensors out of them and into them.

Every process has to ask for the same ones in the same order. Ordinary tensors pass through, so whoever saves or loads need not know.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def is_sharded(tensor: Tensor) -> bool:
    """Whether a tensor is cut up among processes, by the method that only such tensors have."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """A tensor without its gradient's history, put together from all processes where it is cut up."""
    tensor = tensor.detach()
    sharded: Any = tensor
    return sharded.full_tensor() if is_sharded(tensor) else tensor


def like(tensor: Tensor, value: Tensor) -> Tensor:
    """A whole value, which every process has, as `tensor` is: on its device, and this process's part where that is cut up."""
    value = value.to(tensor.device, copy=True)
    if not is_sharded(tensor):
        return value
    from torch.distributed.tensor import distribute_tensor

    sharded: Any = tensor
    return distribute_tensor(value.to(tensor.dtype), sharded.device_mesh, sharded.placements, src_data_rank=None)


@torch.no_grad()
def put(tensor: Tensor, value: Tensor) -> None:
    """Overwrites `tensor` with a whole value that every process has."""
    tensor.copy_(like(tensor, value))
