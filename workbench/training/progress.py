"""What a run has to remember, beside weights and optimizer, to go on as if nothing had happened."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from workbench.recipe import LESS_IS_BETTER, Recipe


@dataclass
class Progress:
    """The trainer's counters. The sampler's place and the learning rate follow from `step`; random numbers are seeded at every step."""

    step: int = 0
    examples: int = 0
    seconds: float = 0.0
    best_step: int | None = None
    best_metrics: dict[str, float] | None = None
    without_improvement: int = 0
    stopped_early: bool = False
    peak_memory_bytes: int = 0
    told_one_class: bool = False
    evaluation_due: bool = False
    """The current step was to be evaluated when the run was stopped."""

    @property
    def examples_per_second(self) -> float:
        """Over the seconds of the steps alone, without evaluations, checkpoints and pauses."""
        return round(self.examples / max(self.seconds, 1e-9), 3)

    def to_json(self) -> dict[str, Any]:
        """The counters as plain values, which `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Progress:
        """Raises KeyError when a counter is missing."""
        content = {"told_one_class": False, "evaluation_due": False} | content  # checkpoints of before it was kept
        return cls(**{field.name: content[field.name] for field in fields(cls)})

    def record(self, figures: dict[str, float], recipe: Recipe) -> bool:
        """Notes an evaluation at the current step and says whether it is the best so far; equal figures are told apart by loss.

        Args:
            figures: the objective's single figures, those that the recipe's task measures; see `Recipe.deciding`.
        """
        stopping, metric = recipe.training.early_stopping, recipe.deciding
        better = self.best_metrics is None or _rank(figures, metric) > _rank(self.best_metrics, metric)
        if better:
            self.best_step, self.best_metrics, self.without_improvement = self.step, figures, 0
        else:
            self.without_improvement += 1
            self.stopped_early = stopping is not None and self.without_improvement >= stopping.patience
        return better


def _rank(figures: dict[str, float], metric: str) -> tuple[float, float]:
    return (-figures[metric] if metric in LESS_IS_BETTER else figures[metric], -figures["loss"])
