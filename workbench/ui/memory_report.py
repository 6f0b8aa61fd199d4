"""What training a recipe takes in memory, part by part, beside what this machine has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from workbench.errors import WorkbenchError
from workbench.methods.footprint import Footprint, footprint, misfit
from workbench.methods.memory_table import MethodMemory
from workbench.models.known import known_model
from workbench.models.quantization import QUANTIZATIONS
from workbench.recipe import Recipe
from workbench.ui.markup import esc, facts, sentence, size, table
from workbench.ui.text import Words


def view(service: Any, recipe: Recipe) -> Footprint:
    """The estimate for a recipe's model, method, batch and length; the model is not loaded for it.

    Raises:
        WorkbenchError: the options are wrong, the method does not apply to the model, or nothing is known of that yet.
    """
    return footprint(recipe, known_model(recipe.model, service.pool))


def too_large(service: Any, recipe: Recipe, t: Words) -> str:
    """A warning, with what would fit, for a recipe that needs more memory than this machine has left; empty for any other."""
    try:
        shown = misfit(recipe, service.pool)
    except WorkbenchError:  # the run will say it
        return ""
    if shown is None:
        return ""
    need = t("memory.too_large", needed=size(shown.estimate.total), free=size(shown.free_bytes))
    return f"{need} {_advice(shown, t)}"


def warned(service: Any, recipe: Recipe, t: Words) -> Recipe:
    """The recipe itself, after the page has warned of it where it needs more memory than there is; that is an estimate, so it may run."""
    if warning := too_large(service, recipe, t):
        gr.Warning(esc(warning), title=t("memory.title"), duration=20)
    return recipe


def table_html(rows: Sequence[MethodMemory], t: Words) -> str:
    """Every method on every kind of weights: bytes at the peak, and a mark on what does not fit."""
    free = rows[0].free_bytes if rows else 0

    def cell(needed: int | None) -> str:
        if needed is None:
            return "\u2014"
        return size(needed) if needed <= free else f"{size(needed)} \u2717"

    headers = [t("method.name"), *(t(f"model.quantization_{name}") for name in QUANTIZATIONS)]
    body = [(t(f"methods.{row.method}.title"), *(cell(row.needed[name]) for name in QUANTIZATIONS)) for row in rows]
    numeric = frozenset(range(1, len(headers)))
    return sentence(t("memory.table_lead", free=size(free))) + table(headers, body, numeric=numeric)


def memory_html(shown: Footprint, t: Words) -> str:
    """Tiles for every part, one sentence on whether it fits, and what would if it does not."""
    estimate = shown.estimate
    tiles = facts([
        (t("memory.weights"), size(estimate.weights)),
        (t("memory.gradients"), size(estimate.gradients)),
        (t("memory.optimizer"), size(estimate.optimizer)),
        (t("memory.activations"), size(estimate.activations)),
        *([(t("memory.cache"), size(estimate.cache))] if estimate.cache else []),
        (t("memory.total"), size(estimate.total)),
        (t("memory.free"), size(shown.free_bytes)),
    ])  # fmt: skip
    if shown.fits:
        return tiles + sentence(t("memory.fits"), "good")
    return tiles + sentence(_advice(shown, t), "note" if shown.advice else "warning")


def _advice(shown: Footprint, t: Words) -> str:
    if not shown.advice:
        return t("memory.never")

    def said(change: dict[str, Any]) -> str:
        return " + ".join(f"{field} = {_said(value)}" for field, value in change.items())

    return t("memory.would", changes=", ".join(f"{said(change)} ({size(total)})" for change, total in shown.advice))


def _said(value: Any) -> str:
    return str(value["name"]) if isinstance(value, dict) else str(value).lower()
