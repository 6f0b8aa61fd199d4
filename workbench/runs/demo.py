"""What a visitor of a demo server may train: small runs of embedded models, one at a time. Nothing here concerns anybody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.access import VISITOR_NAMES, Role, acting, address_names
from workbench.errors import AccessError
from workbench.recipe import Recipe
from workbench.runs.record import UNFINISHED

if TYPE_CHECKING:
    from workbench.runs.store import RunStore

MOST_OF_VISITORS = 100
"""A class of visitors with a run each has room."""
MOST_OF_AN_ADDRESS = 50
"""Half of it: whoever lets the cookies go is somebody new each time, and must not take the room of everybody else."""
MOST_BYTES_OF_VISITORS = 5 * 10**9
"""Seventy finished runs that tune every weight of an embedded model, or some thousands that tune few."""
MOST = {
    "training.epochs": 20,
    "training.batch_size": 64,
    "training.gradient_accumulation": 8,
    "data.split.shots": 64,
    "data.split.validation": 500,
    "prompt.max_length": 256,
}
LEAST = {"training.batch_size": 4, "training.evaluate_every": 5}
"""An evaluation after every single row would make hours of what takes minutes."""
MOST_TEMPLATES = 10


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
    for place, least in LEAST.items():
        part, name = place.split(".")
        value = getattr(getattr(recipe, part), name)
        if value != "auto" and value < least:
            raise AccessError(f"'{place}' is {value}; visitors of this server need {least}.", fix=f"Raise it to {least} or more.")
    if len(recipe.prompt.templates) > MOST_TEMPLATES:
        raise AccessError(f"Visitors of this server can have {MOST_TEMPLATES} templates.", fix="Remove some on the Prompt tab.")


def refuse_second_run(store: RunStore) -> None:
    """Raises AccessError when a visitor has a run that waits or trains, or when the visitors of the address, or all together, have as many
    as a demo takes: an address may begin the sessions of a whole class."""
    if acting().role != Role.VISITOR:
        return
    busy = next((record for record in store.records() if record.status in UNFINISHED), None)
    if busy is not None:
        raise AccessError(f"Your run '{busy.name}' has not ended yet.", fix="Wait for it, or stop it on the Train tab.")
    for names, most in ((address_names(acting().name), MOST_OF_AN_ADDRESS), (VISITOR_NAMES, MOST_OF_VISITORS)):
        waiting = store.count_unfinished(names)
        if waiting < most:
            continue
        raise AccessError(f"{waiting} runs of visitors have not ended yet.", fix="Try again in a few minutes.")


def without_room(store: RunStore, newest: str) -> list[str]:
    """Ids of the visitors' ended runs that have to go, since visitors cannot delete and the disk is the owner's: the oldest, until the
    rest fit in MOST_BYTES_OF_VISITORS.

    Args:
        newest: the run that has just ended; never among them, and when it is no visitor's there are none.
    """
    ended = [record for record in store.records() if record.owner.startswith(VISITOR_NAMES) and record.status not in UNFINISHED]
    if all(record.id != newest for record in ended):
        return []
    room, needless = MOST_BYTES_OF_VISITORS, []
    for record in sorted(ended, key=lambda record: record.id != newest):  # else as they came, newest first
        room -= sum(file.stat().st_size for file in store.folder(record.id).rglob("*") if file.is_file())
        if room < 0 and record.id != newest:
            needless.append(record.id)
    return needless
