"""The training settings that few people touch, in the tab Train behind the switch for every field."""

from __future__ import annotations

from typing import Any

import gradio as gr

from workbench.options import chosen_fields
from workbench.recipe import MEASURED, EarlyStopping, Recipe, TrainingPart
from workbench.runs.trackers import NONE, make_tracker, tracker_names, tracker_title
from workbench.ui import forms
from workbench.ui.frame import Frame
from workbench.ui.text import Words

NAMES = (
    "scheduler", "warmup", "weight_decay", "max_gradient_norm", "gradient_accumulation", "gradient_checkpointing", "precision",
    "batch_tokens", "cache_features", "lm_loss", "answered_rows",
)  # fmt: skip
OFF = "off"


def build_settings(frame: Frame) -> list[Any]:
    """Lays the settings out and wires them; gives the controls that `fill` fills."""
    t = frame.t
    fields = chosen_fields(TrainingPart, NAMES)
    with gr.Column(elem_classes=forms.SELDOM):
        controls = [forms.control(field, "any", t, "training", elem_id=f"train-{field.name.replace('_', '-')}") for field in fields]
        stop = gr.Dropdown(
            stops(Recipe(), t), value=OFF,
            label=t("training.stop"), info=forms.explained(t("training.stop_help"), "", t("training.stop_off"), t),
            elem_id="train-stop-early",
        )  # fmt: skip
        patience = forms.number(
            EarlyStopping().patience, label=t("training.patience"), minimum=1, precision=0, elem_id="train-patience",
            info=forms.explained(t("training.patience_help"), t("training.patience_higher"), EarlyStopping().patience, t),
        )  # fmt: skip
    for field, control in zip(fields, controls, strict=True):

        def assign(recipe: Recipe, value: Any, field: Any = field) -> dict[str, Any]:
            return {f"training.{field.name}": forms.given(field, value)}

        frame.edit(control.input, assign, [control], f"train_{field.name}")
    for control, name in ((stop, "stop_early"), (patience, "patience")):
        frame.edit(control.input, set_stop, [stop, patience], f"train_{name}")
    return [*controls, stop, patience]


def build_tracker(t: Words) -> gr.Dropdown:
    """Where the next run's figures go besides the page: no setting of the recipe, so nothing here edits it."""
    choices = [(t.get(f"training.trackers.{name}", tracker_title(name)), name) for name in tracker_names()]
    return gr.Dropdown(
        choices, value=NONE, label=t("training.tracker"), elem_id="train-tracker", elem_classes=forms.SELDOM,
        info=forms.explained(t("training.tracker_help"), "", t(f"training.trackers.{NONE}"), t),
    )  # fmt: skip


def remembered_tracker(kept: Any) -> str:
    """The tracker that the browser remembers, or none: one that sends figures to another machine has to be chosen anew each time."""
    return kept if kept in tracker_names() and kept != NONE and not make_tracker(kept).online else NONE


def set_stop(recipe: Recipe, metric: str, patience: float | None) -> dict[str, Any]:
    """When to stop early, as an assignment."""
    return {"training.early_stopping": None if metric == OFF else {"metric": metric, "patience": int(patience or 1)}}


def stops(recipe: Recipe, t: Words) -> list[tuple[str, str]]:
    """What early stopping can look at: the figures that the recipe's task measures, or nothing."""
    return [(t("training.stop_off"), OFF), *((t(f"training.stop_{name}"), name) for name in MEASURED[recipe.task])]


def stopping_for(recipe: Recipe, task: str) -> Recipe:
    """The recipe with early stopping by the first figure of a task, where it looks at one that the task does not measure."""
    stop = recipe.training.early_stopping
    if stop is None or stop.metric in MEASURED[task]:
        return recipe
    return recipe.replace({"training.early_stopping.metric": MEASURED[task][0]})


def fill(recipe: Recipe, t: Words) -> list[Any]:
    """One update per control of `build_settings`."""
    training = recipe.training
    stop = training.early_stopping
    values = [forms.shown(field, getattr(training, field.name)) for field in chosen_fields(TrainingPart, NAMES)]
    chosen = gr.update(choices=stops(recipe, t), value=recipe.deciding if stop else OFF)
    return [*values, chosen, stop.patience if stop else EarlyStopping().patience]
