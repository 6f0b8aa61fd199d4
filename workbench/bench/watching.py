"""P8: what it costs to be watched: log, checkpoints and a page that looks twice a second, next to the bare steps of the same run."""

from __future__ import annotations

import csv
import itertools
import threading
from pathlib import Path

from workbench.bench.comparison import Row, Scale, comparison
from workbench.bench.measure import interleaved
from workbench.bench.workload import PROMPT, masked_model, review_rows
from workbench.recipe import Recipe
from workbench.runs.service import RunService

SECONDS_BETWEEN_LOOKS = 0.5


@comparison("P8", "the cost of being watched")
def watching(scale: Scale) -> list[Row]:
    """Processor seconds of this process, the page's part included; both sides read the data and load the model."""
    rows, layers, hidden = (64, 2, 128) if scale.quick else (1024, 4, 256)
    recipe = make_recipe(scale.folder, rows, layers, hidden)
    service, numbers = RunService(scale.folder / "runs"), itertools.count()
    try:
        figures = interleaved(
            {"watched": lambda: watched(service, recipe), "bare": lambda: bare(recipe, scale.folder / f"bare-{next(numbers)}")},
            rounds=max(3, scale.rounds), flops=False,
        )  # fmt: skip
    finally:
        service.close()
    cost = 100 * (figures["watched"].cpu_seconds / figures["bare"].cpu_seconds - 1)
    plain = {name: figure.to_json() for name, figure in figures.items()}
    work = f"training, {layers}x{hidden}, {rows} rows"
    return [Row("P8", work, "bare steps", round(cost, 2), 1.0, unit="%", at_most=True, figures=plain)]


def make_recipe(folder: Path, rows: int, layers: int, hidden: int) -> Recipe:
    """One epoch over review rows, on a model that is saved in `folder`; no validation rows, which the bare side would not measure."""
    loaded = masked_model(layers, hidden)
    loaded.model.save_pretrained(folder / "model")
    loaded.tokenizer.save_pretrained(folder / "model")
    with open(folder / "rows.csv", "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        writer.writerows([f"{number} {example.fields['text']}", example.label] for number, example in enumerate(review_rows(rows)))
    changes = {
        "model.path": str(folder / "model"), "model.device": "cpu", "data.train": str(folder / "rows.csv"), "data.split.shots": None,
        "data.split.validation": 0, "prompt": PROMPT.model_dump(), "training.epochs": 1, "method": {"name": "lora"},
    }  # fmt: skip
    return Recipe(name="watched").replace(changes)


def watched(service: RunService, recipe: Recipe) -> None:
    """A run through the queue, with a page that polls it and draws both figures whenever something is new."""
    from workbench.ui.tabs.train import draw
    from workbench.ui.text import Words
    from workbench.ui.train_charts import accuracy_figure, loss_figure

    run_id, ended, words = service.submit(recipe), threading.Event(), Words("en")

    def look() -> None:
        while not ended.wait(SECONDS_BETWEEN_LOOKS):
            shown = draw(service, run_id)
            for figure in (loss_figure, accuracy_figure):
                figure(shown, words).to_json()

    page = threading.Thread(target=look, daemon=True)
    page.start()
    service.wait(run_id)
    ended.set()
    page.join()


def bare(recipe: Recipe, folder: Path) -> None:
    """The same steps without log, checkpoints or anybody who looks."""
    from workbench.models.pool import ModelPool
    from workbench.training.control import Control
    from workbench.training.trainer import Trainer

    trainer = Trainer(recipe, folder, Control(), ModelPool(), None)
    try:
        trainer.setup()
        trainer.loaded.model.train()
        for step in range(trainer.schedule.total_steps):
            trainer.stepper.step(step, trainer.schedule.total_steps)
    finally:
        trainer.close()
