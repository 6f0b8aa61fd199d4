"""PET's settings in the tab Train: how its templates are trained, weighed and distilled; in sight while PET is on."""

from __future__ import annotations

from typing import Any

import gradio as gr
from pydantic import ValidationError

from workbench.options import chosen_fields
from workbench.recipe import PetPart, Recipe
from workbench.ui import forms
from workbench.ui.frame import Frame

OFTEN = ("generations", "seeds", "unlabeled", "distill")
NAMES = (*OFTEN, "weighting", "temperature", "distill_epochs", "growth", "teachers")


def build_pet(frame: Frame) -> list[Any]:
    """Lays the switch and the settings out and wires them; gives the controls that `fill` fills."""
    t, fields = frame.t, chosen_fields(PetPart, NAMES)
    on = gr.Checkbox(label=t("train.pet"), info=forms.explained(t("train.pet_help"), "", False, t), elem_id="train-pet")
    with gr.Column(visible=False, elem_id="pet-settings") as settings:
        controls = [
            forms.control(field, "any", t, "pet", seldom=field.name not in OFTEN, elem_id=f"pet-{field.name.replace('_', '-')}")
            for field in fields
        ]
    frame.edit(on.input, set_pet, [on, *controls], "train_pet")
    frame.on(on.input, lambda chosen: gr.update(visible=chosen), [on], [settings], "train_pet_shown")
    for field, control in zip(fields, controls, strict=True):

        def assign(recipe: Recipe, value: Any, field: Any = field) -> dict[str, Any]:
            return {f"pet.{field.name}": forms.given(field, value)} if recipe.pet is not None else {}

        frame.edit(control.input, assign, [control], f"pet_{field.name}")
    return [on, settings, *controls]


def set_pet(recipe: Recipe, on: bool, *values: Any) -> dict[str, Any]:
    """All templates as an ensemble with the settings that stand in the form, or one training. What is no setting, such as 99 seeds
    that were refused as they were typed, is left to the default: the switch must not stick."""
    if not on:
        return {"pet": None}
    chosen: dict[str, Any] = {}
    for field, value in zip(chosen_fields(PetPart, NAMES), values, strict=True):
        try:
            chosen |= PetPart.model_validate({field.name: forms.given(field, value)}).model_dump(include={field.name})
        except ValidationError:
            continue
    return {"pet": PetPart(**chosen).model_dump()}


def fill(recipe: Recipe) -> list[Any]:
    """One value per control of `build_pet`; a recipe without PET leaves the settings as they are, for when it is switched on again. PET
    that a recipe for another task asks for shows its switch, since that is what to turn off."""
    switch = gr.update(value=recipe.pet is not None, visible=recipe.task == "classification" or recipe.pet is not None)
    shown = gr.update(visible=recipe.pet is not None)
    values = [forms.shown(field, getattr(recipe.pet, field.name)) if recipe.pet else gr.skip() for field in chosen_fields(PetPart, NAMES)]
    return [switch, shown, *values]
