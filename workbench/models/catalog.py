"""Models that people really use, as recipes.

Each recipe of presets/catalog names a hub model; beside them lie the models' published configurations, so that sizes are known
before anything is asked for or downloaded: `workbench.methods.catalog_table` counts them.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from workbench.errors import RecipeError, nearest
from workbench.models.card import configuration_in
from workbench.recipe import PRESETS, Recipe, load_recipe

CATALOG = PRESETS / "catalog"


def catalog_names() -> list[str]:
    """Names of all entries, sorted; empty when the presets folder is absent."""
    return sorted(file.stem for file in CATALOG.glob("*.yaml"))


def catalog_recipe(name: str) -> Recipe:
    """The recipe of an entry; RecipeError for any other name, since it may come from a page."""
    if name not in catalog_names():
        raise RecipeError("There is no such model in the catalog.", fix=nearest(name[:64], catalog_names()))
    return load_recipe(CATALOG / f"{name}.yaml")


def config_of(recipe: Recipe) -> dict[str, Any]:
    """The published configuration of a catalog recipe's model."""
    return _published(recipe.model.path)


def _published(model: str) -> dict[str, Any]:
    file = CATALOG / "configs" / f"{model.rpartition('/')[2].lower()}.json"
    return json.loads(file.read_text(encoding="utf-8"))


@cache
def _hub_ids(folder: Path) -> frozenset[str]:
    """Read once: sixteen recipes take a tenth of a second, and a page asks with every look at a model."""
    return frozenset(load_recipe(file).model.path for file in folder.glob("*.yaml"))


def published_configuration(model: str) -> tuple[Any, str] | None:
    """The transformers configuration of a hub id of the catalog, and its kind, as published; None for any other id."""
    if model not in _hub_ids(CATALOG):
        return None
    with TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(_published(model)), encoding="utf-8")
        return configuration_in(Path(folder))
