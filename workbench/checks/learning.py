"""Findings in what a run has shown: one class only, a learning rate that is too small or too large for what was seen or for the
method, learning by heart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.checks.finding import Finding, register_check
from workbench.training.metrics import only_class

if TYPE_CHECKING:
    from workbench.checks.evidence import Evidence

FEWEST_STEPS = 8
WINDOW = 0.2
"""Share of the steps at either end that are averaged: single batches are noise."""
STILL = 0.03
"""A loss that fell by less than this share has not learnt."""
ROSE, FORGOT = 1.15, 1.25
BETTER = 0.02
FACTOR = 5
FAR = 30
"""Rates within this factor of the usual one are a matter of trying; beyond it nearly every run is lost."""
PATIENCE = 3


@register_check("one_class")
def one_class(evidence: Evidence) -> Finding | None:
    """The last evaluation calls every row the same, though the rows are not."""
    confusion = evidence.seen.evaluations[-1].get("confusion") if evidence.seen.evaluations else None
    only = only_class(confusion or [])
    if only is None:
        return None
    names = evidence.seen.evaluations[-1].get("labels") or (evidence.splits.labels if evidence.splits else range(only + 1))
    label = str(list(names)[only])
    verbalizer = evidence.recipe.prompt.verbalizer
    fix: dict[str, Any] = _rate(evidence, up=True)
    if verbalizer.get("kind", "manual") in ("manual", "automatic") and verbalizer.get("calibration", "none") == "none":
        fix = {"prompt.verbalizer.calibration": "contextual"}
    return Finding("one_class", f"Every validation row is called '{label}'.", {"label": label}, fix)


@register_check("rate_large")
def rate_large(evidence: Evidence) -> Finding | None:
    """The training loss ends above where it began, or the run ended in a number that is none."""
    seen = evidence.seen
    broke = "finite" in seen.failed
    if not broke and (len(seen.losses) < FEWEST_STEPS or _end(seen.losses) <= ROSE * _start(seen.losses)):
        return None
    values = {"rate": _shown(seen.rate), "usual": _shown(evidence.usual_rate)}
    message = f"The training loss grew: the learning rate {values['rate']} is too large for this method; {values['usual']} is usual."
    return Finding("rate_large", message, values, _rate(evidence, up=False))


@register_check("rate_small")
def rate_small(evidence: Evidence) -> Finding | None:
    """After enough steps the training loss stands where it began and no evaluation is better than the first."""
    seen = evidence.seen
    if len(seen.losses) < FEWEST_STEPS or abs(_end(seen.losses) - _start(seen.losses)) > STILL * max(_start(seen.losses), 1e-9):
        return None
    accuracies = [event["accuracy"] for event in seen.evaluations if "accuracy" in event]
    if _start(seen.losses) < 0.05 or (accuracies and max(accuracies) > accuracies[0] + BETTER):
        return None
    values = {"rate": _shown(seen.rate), "usual": _shown(evidence.usual_rate)}
    message = f"The training loss has hardly moved: the learning rate {values['rate']} is too small; {values['usual']} is usual."
    return Finding("rate_small", message, values, _rate(evidence, up=True))


@register_check("rate_below")
def rate_below(evidence: Evidence) -> Finding | None:
    """The recipe's learning rate is far below the method's usual one, and no loss shows that it works."""
    return _far(evidence, "rate_below")


@register_check("rate_above")
def rate_above(evidence: Evidence) -> Finding | None:
    """The recipe's learning rate is far above the method's usual one, and no loss shows that it works."""
    return _far(evidence, "rate_above")


@register_check("by_heart")
def by_heart(evidence: Evidence) -> Finding | None:
    """The training loss goes on falling while the validation loss has long been rising."""
    seen = evidence.seen
    losses = [event["loss"] for event in seen.evaluations if "loss" in event]
    if len(losses) < 4 or len(seen.losses) < FEWEST_STEPS or losses[-1] <= FORGOT * min(losses):
        return None
    best = int(np.argmin(losses))
    if best >= len(losses) - 2 or _end(seen.losses) >= _start(seen.losses) or evidence.recipe.training.early_stopping is not None:
        return None
    step = str(seen.evaluations[best]["step"])
    message = f"The validation loss has risen since step {step} while the training loss fell: the rows are being learnt by heart."
    return Finding("by_heart", message, {"step": step}, {"training.early_stopping": {"metric": "loss", "patience": PATIENCE}})


def _far(evidence: Evidence, code: str) -> Finding | None:
    rate, usual, losses = evidence.recipe.training.learning_rate, evidence.usual_rate, evidence.seen.losses
    if rate == "auto" or not usual:
        return None
    factor = usual / rate if code == "rate_below" else rate / usual
    learns = len(losses) >= FEWEST_STEPS and _end(losses) < (1 - STILL) * _start(losses)
    if factor <= FAR or learns or rate_small(evidence) or rate_large(evidence):
        return None
    values = {"rate": _shown(rate), "usual": _shown(usual), "factor": f"{factor:,.0f}"}
    how = "smaller" if code == "rate_below" else "larger"
    message = f"The learning rate {values['rate']} is {values['factor']} times {how} than {values['usual']}, this method's usual one."
    return Finding(code, message, values, {"training.learning_rate": "auto"})


def _rate(evidence: Evidence, *, up: bool) -> dict[str, Any]:
    """`auto` where that moves the rate the right way, else five times as much or as little."""
    used, usual = evidence.seen.rate, evidence.usual_rate
    if used is None:
        return {"training.learning_rate": "auto"}
    if usual is not None and evidence.recipe.training.learning_rate != "auto" and (usual > used if up else usual < used):
        return {"training.learning_rate": "auto"}
    return {"training.learning_rate": float(f"{used * FACTOR if up else used / FACTOR:.3g}")}


def _start(losses: Any) -> float:
    return float(np.mean(losses[: max(1, round(len(losses) * WINDOW))]))


def _end(losses: Any) -> float:
    return float(np.mean(losses[-max(1, round(len(losses) * WINDOW)) :]))


def _shown(rate: float | None) -> str:
    return "auto" if rate is None else f"{rate:g}"
