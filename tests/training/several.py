"""The processes of a launcher on recipes in a folder: `torchrun ... -m tests.training.several FOLDER`.

FOLDER/NAME.yaml is trained in FOLDER/several/NAME, in alphabetical order; what the leader gets is added to FOLDER/answers.jsonl.
A run whose name begins with "part" is stopped after its third step. The one named "x-lost" fails in every process but the leader, in its
third loss.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from workbench.errors import WorkbenchError
from workbench.models.pool import ModelPool
from workbench.recipe import recipe_from
from workbench.training import processes
from workbench.training.control import Control
from workbench.training.stepper import Stepper
from workbench.training.trainer import train_along, train_run

HOME = Path(sys.argv[-1])
real = Stepper._summed_loss
losses = 0


def failing(stepper: Stepper, rows: list[int]) -> Any:
    global losses
    losses += 1
    if losses == 3:
        raise MemoryError
    return real(stepper, rows)


def along(call: dict[str, Any]) -> None:
    if call["folder"].endswith("x-lost"):
        Stepper._summed_loss = failing
    train_along(call)


def lead() -> None:
    for file in sorted(HOME.glob("*.yaml")):
        recipe = recipe_from(yaml.safe_load(file.read_text(encoding="utf-8")), source=file.name)
        control, last = Control(), 3 if file.stem.startswith("part") else -1
        try:
            answer = train_run(
                recipe, HOME / "several" / file.stem, control, ModelPool(),
                on_event=lambda event, control=control, last=last: control.request_stop() if event.get("step") == last else None,
            )  # fmt: skip
        except WorkbenchError as error:
            answer = {"raised": type(error).__name__, "message": error.message}
        with (HOME / "answers.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"name": file.stem, **answer}) + "\n")


if __name__ == "__main__":
    processes.PARTING_SECONDS = 3.0
    with processes.joined() as together:
        if together.leads:
            lead()
        else:
            processes.follow(along, together)
