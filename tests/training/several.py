"""The processes of a launcher on recipes in a folder: `torchrun ... -m tests.training.several FOLDER`.

FOLDER/NAME.yaml is trained in FOLDER/several/NAME, in alphabetical order; what the leader gets is added to FOLDER/answers.jsonl.
A recipe of the name "x-lost" fails in every process but the leader, in its third loss.
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
from workbench.training.stepper import SummedLoss
from workbench.training.trainer import train_along, train_run

HOME = Path(sys.argv[-1])
real = SummedLoss.forward
losses = 0


def failing(module: SummedLoss, rows: list[int]) -> Any:
    global losses
    losses += 1
    if losses == 3:
        raise MemoryError
    return real(module, rows)


def along(call: dict[str, Any]) -> None:
    if call["folder"].endswith("x-lost"):
        SummedLoss.forward = failing
    train_along(call)


def lead() -> None:
    for file in sorted(HOME.glob("*.yaml")):
        recipe = recipe_from(yaml.safe_load(file.read_text(encoding="utf-8")), source=file.name)
        try:
            answer = train_run(recipe, HOME / "several" / file.stem, Control(), ModelPool())
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
