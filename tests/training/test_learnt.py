"""A run's last words: the table of what its method learnt, as an event."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.small_run import make_recipe
from workbench.models.pool import ModelPool
from workbench.training.events import EventLog
from workbench.training.trainer import Control, train_run

WHAT = {"lora": "update_norms", "soft_prompt": "nearest_words", "adapter": "adapter_activation", "p_tuning_v2": "prefix_attention"}


@pytest.mark.parametrize("name", WHAT)
def test_a_run_ends_with_what_it_learnt(name: str, tmp_path: Path) -> None:
    train_run(make_recipe(tmp_path, {"method": {"name": name}, "training.epochs": 1}), tmp_path / "run", Control(), ModelPool())
    (told,) = [event for event in EventLog(tmp_path / "run" / "events.jsonl").read() if event["kind"] == "learnt"]
    assert told["what"] == WHAT[name] and told["rows"]
    assert all(set(row) == {"part", "layer", "value", "words"} for row in told["rows"])
