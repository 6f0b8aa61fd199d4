"""PET and iPET as a job: the recipe's part `pet`; the work is in `workbench.runs.pet`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import DataError, RecipeError
from workbench.recipe import PetPart, Recipe
from workbench.runs.jobs import register_job

if TYPE_CHECKING:
    from workbench.data.dataset import InputExample, Splits
    from workbench.runs.job import Job


def check_pet(recipe: Recipe, options: PetPart) -> None:
    """Refuses what no ensemble can be made of."""
    from workbench.methods import check_soft_tokens

    if recipe.task != "classification":
        raise RecipeError("PET needs a classification task.", fix="Set pet to null.")
    if len(recipe.prompt.templates) < 2 and options.generations:
        raise RecipeError("iPET needs several templates to learn from each other.", fix="Add a template, or set pet.generations to 0.")
    if recipe.data.split.shots == 0 and not options.generations:
        raise RecipeError("Without training rows PET has nothing to train on.", fix="Set pet.generations to 1 or more, or give shots.")
    check_soft_tokens(recipe.method, recipe.prompt.templates)


def pool_of(splits: Splits, recipe: Recipe, options: PetPart) -> list[InputExample]:
    """The rows that the ensemble labels.

    Raises:
        DataError: there are none.
    """
    pool = splits.pool(options.unlabeled, recipe.data.split.seed)
    if not pool:
        raise DataError(
            "There are no unlabelled rows for the ensemble to label.", fix="Set data.unlabeled, or take fewer shots."
        )
    return pool


@register_job("pet", PetPart, check_pet)
def pet(job: Job) -> dict[str, Any]:
    """Trains every template with every seed, lets the ensemble label the unlabelled rows, distils one model."""
    from workbench.runs.pet import Pet

    return Pet(job).run()
