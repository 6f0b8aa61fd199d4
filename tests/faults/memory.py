"""Memory that runs out at a chosen place, and what many runs in one process leave behind."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from workbench.bench.measure import give_back_memory, resident_bytes
from workbench.methods.lora import Lora
from workbench.recipe import Recipe
from workbench.runs.service import RunService
from workbench.serving.classifier import PromptClassifier

PLACES = {
    "loading": ("workbench.models.loading._load_weights", 1),
    "step": (f"{PromptClassifier.__module__}.PromptClassifier.log_probabilities", 12),
    "evaluation": (f"{PromptClassifier.__module__}.PromptClassifier.predict_encoded", 2),
    "saving": (f"{Lora.__module__}.Lora.state", 3),
    "finishing": ("workbench.training.trainer.Trainer.finish", 1),
}


def out_of_memory(patch: pytest.MonkeyPatch, place: str) -> None:
    """The n-th call at a place raises torch's own error, as a device without memory does."""
    import importlib

    dotted, call = PLACES[place]
    parts = dotted.split(".")
    split = next(i for i, part in enumerate(parts) if part[0].isupper() or part.startswith("_"))
    owner: Any = importlib.import_module(".".join(parts[:split]))
    for name in parts[split:-1]:
        owner = getattr(owner, name)
    real, calls = getattr(owner, parts[-1]), [0]

    def full(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return real(*arguments, **options)

    patch.setattr(owner, parts[-1], full)


def fail_then_succeed(root: Path, recipe: Recipe, place: str) -> tuple[dict[str, Any], str, str]:
    """A run that runs out of memory, then another one, both in this process: the error shown, and both runs' ends."""
    service = RunService(root)
    with pytest.MonkeyPatch.context() as patch:
        out_of_memory(patch, place)
        failed = service.submit(recipe)
        first = service.wait(failed, 60).status
    error = service.read(failed).error or {}
    second = service.wait(service.submit(recipe), 60).status
    service.close()
    return error, first, second


def models_alive() -> int:
    """How many transformers models this process holds."""
    return sum(issubclass(type(one), PreTrainedModel) for one in gc.get_objects())


def resident_after_each(runs: int, root: Path, recipe: Recipe, say: Callable[[str], None] = lambda line: None) -> list[int]:
    """Resident bytes after each of many runs in one process and one service, each read to its end by a page."""
    service, sizes = RunService(root), []
    for number in range(runs):
        run_id = service.submit(recipe)
        service.wait(run_id, 120)
        service.read(run_id)
        gc.collect()
        give_back_memory()
        sizes.append(resident_bytes())
        say(f"run {number + 1}: {sizes[-1] / 1e6:.1f} MB")
    service.close()
    return sizes
