"""Random numbers for what answers, apart from those of a training that goes on in another thread.

torch has one stream of random numbers for the whole process. A step of a training is a function of its seed, and whoever opened a run
in the page between two of its draws would change its dropout. So a method is attached here with numbers of its own: they are written over
by trained weights, or are as good as any others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

SEED = 0
DRAWS = frozenset({
    Tensor.uniform_, Tensor.normal_, Tensor.bernoulli_, Tensor.random_, Tensor.exponential_, torch.bernoulli, torch.multinomial,
    torch.normal, torch.rand, torch.randn, torch.randint, torch.randperm, torch.rand_like, torch.randn_like,
    nn.init.uniform_, nn.init.normal_, nn.init.trunc_normal_, nn.init.xavier_uniform_, nn.init.xavier_normal_, nn.init.kaiming_uniform_,
    nn.init.kaiming_normal_, nn.init.orthogonal_,
})  # fmt: skip


class _OwnNumbers(TorchFunctionMode):
    """Hands a generator to every function that draws; a mode of torch holds in the thread that entered it alone."""

    def __init__(self, seed: int | None) -> None:
        super().__init__()
        self._seed = seed
        self._generators: dict[torch.device, torch.Generator] = {}

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        given = dict(kwargs or {})
        if func in DRAWS and given.get("generator") is None:
            device = next((value.device for value in args if isinstance(value, Tensor)), torch.device(given.get("device") or "cpu"))
            if device.type != "meta":
                given["generator"] = self._of(device)
        return func(*args, **given)

    def _of(self, device: torch.device) -> torch.Generator:
        if device not in self._generators:
            self._generators[device] = torch.Generator(device)
            # A generator as it is made begins with the same number every time.
            self._generators[device].seed() if self._seed is None else self._generators[device].manual_seed(self._seed)
        return self._generators[device]


@contextmanager
def own_numbers(seed: int | None = SEED) -> Iterator[None]:
    """Leaves the process's random numbers as they are, whatever is drawn inside by this thread; None draws others every time."""
    with _OwnNumbers(seed):
        yield
