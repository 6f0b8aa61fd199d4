"""One optimizer step: which rows, at which learning rate, under which random numbers; loss, gradients, update."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from workbench.errors import TrainingError
from workbench.models.sharding import whole
from workbench.recipe import TrainingPart
from workbench.serving.tuned import Tuned
from workbench.training.batching import BatchPlan
from workbench.training.objective import Objective
from workbench.training.optim import build_optimizer, rate_factor
from workbench.training.precision import autocast, compute_dtype
from workbench.training.processes import Alone

T = TypeVar("T")


@dataclass(frozen=True)
class StepFigures:
    """loss is the mean over what the objective counts (nats); gradient_norm is None where float16 overflowed and nothing was updated."""

    loss: float
    learning_rate: float
    gradient_norm: float | None
    rows: int


class Stepper:
    """Everything a step needs. Owned by one trainer; `step` is a pure function of weights, optimizer state and step number."""

    def __init__(self, training: TrainingPart, objective: Objective, tuned: Tuned, group: Alone) -> None:
        self.training, self.objective, self.tuned, self.group = training, objective, tuned, group
        self.device = tuned.loaded.device
        self.dtype = compute_dtype(training.precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.inside = group.wrap(Inside(tuned), self._blocks())
        auto = training.learning_rate == "auto"
        self.rate = tuned.learning_rate if auto else float(training.learning_rate)
        tuned.select_again()
        self.optimizer = build_optimizer(
            tuned.parameters(), learning_rate=self.rate, weight_decay=training.weight_decay, rate_of=partial(tuned.rate_of, auto=auto)
        )
        self.batches = BatchPlan(
            objective.lengths, batch_size=training.batch_size, accumulation=training.gradient_accumulation, seed=training.seed,
            most_tokens=training.batch_tokens,
        )

    def step(self, number: int, total: int) -> StepFigures:
        """Runs step `number` (from 0) of `total`.

        Raises:
            TrainingError: the loss or a gradient is not finite; the weights are still those of the step before.
        """
        batches = self.batches.step(number)
        rate = self.rate * rate_factor(number, total, scheduler=self.training.scheduler, warmup=self.training.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        seed_everything(self.training.seed, number + 1, self.group.rank)
        loss = self._accumulate(number)
        refuse_non_finite(loss, "loss", number + 1)
        norm = self._update(number + 1)
        return StepFigures(loss, rate, norm, sum(len(batch) for batch in batches))

    def read(self, work: Callable[[], T]) -> T:
        """`work`, which runs the model without gradients, between steps."""
        return self.group.read(self.inside, work)

    def _blocks(self) -> list[nn.Module] | None:
        """What several processes cut the model up into: its layers, where no layer is used twice (ALBERT); None leaves it whole."""
        loaded, attached = self.tuned.loaded, self.tuned.attached
        if attached is None or not attached.shards:
            return None
        return [] if "shared layers" in loaded.family.features else loaded.family.layers(loaded.model)

    def _summed_loss(self, rows: list[int]) -> torch.Tensor:
        """The objective's loss of these rows; without any, a loss of 0 that has every gradient."""
        return self.objective.loss(rows) if rows else 0 * self.objective.loss([0])

    def _accumulate(self, number: int) -> float:
        """Gradients of the mean loss over the whole step, however it is cut into batches and shared out; returns that loss."""
        weight = sum(self.objective.weight(batch) for batch in self.batches.step(number))
        share, total = self.batches.share(number, self.group.rank, self.group.size), 0.0
        for place, rows in enumerate(share, start=1):
            last = place == len(share)
            with contextlib.nullcontext() if last else self.group.keeping_gradients(self.inside):
                with autocast(self.device, self.dtype):
                    loss = self.inside(partial(self._summed_loss, rows)) / weight
                total += float(loss.detach())
                # The group takes the mean of its processes' gradients; theirs add up to this loss.
                self.scaler.scale(loss * self.group.size).backward()
        return self.group.total(total)

    def _update(self, step: int) -> float | None:
        """Clips and applies the gradients; returns their norm before clipping."""
        self.scaler.unscale_(self.optimizer)
        parameters = [parameter for _, parameter in self.tuned.parameters()]
        norm = float(whole(torch.nn.utils.clip_grad_norm_(parameters, self.training.max_gradient_norm)))
        # In float16 an overflow is ordinary: the scaler skips the step and lowers its scale. At scale 1 there is nothing left to lower.
        overflow = self.scaler.is_enabled() and not np.isfinite(norm) and self.scaler.get_scale() > 1
        if not overflow:
            refuse_non_finite(norm, "gradient", step)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return None if overflow else norm


class Inside(nn.Module):
    """A module with the parameters that train, whose forward pass is whatever work it is given: for torch's wrappers to stand around.

    A model that processes cut up among them is one of its parts; of any other the parameters are enough.
    """

    def __init__(self, tuned: Tuned) -> None:
        super().__init__()
        whole_model = tuned.attached is not None and tuned.attached.shards
        self.trained = nn.ModuleList(tuned.modules) if whole_model else nn.ParameterList(p for _, p in tuned.parameters())

    def forward(self, work: Callable[[], T]) -> T:
        """What `work` gives, done where torch's wrapper sees it."""
        return work()


def refuse_non_finite(value: float, what: str, step: int) -> None:
    """Raises TrainingError when `value` is NaN or infinite."""
    if not np.isfinite(value):
        raise TrainingError(
            f"The {what} was not a finite number at step {step}.",
            fix="Lower training.learning_rate or set training.precision to float32; the last checkpoint before it is kept.",
        )


def seed_everything(seed: int, number: int, rank: int = 0) -> None:
    """Seeds torch, python and numpy from a run's seed and a step number, so that dropout at a step does not depend on earlier steps;
    processes that share a batch drop out differently."""
    digest = hashlib.sha256(f"{seed}-{number}{f'-{rank}' if rank else ''}".encode()).digest()
    value = int.from_bytes(digest[:4], "big")
    torch.manual_seed(value)
    random.seed(value)
    np.random.seed(value)
