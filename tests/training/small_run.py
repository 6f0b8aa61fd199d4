"""A run small enough for tests: a random BERT of two layers on 48 rows that a bag of words can tell apart.

As a script (`python -m tests.training.small_run RECIPE FOLDER DELAY`) it trains in a process of its own, to be killed there.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from tests.models.tiny import save_model
from workbench.models.pool import ModelPool
from workbench.recipe import Recipe, recipe_from
from workbench.training.events import EventLog
from workbench.training.trainer import Control, train_run


def make_recipe(folder: Path, changes: dict[str, Any] | None = None) -> Recipe:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model").exists():
        save_model(folder / "model")
    with open(folder / "rows.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        for number in range(48):
            word = f"w{number % 2 + 10}"
            writer.writerow([f"{word} w{20 + number} {word} " + "w5 " * (number % 7), ["positive", "negative"][number % 2]])
    content = {
        "model": {"path": str(folder / "model"), "device": "cpu"},
        "data": {"train": str(folder / "rows.csv"), "split": {"validation": 16}},
        "prompt": {
            "templates": ["{text} it was [MASK] ."],
            "verbalizer": {"kind": "manual", "words": {"positive": ["great"], "negative": ["bad"]}},
        },
        "method": {"name": "lora", "r": 4},
        "training": {"epochs": 4, "batch_size": 8, "checkpoint_every": 2},
    }
    return recipe_from(content, source="test").replace(changes or {})


def without_dropout(folder: Path) -> None:
    """Takes the dropout out of the model in `folder`, for losses that are compared."""
    config = folder / "model" / "config.json"
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config.write_text(json.dumps(json.loads(config.read_text()) | quiet))


def train_in_two_lives(recipe: Recipe, folder: Path, step: int, between: Any = lambda: None, on_event: Any = None) -> None:
    """Trains until a step, calls `between`, and goes on to the end."""
    control = Control()
    train_run(recipe, folder, control, ModelPool(), on_event=lambda e: control.request_stop() if e.get("step") == step else None)
    between()
    train_run(recipe, folder, Control(), ModelPool(), on_event=on_event)


def losses(folder: Path) -> list[tuple[int, float]]:
    return [(e["step"], e["loss"]) for e in EventLog(folder / "events.jsonl").read() if e["kind"] == "train"]


def hashes(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


if __name__ == "__main__":
    recipe_file, run_folder, delay = sys.argv[1:]
    recipe = recipe_from(yaml.safe_load(Path(recipe_file).read_text()), source="test")
    train_run(recipe, Path(run_folder), Control(), ModelPool(), on_event=lambda event: time.sleep(float(delay)))
