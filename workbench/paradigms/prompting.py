"""Pre-training, prompt, prediction: the recipe's template and label words, untouched or tuned.

`zero_shot` asks the model as it came. `hard_prompt` tunes all its weights under the fixed template, which is PET's training of one
pattern (Schick & Schuetze 2021); `pet` is the whole of it: every template with several seeds, an ensemble that labels unlabelled rows,
one model distilled from them. Every other name is a tuning method: lora, soft_prompt, p_tuning, ...
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.methods import check_soft_tokens, method_names
from workbench.methods.attached import parameter_count
from workbench.paradigms.paradigm import Figures, OnEvent, Paradigm, Task, register
from workbench.paradigms.tuned import TunedText, fit_recipe, method_options, validation_figures, warm_recipe
from workbench.recipe import PetPart, Recipe
from workbench.training.control import Control

if TYPE_CHECKING:
    from workbench.models.pool import ModelPool

ZERO_SHOT, HARD_PROMPT, PET = "zero_shot", "hard_prompt", "pet"


@register
class Prompting(Paradigm):
    """The task is put into the words that the model was trained on."""

    name = "prompting"
    pretrained = True
    methods = (ZERO_SHOT, HARD_PROMPT, "lora")

    def knows(self, method: str) -> bool:
        return method in self.known()

    def known(self) -> list[str]:
        return [ZERO_SHOT, HARD_PROMPT, PET, *(name for name in method_names() if name != "full")]

    def check(self, recipe: Recipe, method: str) -> None:
        super().check(recipe, method)
        if method != ZERO_SHOT:
            check_soft_tokens({"name": "full" if method in (HARD_PROMPT, PET) else method}, recipe.prompt.templates)

    def shots(self, method: str, shots: Sequence[int | None]) -> list[int | None]:
        if method == ZERO_SHOT:
            return [number for number in shots if number == 0]
        return super().shots(method, shots)

    def repeats(self, method: str) -> bool:
        return method != ZERO_SHOT

    def warm(self, task: Task, pool: ModelPool) -> None:
        super().warm(task, pool)
        if task.method == ZERO_SHOT:
            pool.fresh(task.recipe.model)
        else:
            warm_recipe(prompt_recipe(task), task.splits.labels, pool)

    def fit(self, task: Task, folder: Path, control: Control, pool: ModelPool, on_event: OnEvent | None = None) -> Figures | None:
        if task.method != ZERO_SHOT:
            figures = fit_recipe(task, prompt_recipe(task), folder, control, pool, on_event)
            if figures is not None:
                # PET's teachers, a model each, have done their work.
                shutil.rmtree(folder / "cells", ignore_errors=True)
            return figures
        answerer = self.open(task, folder, pool)
        model = answerer.predictor.loaded.model
        validation = validation_figures(answerer, task.splits.validation.examples)
        return Figures(0, parameter_count(model), model.get_memory_footprint(), validation)

    def open(self, task: Task, folder: Path, pool: ModelPool) -> TunedText:
        if task.method != ZERO_SHOT:
            return TunedText.open(prompt_recipe(task), task.splits.labels, folder, pool, task.between)
        return TunedText.untouched(task.recipe, task.splits.labels, pool, task.between)


def prompt_recipe(task: Task) -> Recipe:
    """The recipe with the task's tuning method."""
    if task.method == PET:
        pet = task.recipe.pet or PetPart()
        return task.recipe.replace({"method": {"name": "full"}, "pet": pet.model_dump()})
    method = {"name": "full"} if task.method == HARD_PROMPT else method_options(task.recipe, task.method)
    return task.recipe.replace({"method": method, "pet": None})
