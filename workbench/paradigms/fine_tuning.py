"""Pre-training and fine-tuning: a new linear classification head on the model's state (Devlin et al. 2019), no prompt, no label words.

On an encoder the state at the first token, on a causal model at the last one. `full` trains model and head, `frozen` the head alone
(a linear probe); any tuning method can stand in their place.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.methods import method_names
from workbench.paradigms.paradigm import Figures, OnEvent, Paradigm, Task, register
from workbench.paradigms.tuned import TunedText, fit_recipe, method_options, warm_recipe
from workbench.recipe import Recipe
from workbench.training.control import Control

if TYPE_CHECKING:
    from workbench.models.pool import ModelPool

FROZEN = "frozen"
LABEL = "label"


@register
class FineTuning(Paradigm):
    """The classic recipe of the BERT years."""

    name = "fine_tuning"
    pretrained = True
    methods = ("full", FROZEN)

    def knows(self, method: str) -> bool:
        return method in self.known()

    def known(self) -> list[str]:
        return [*self.methods, *(name for name in method_names() if name not in (*self.methods, "head"))]

    def warm(self, task: Task, pool: ModelPool) -> None:
        super().warm(task, pool)
        warm_recipe(head_recipe(task.recipe, task.method), task.splits.labels, pool)

    def fit(self, task: Task, folder: Path, control: Control, pool: ModelPool, on_event: OnEvent | None = None) -> Figures | None:
        return fit_recipe(task, head_recipe(task.recipe, task.method), folder, control, pool, on_event)

    def open(self, task: Task, folder: Path, pool: ModelPool) -> TunedText:
        return TunedText.open(head_recipe(task.recipe, task.method), task.splits.labels, folder, pool, task.between)


def head_recipe(recipe: Recipe, method: str) -> Recipe:
    """The recipe with a classification head instead of template and label words; several fields are parted by [SEP]."""
    fields = [name for name in recipe.data.columns if name != LABEL]
    changes: dict[str, Any] = {
        "prompt.templates": [" [SEP]".join(f"{{{name}}}" for name in fields)],
        "prompt.verbalizer": {"kind": "head"},
        "prompt.template_words": None,
        # Under a classification head the method `head` trains nothing of the model.
        "method": {"name": "head"} if method == FROZEN else method_options(recipe, method),
        # PET trains templates, and there is none.
        "pet": None,
    }
    return recipe.replace(changes)
