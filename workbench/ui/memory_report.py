"""What training a recipe takes in memory, part by part, beside what this machine has."""

from __future__ import annotations

from typing import Any

from workbench.methods.footprint import Footprint, footprint
from workbench.recipe import Recipe
from workbench.ui.markup import facts, sentence, size
from workbench.ui.text import Words


def view(service: Any, recipe: Recipe) -> Footprint:
    """The estimate for a recipe's model, method, batch and length.

    Raises:
        WorkbenchError: the options are wrong or the method does not apply to the model.
    """
    return footprint(recipe, service.pool.get(recipe.model).tokenizer)


def memory_html(shown: Footprint, t: Words) -> str:
    """Tiles for every part, one sentence on whether it fits, and what would if it does not."""
    estimate = shown.estimate
    tiles = facts([
        (t("memory.weights"), size(estimate.weights)),
        (t("memory.gradients"), size(estimate.gradients)),
        (t("memory.optimizer"), size(estimate.optimizer)),
        (t("memory.activations"), size(estimate.activations)),
        (t("memory.total"), size(estimate.total)),
        (t("memory.free"), size(shown.free_bytes)),
    ])  # fmt: skip
    if shown.fits:
        return tiles + sentence(t("memory.fits"), "good")
    if not shown.advice:
        return tiles + sentence(t("memory.never"), "warning")
    changes = ", ".join(f"{field} = {_said(value)} ({size(total)})" for field, value, total in shown.advice)
    return tiles + sentence(t("memory.would", changes=changes), "note")


def _said(value: Any) -> str:
    return str(value["name"]) if isinstance(value, dict) else str(value).lower()
