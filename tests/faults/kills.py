"""Runs that are killed by SIGKILL, at random moments and at every call of input and output, and then resumed.

Each victim is a fork of this process, which imported everything once, so a kill costs a fraction of a second. The process must have
no other threads; tests therefore run this module as a command of its own:

    python -m tests.faults.kills random --kills 200
    python -m tests.faults.kills calls --every 1
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults.calls import watched
from tests.training.small_run import hashes, losses, make_recipe
from workbench.data.dataset import load_splits
from workbench.methods import attach
from workbench.models.pool import ModelPool
from workbench.recipe import Recipe
from workbench.runs.service import RunService
from workbench.serving.classifier import PromptClassifier
from workbench.training.optim import build_optimizer
from workbench.training.trainer import train_run

__all__ = ["train_run"]  # imported so that forks need not

CADENCES: tuple[int | str, ...] = (1, 2, "auto")
LONGEST_SECONDS = 120


def serve(root: Path, recipe: Recipe) -> None:
    """What a workbench process does: submit the run or, when it is there, resume it; then wait for its end."""
    service = RunService(root)
    run_id = service.submit(recipe, key="the run")
    service.resume(run_id)
    service.wait(run_id, LONGEST_SECONDS)
    service.close()


def import_everything(recipe: Recipe) -> None:
    """Loads a model and takes one step's forward pass, so that forks find it all imported; a backward pass must not come before a fork."""
    loaded = ModelPool().fresh(recipe.model)
    attached = attach(loaded, recipe.method)
    splits = load_splits(recipe.data)
    PromptClassifier(loaded, recipe.prompt, splits.labels).predict(splits.validation.examples[:2])
    build_optimizer(attached.parameters(), learning_rate=1e-3, weight_decay=0.0)
    attached.detach()


def in_child(work: Callable[[], None], kill_after: float | None = None) -> bool:
    """Runs `work` in a fork; True when it came to its end, False when it was killed."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 2)
            work()
            os._exit(0)
        finally:
            os._exit(3)
    if kill_after is not None:
        deadline = time.monotonic() + kill_after
        while time.monotonic() < deadline:
            if os.waitpid(child, os.WNOHANG)[0]:
                return True
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return False
    if os.WEXITSTATUS(status) != 0:
        raise AssertionError("a child ended with an error of its own")
    return True


def outcome(root: Path) -> dict[str, Any]:
    """What there is of the run when nobody works on it: status as a fresh reader sees it, losses and hashes of what it left."""
    service = RunService(root, writable=False)
    summaries = service.runs()
    error = service.read(summaries[0].id).error if summaries else None
    service.close()
    if not summaries:
        return {"status": "absent"}
    folder = root / "runs" / summaries[0].id
    final = folder / "final"
    return {
        "status": summaries[0].status, "runs": len(summaries), "losses": losses(folder), "metrics": summaries[0].metrics,
        "hashes": hashes(final) if final.is_dir() else {}, "step": summaries[0].step, "error": error,
    }  # fmt: skip


def same(ended: dict[str, Any], whole: dict[str, Any]) -> bool:
    return all(ended[name] == whole[name] for name in ("status", "losses", "metrics", "hashes"))


def kill_at_random(folder: Path, kills: int, seed: int = 13) -> dict[str, Any]:
    """Kills runs at uniform random moments, up to three times each, resuming after each kill, and compares with a run left alone."""
    import_everything(make_recipe(folder))
    chance = random.Random(seed)
    figures: dict[str, Any] = {"kills": 0, "runs": 0, "failed_resumes": 0, "identical": 0, "seen_as_interrupted": 0, "states": {}}
    wholes = {}
    for cadence in CADENCES:
        recipe = make_recipe(folder, {"training.checkpoint_every": cadence})
        started = time.perf_counter()
        in_child(lambda recipe=recipe, cadence=cadence: serve(folder / f"whole-{cadence}", recipe))
        wholes[cadence] = recipe, outcome(folder / f"whole-{cadence}"), time.perf_counter() - started
    while figures["kills"] < kills:
        cadence = CADENCES[figures["runs"] % len(CADENCES)]
        recipe, whole, seconds = wholes[cadence]
        root = folder / f"root-{figures['runs']}"
        figures["runs"] += 1
        for _ in range(3):
            if figures["kills"] >= kills or in_child(lambda root=root, recipe=recipe: serve(root, recipe), chance.uniform(0, seconds)):
                break
            figures["kills"] += 1
            state = outcome(root)["status"] if root.exists() else "absent"
            figures["states"][state] = figures["states"].get(state, 0) + 1
            figures["seen_as_interrupted"] += state == "interrupted"
        in_child(lambda root=root, recipe=recipe: serve(root, recipe))
        ended = outcome(root)
        figures["failed_resumes"] += ended["status"] != "finished"
        figures["identical"] += same(ended, whole)
    return figures


def kill_at_calls(folder: Path, every: int) -> dict[str, Any]:
    """Kills a run at its k-th call of input or output under the data root, for every `every`-th k until it gets through."""
    recipe = make_recipe(folder, {"training.epochs": 1, "training.checkpoint_every": 2})
    import_everything(recipe)
    in_child(lambda: serve(folder / "whole", recipe))
    whole = outcome(folder / "whole")
    figures: dict[str, Any] = {"kills": 0, "failed_resumes": 0, "identical": 0, "two_runs": 0}

    def victim(root: Path, number: int) -> None:
        with watched(root, lambda place, call: os.kill(os.getpid(), signal.SIGKILL) if place == number else None):
            serve(root, recipe)

    number = 1
    while not in_child(partial(victim, folder / f"root-{number}", number)):
        figures["kills"] += 1
        root = folder / f"root-{number}"
        in_child(lambda root=root: serve(root, recipe))
        ended = outcome(root)
        if not same(ended, whole):
            print(f"killed at call {number}, it ended as {ended['status']}: {ended.get('error')}", file=sys.stderr)
        figures["failed_resumes"] += ended["status"] != "finished"
        figures["two_runs"] += ended.get("runs", 0) > 1
        figures["identical"] += same(ended, whole)
        number += every
    return figures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("random", "calls"))
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--seed", type=int, default=13)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if flags.what == "random":
            print(json.dumps(kill_at_random(Path(folder), flags.kills, flags.seed)))
        else:
            print(json.dumps(kill_at_calls(Path(folder), flags.every)))


if __name__ == "__main__":
    main()
