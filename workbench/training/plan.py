"""How many steps, evaluations and checkpoints a recipe comes to."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workbench.recipe import TrainingPart

MOST_EVALUATIONS = 20


@dataclass(frozen=True)
class Schedule:
    """Step counts; `checkpoint_every` is None when checkpoints follow the evaluations."""

    total_steps: int
    evaluate_every: int
    checkpoint_every: int | None

    def evaluates(self, step: int) -> bool:
        """Whether an evaluation follows this step, counted from 1; the last one always has one."""
        return step % self.evaluate_every == 0 or step == self.total_steps

    def checkpoints(self, step: int) -> bool:
        """Whether a checkpoint follows this step; the last one always has one."""
        if self.checkpoint_every is None:
            return self.evaluates(step)
        return step % self.checkpoint_every == 0 or step == self.total_steps


def make_schedule(training: TrainingPart, steps_per_epoch: int) -> Schedule:
    """Evaluates once an epoch, or about 20 times over a longer run, unless the recipe says how often."""
    total = max(1, math.ceil(training.epochs * steps_per_epoch - 1e-9))
    auto = max(min(steps_per_epoch, total), math.ceil(total / MOST_EVALUATIONS))
    evaluate = auto if training.evaluate_every == "auto" else training.evaluate_every
    checkpoint = None if training.checkpoint_every == "auto" else training.checkpoint_every
    return Schedule(total, evaluate, checkpoint)
