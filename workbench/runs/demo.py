"""What a visitor of a demo server may train: small runs of embedded models, one at a time. Nothing here concerns anybody else."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.access import Role, acting
from workbench.errors import AccessError
from workbench.recipe import Recipe
from workbench.runs.record import RunRecord

UNFINISHED = ("queued", "running", "paused", "stopping")
MOST = {
    "training.epochs": 20,
    "training.batch_size": 64,
    "training.gradient_accumulation": 8,
    "data.split.shots": 64,
    "data.split.validation": 500,
    "prompt.max_length": 256,
}


def check_demo(recipe: Recipe) -> None:
    """Raises AccessError, naming the first field, when a visitor's recipe asks for more than a demo server gives."""
    if acting().role != Role.VISITOR:
        return
    if recipe.kind != "train" or recipe.task != "classification":
        raise AccessError("Visitors of this server can only train classifiers.", fix="Install the workbench to do the rest.")
    if not recipe.model.path.startswith("embedded:"):
        raise AccessError("Visitors of this server can only tune embedded models.", fix="Choose an embedded model on the Model tab.")
    for place, most in MOST.items():
        value = recipe
        for name in place.split("."):
            value = getattr(value, name)
        if value is None or value > most:
            asked = "everything" if value is None else value
            raise AccessError(f"'{place}' is {asked}; visitors of this server can have {most}.", fix=f"Lower it to {most} or less.")


def refuse_second_run(own: Iterable[RunRecord]) -> None:
    """Raises AccessError when a visitor has a run that waits or trains.

    Args:
        own: the visitor's runs.
    """
    if acting().role != Role.VISITOR:
        return
    busy = next((record for record in own if record.status in UNFINISHED), None)
    if busy is not None:
        raise AccessError(f"Your run '{busy.name}' has not ended yet.", fix="Wait for it, or stop it on the Train tab.")
