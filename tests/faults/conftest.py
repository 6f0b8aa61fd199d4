"""A run left alone, which every damaged, interrupted or resumed one is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.training.small_run import hashes, losses, make_recipe
from workbench.models.pool import ModelPool
from workbench.recipe import Recipe
from workbench.training.trainer import Control, train_run


@dataclass(frozen=True)
class Whole:
    """`folder` is its run folder; losses and hashes are what others have to equal."""

    recipe: Recipe
    folder: Path
    result: dict

    def equals(self, folder: Path) -> bool:
        return losses(folder) == losses(self.folder) and hashes(folder / "final") == hashes(self.folder / "final")


def train(recipe: Recipe, folder: Path, on_event=None, control: Control | None = None) -> dict:
    return train_run(recipe, folder, control or Control(), ModelPool(), on_event=on_event)


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Whole:
    """Eight steps with a checkpoint after every second one."""
    root = tmp_path_factory.mktemp("whole")
    recipe = make_recipe(root, {"training.epochs": 2})
    return Whole(recipe, root / "run", train(recipe, root / "run"))
