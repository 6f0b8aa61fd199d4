"""Models that people really use, as recipes: how much there is to download, what training takes, and whether this machine has it.

Each recipe of presets/catalog names a hub model; beside them lie the models' published configurations, so that sizes are known
before anything is asked for or downloaded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from workbench.errors import RecipeError, nearest
from workbench.models.card import configuration_in, model_card
from workbench.models.memory import weights_bytes
from workbench.recipe import PRESETS, Recipe, load_recipe

CATALOG = PRESETS / "catalog"
# A float32 checkpoint for the masked models, bfloat16 for the causal ones, as they are published.
STORED_BYTES = {"masked": 4, "causal": 2}


@dataclass(frozen=True)
class Entry:
    """One recipe for a published model.

    Attributes:
        download_bytes: of its weights on the hub.
        weight_bytes: of its weights in memory, in the recipe's quantization.
        converts: the checkpoint has to be converted once (Baichuan).
    """

    name: str
    model: str
    task: str
    method: str
    quantization: str
    parameters: int
    download_bytes: int
    weight_bytes: int
    converts: bool


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


def entry(name: str, folder: Path) -> Entry:
    """An entry with its sizes, counted from the published configuration; `folder` is an empty one to work in."""
    recipe = catalog_recipe(name)
    config = config_of(recipe)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    card = model_card(str(folder))
    rest = card.parameters - card.linear_parameters
    dtype = "float32" if recipe.model.quantization == "none" else "bfloat16"
    return Entry(
        name=name,
        model=recipe.model.path,
        task=recipe.task,
        method=str(recipe.method["name"]),
        quantization=recipe.model.quantization,
        parameters=card.parameters,
        download_bytes=card.parameters * STORED_BYTES[card.kind],
        weight_bytes=weights_bytes(card.linear_parameters, card.linear_rows, rest, recipe.model.quantization, dtype),
        converts=config["model_type"] == "baichuan",
    )
