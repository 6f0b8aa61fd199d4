"""What the catalog's recipes take: how much there is to download, and memory to train, before anything is asked for or downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from workbench.methods.footprint import estimate
from workbench.models.catalog import catalog_recipe, config_of, published_configuration
from workbench.models.known import KnownModel

# A float32 checkpoint for the masked models, bfloat16 for the causal ones, as they are published.
STORED_BYTES = {"masked": 4, "causal": 2}


@dataclass(frozen=True)
class Entry:
    """One recipe for a published model.

    Attributes:
        download_bytes: of its weights on the hub.
        weight_bytes: of its weights in memory on this machine, in the recipe's quantization.
        training_bytes: at the peak of the recipe's training, weights included.
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
    training_bytes: int
    converts: bool


@cache
def entry(name: str) -> Entry:
    """An entry with its sizes, from the published configuration alone; a second or two, in which a step of its training is counted.

    Raises:
        RecipeError: no such entry.
    """
    recipe = catalog_recipe(name)
    path = recipe.model.path
    published = published_configuration(path)
    assert published is not None, "every recipe of the catalog has a configuration beside it"
    known = KnownModel(*published, path)
    card, (taken, _) = known.card(recipe.model), estimate(recipe, known)
    return Entry(
        name=name,
        model=path,
        task=recipe.task,
        method=str(recipe.method["name"]),
        quantization=recipe.model.quantization,
        parameters=card.parameters,
        download_bytes=card.parameters * STORED_BYTES[card.kind],
        weight_bytes=card.memory[recipe.model.quantization],
        training_bytes=taken.total,
        converts=config_of(recipe)["model_type"] == "baichuan",
    )
