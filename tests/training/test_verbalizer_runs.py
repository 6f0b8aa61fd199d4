"""Whole runs whose verbalizer trains or learns from rows: what they leave behind, and that stopping changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.small_run import hashes, losses, make_recipe
from workbench.models.pool import ModelPool
from workbench.training.events import EventLog
from workbench.training.folder import damage
from workbench.training.trainer import Control, train_run

CASES = {
    "soft-lora": ({"kind": "soft", "words": {"positive": ["great"], "negative": ["bad"]}}, "lora", "{text} it was [MASK] ."),
    "head-full": ({"kind": "head", "dropout": 0.3}, "full", "{text}"),
    "prototypes-lora": ({"kind": "prototypical", "dimension": 8, "calibration": "contextual"}, "lora", "{text} it was [MASK] ."),
    "means-bias": ({"kind": "prototypical", "prototypes": "means", "temperature": 0.1}, "bias", "{text} it was [MASK] ."),
    "automatic-full": ({"kind": "automatic", "words_per_label": 2, "calibration": "pmi"}, "full", "{text} it was [MASK] ."),
    "head-probe": ({"kind": "head", "learning_rate": 0.02}, "head", "{text}"),
}


def changes(case: str) -> dict:
    verbalizer, method, template = CASES[case]
    return {"prompt.verbalizer": verbalizer, "method": {"name": method}, "prompt.templates": [template], "training.epochs": 2}


def run(recipe, folder: Path, stop_at: int | None = None) -> dict:
    control = Control()
    return train_run(
        recipe, folder, control, ModelPool(), on_event=lambda e: control.request_stop() if e.get("step") == stop_at is not None else None
    )


@pytest.mark.parametrize("case", CASES)
def test_stopped_and_resumed_ends_as_if_it_never_had(tmp_path: Path, case: str) -> None:
    recipe = make_recipe(tmp_path, changes(case))
    whole = run(recipe, tmp_path / "whole")
    assert run(recipe, tmp_path / "cut", stop_at=3)["steps"] == 3
    assert run(recipe, tmp_path / "cut")["metrics"] == whole["metrics"]
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    assert hashes(tmp_path / "cut" / "final") == hashes(tmp_path / "whole" / "final")
    assert {"verbalizer.safetensors", "verbalizer.json"} <= set(hashes(tmp_path / "whole" / "final"))
    assert damage(tmp_path / "whole" / "final") is None


def test_a_probe_moves_its_linear_map_alone_and_says_so(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, changes("head-probe") | {"training.epochs": 8})
    result = run(recipe, tmp_path / "run")
    plan = next(e for e in EventLog(tmp_path / "run" / "events.jsonl").read() if e["kind"] == "plan")
    assert plan["trainable_parameters"] == result["trainable_parameters"] == 2 * 32 + 2
    assert plan["learning_rate"] == 0.02 and any("linear probing" in note for note in plan["notes"])
    found = losses(tmp_path / "run")
    assert sum(loss for _, loss in found[-4:]) < 0.9 * sum(loss for _, loss in found[:4])
