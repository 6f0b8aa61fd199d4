"""P11: one run in two processes, as a launcher starts them, against the same run in one: its losses and its rows a second."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from workbench.bench.comparison import Row, Scale, comparison
from workbench.bench.watching import make_recipe
from workbench.errors import RunError
from workbench.recipe import PROJECT, Recipe
from workbench.training.events import EventLog

LAUNCHER = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
SHARED = "both processes on one processor: the cost of talking to each other, not what two devices give"


@comparison("P11", "two processes on one run")
def two_processes(scale: Scale) -> list[Row]:
    """Rows a second of the steps alone, start and evaluation not counted; on a processor one thread to each process."""
    import torch

    rows, layers, hidden = (64, 2, 128) if scale.quick else (512, 4, 256)
    devices = torch.cuda.device_count()
    recipe = make_still_recipe(scale.folder, rows, layers, hidden, "auto" if devices > 1 else "cpu")
    sides: dict[str, list[dict[str, Any]]] = {"one": [], "two": []}
    for number in range(scale.rounds):
        for side, launcher in (("one", ()), ("two", LAUNCHER)):
            scale.say(f"P11: {side} process{'es' if launcher else ''}, round {number + 1} of {scale.rounds}")
            sides[side].append(trained(recipe, scale.folder / f"{side}-{number}", launcher))
    rate = {side: statistics.median(answer["examples_per_second"] for answer in answers) for side, answers in sides.items()}
    apart = max(abs(one - two) for one, two in zip(sides["one"][0]["losses"], sides["two"][0]["losses"], strict=True))
    work = f"training, lora, {layers}x{hidden}, {rows} rows"
    figures = {f"{side}_rows_per_second": value for side, value in rate.items()} | {"rounds": scale.rounds, "load": psutil.getloadavg()[0]}
    real = devices > 1
    return [
        Row("P11", f"{work}: rows a second", "one process", round(rate["two"] / rate["one"], 2), 1.8 if real else None, figures=figures,
            note="" if real else SHARED),
        Row("P11", f"{work}: largest difference of a loss", "one process", apart, 1e-6, unit="nats", at_most=True),
    ]  # fmt: skip


def make_still_recipe(folder: Path, rows: int, layers: int, hidden: int, device: str) -> Recipe:
    """A recipe without dropout, which two processes draw otherwise than one."""
    recipe = make_recipe(folder, rows, layers, hidden)
    config = folder / "model" / "config.json"
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config.write_text(json.dumps(json.loads(config.read_text(encoding="utf-8")) | quiet), encoding="utf-8")
    return recipe.replace({"method": {"name": "lora", "dropout": 0.0}, "model.device": device})


def trained(recipe: Recipe, root: Path, launcher: tuple[str, ...]) -> dict[str, Any]:
    """What `train` prints, with every step's loss under "losses"; started as a person starts it."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", *launcher, "workbench", "train", str(root / "recipe.yaml"), "--runs", str(root)], cwd=PROJECT,
        capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if done.returncode:
        raise RunError(f"The run did not end well: {done.stderr.strip().splitlines()[-1][:200]}", fix="Try the same command by hand.")
    answer = json.loads(done.stdout.splitlines()[-1])
    events = EventLog(root / "runs" / answer["run"] / "events.jsonl").read()
    return answer | {"losses": [event["loss"] for event in events if event["kind"] == "train"]}
