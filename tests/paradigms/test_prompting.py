"""What a board tunes beside a prompt, and what it says of a language model's size, against the model as it is loaded."""

from pathlib import Path

import pytest

from tests.models.tiny import make_model
from tests.training.small_run import make_recipe
from workbench.models.loading import load_model
from workbench.models.pool import ModelPool
from workbench.paradigms.fine_tuning import head_recipe
from workbench.paradigms.paradigm import Task
from workbench.paradigms.prompting import Prompting
from workbench.recipe import Recipe
from workbench.training.control import Control


def test_a_classification_head_has_no_words_of_single_templates() -> None:
    words = {"positive": ["nice"], "negative": ["bad"]}
    recipe = Recipe().replace({"prompt.templates": ["{text} [MASK]"] * 2, "prompt.template_words": [None, words]})
    assert head_recipe(recipe, "full").prompt.template_words is None


@pytest.mark.parametrize("changes", [{"model.quantization": "nf4"}, {"model.dtype": "bfloat16"}, {}], ids=str)
def test_untouched_and_tuned_models_are_counted_alike(tmp_path: Path, changes: dict) -> None:
    recipe = make_recipe(tmp_path, {**changes, "training.epochs": 1})
    parameters = sum(parameter.numel() for parameter in make_model("bert").parameters())
    size = load_model(recipe.model).model.get_memory_footprint()
    own = [] if recipe.model.quantization == "nf4" else ["bias"]
    for number, method in enumerate(["zero_shot", "lora", "prefix_tuning", *own]):
        folder = tmp_path / f"cell{number}"
        folder.mkdir()
        figures = Prompting().fit(Task(recipe, method), folder, Control(), ModelPool())
        assert figures is not None
        added = figures.trainable_parameters if method in ("lora", "prefix_tuning") else 0
        assert figures.total_parameters == parameters + added, method
        assert (figures.model_bytes > size) == bool(added) and figures.model_bytes >= size, method
