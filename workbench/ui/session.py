"""What one browser session holds: a recipe as plain data, the run in view, and how many of its events were drawn.

The service is never part of it: gradio copies a session's state deeply.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import RecipeError
from workbench.recipe import PROJECT, Recipe, anchor, load_recipe, preset_names, recipe_from

FIRST_PRESET = "{language}-sentiment-lora"


@dataclass
class Watch:
    """The run in view. `seen` is the number of the next event to draw; `mark` is the state that was drawn last; `charted` is when its
    charts were drawn, in seconds of the monotonic clock, and `measured` how many evaluations they showed."""

    run: str | None = None
    seen: int = -1
    mark: str = ""
    charted: float = 0.0
    measured: int = -1


def first_draft(language: str = "en") -> dict[str, Any]:
    """The recipe a new visitor starts with: a preset of the page's language that learns in under a minute, or the defaults where no
    preset is installed."""
    names = preset_names()
    wanted = FIRST_PRESET.format(language=language)
    chosen = wanted if wanted in names else names[0] if names else None
    recipe = load_recipe(chosen) if chosen else Recipe()
    return portable(recipe).model_dump()


def recipe_of(draft: dict[str, Any]) -> Recipe:
    """The draft as a recipe, with its paths as they are shown."""
    return recipe_from(draft, source="recipe")


def ready(draft: dict[str, Any]) -> Recipe:
    """The draft as a recipe whose files are absolute, ready to read or to run."""
    return anchor(recipe_of(draft), PROJECT)


def kept(draft: dict[str, Any]) -> str:
    """A draft as the browser keeps it. As text: where a value holds {"path": ...}, be it a model's, gradio copies that file out."""
    return json.dumps(draft, ensure_ascii=False)


def restored(text: Any, language: str = "en") -> dict[str, Any]:
    """A draft kept by the browser, or the first one when there is none or an older version wrote it."""
    try:
        return recipe_from(json.loads(text), source="browser").model_dump()
    except (RecipeError, TypeError, ValueError):
        return first_draft(language)


def portable(recipe: Recipe) -> Recipe:
    """The recipe with files inside the project written relative to it, as a person would write them."""
    return recipe.with_places(short_path)


def short_path(value: str) -> str:
    """`value` relative to the project when it lies inside."""
    path = Path(value)
    if path.is_absolute() and path.is_relative_to(PROJECT):
        return path.relative_to(PROJECT).as_posix()
    return value
