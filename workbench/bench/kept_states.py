"""P5: an epoch of training over states that were read once, next to reading them anew.

Where only the last layers train, the goal is what their share of the work allows: a forward pass through all layers and a backward pass,
twice the work, through those that train, against both through the latter alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.bench.comparison import Row, Scale, comparison
from workbench.bench.measure import interleaved, ratio
from workbench.bench.watching import make_recipe
from workbench.recipe import Recipe

EPOCHS = 50
WANTED = 50.0
LAST = 1
TRAINED = {
    "head only": {"method": {"name": "head"}},
    "linear probe": {"method": {"name": "head"}, "prompt.verbalizer": {"kind": "head"}, "prompt.templates": ["{text}"]},
    "LoRA in the last layer": {"method": {"name": "lora", "layers": LAST}},
    "adapters in the last layer": {"method": {"name": "adapter", "layers": LAST}},
}


@comparison("P5", "states kept under a frozen body")
def kept_states(scale: Scale) -> list[Row]:
    """An epoch once the states are there, and a run of EPOCHS epochs with the one that reads them."""
    layers, hidden, rows = (2, 128, 64) if scale.quick else (4, 256, 256)
    base = make_recipe(scale.folder, rows, layers, hidden)
    found = []
    for what, changes in TRAINED.items():
        recipe = base.replace({**changes, "training.epochs": EPOCHS})
        trainers = {mode: _trainer(recipe, mode, scale.folder / f"{what}-{mode}") for mode in ("auto", "never")}
        try:
            kept, anew = (trainers[mode] for mode in ("auto", "never"))
            reading = interleaved({"reading": lambda kept=kept: _read(kept)}, rounds=scale.rounds, warm_up=False, flops=False)["reading"]
            sides = {"kept": lambda kept=kept: _epoch(kept), "anew": lambda anew=anew: _epoch(anew)}
            figures = interleaved(sides, rounds=max(3, scale.rounds), flops=False)
        finally:
            for trainer in trainers.values():
                trainer.close()
        plain = {name: figure.to_json() for name, figure in figures.items()} | {"reading": reading.to_json()}
        wanted = WANTED if changes["method"]["name"] == "head" else (layers + 2 * LAST) / (3 * LAST)
        work = f"{what}, {layers}x{hidden}, {rows} rows"
        whole = EPOCHS * figures["anew"].cpu_seconds / (reading.cpu_seconds + EPOCHS * figures["kept"].cpu_seconds)
        found += [
            Row("P5", f"{work}: an epoch", "reading them anew", ratio(figures["kept"], figures["anew"]), wanted, figures=plain),
            Row("P5", f"{work}: {EPOCHS} epochs", "reading them anew", round(whole, 2), None, figures=plain),
        ]
    return found


def _trainer(recipe: Recipe, mode: str, folder: Path) -> Any:
    from workbench.models.pool import ModelPool
    from workbench.training.control import Control
    from workbench.training.trainer import Trainer

    trainer = Trainer(recipe.replace({"training.cache_features": mode}), folder, Control(), ModelPool(), None)
    trainer.setup()
    trainer.tuned.train()
    return trainer


def _read(trainer: Any) -> None:
    """The states of all rows, read as a run's first step reads them."""
    import torch

    trainer.objective.classifier.kept.forget()
    with torch.no_grad():
        trainer.objective.loss([0])


def _epoch(trainer: Any) -> None:
    for step in range(trainer.stepper.batches.steps_per_epoch):
        trainer.stepper.step(step, trainer.schedule.total_steps)
