"""States read once: the losses of reading them at every step, on every kind of verbalizer; files, resumes, and when it is not done."""

from __future__ import annotations

import errno

import pytest
import torch

from tests.training.small_run import hashes, losses, make_recipe, train_in_two_lives, without_dropout
from workbench.errors import TrainingError
from workbench.methods import attach, check_method
from workbench.models.loading import load_model
from workbench.models.pool import ModelPool
from workbench.training import kept_states
from workbench.training.control import Control
from workbench.training.events import EventLog
from workbench.training.kept_states import KeptStates, body_is_frozen
from workbench.training.objective import make_objective
from workbench.training.trainer import train_run

KINDS = {
    "words": {},
    "probe": {"prompt.verbalizer": {"kind": "head", "dropout": 0.0}},
    "soft": {"prompt.verbalizer": {"kind": "soft"}},
    "prototypes": {"prompt.verbalizer": {"kind": "prototypical"}},
    "two templates": {"prompt.templates": ["{text} it was [MASK] .", "[MASK] {text}"]},
}


def recipe_of(folder, changes=None, *, cache="auto"):
    recipe = make_recipe(folder, {"method": {"name": "head"}, "training.epochs": 3, "training.cache_features": cache, **(changes or {})})
    without_dropout(folder)  # reading anew would drop something else at every step
    return recipe


def trained(recipe, folder):
    return train_run(recipe, folder, Control(), ModelPool())


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_those_of_reading_every_row_at_every_step(tmp_path, monkeypatch, kind):
    reads = []
    states = kept_states.last_states
    monkeypatch.setattr(kept_states, "last_states", lambda *given: reads.append(len(given[1])) or states(*given))
    trained(recipe_of(tmp_path, KINDS[kind]), tmp_path / "kept")
    rows = EventLog(tmp_path / "kept" / "events.jsonl").read()
    plan = next(e for e in rows if e["kind"] == "plan")
    assert any("kept" in note for note in plan["notes"])
    templates = 2 if kind == "two templates" else 1
    assert sum(reads) == templates * (plan["train_rows"] + plan["validation_rows"] + 2)  # and one row each for the gradient and the shape
    trained(recipe_of(tmp_path, KINDS[kind], cache="never"), tmp_path / "anew")
    kept, anew = losses(tmp_path / "kept"), losses(tmp_path / "anew")
    # 1e-6 and not the same bits: a row's states are computed in another batch, where products are added up in another order.
    assert len(kept) == 12 and max(abs(a - b) for (_, a), (_, b) in zip(kept, anew, strict=True)) < 1e-6
    assert kept[0][1] != kept[-1][1]


def test_states_in_a_file_are_those_in_memory_and_survive_a_stop(tmp_path, monkeypatch):
    recipe = recipe_of(tmp_path)
    trained(recipe, tmp_path / "whole")
    monkeypatch.setattr(kept_states, "IN_MEMORY_BYTES", 1000)
    run, written = tmp_path / "run", []

    def look(event=None):
        written.extend(file.stat().st_mtime_ns for file in (run / "states").glob("*/states.npy"))

    train_in_two_lives(recipe, run, 7, look, look)
    assert len(written) > 1 and len(set(written)) == 1 and not list((run / "states").glob("*/states.npy"))
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    assert hashes(tmp_path / "run" / "final") == hashes(tmp_path / "whole" / "final")


def test_a_damaged_file_and_one_of_other_rows_are_written_anew(tmp_path, monkeypatch):
    objective = bound(recipe_of(tmp_path))
    monkeypatch.setattr(kept_states, "IN_MEMORY_BYTES", 0)
    rows = objective._encoded
    right = KeptStates(objective.classifier, rows, tmp_path).at(0, None, [0, 5])
    file = tmp_path / "states" / "0-masks" / "states.npy"
    content = bytearray(file.read_bytes())
    content[200] ^= 1
    file.write_bytes(content)
    assert torch.equal(KeptStates(objective.classifier, rows, tmp_path).at(0, None, [0, 5]), right)
    assert file.read_bytes() != content
    fewer = KeptStates(objective.classifier, rows[1:], tmp_path).at(0, None, [4])
    assert torch.allclose(fewer, right[1:], atol=1e-5)


def bound(recipe):
    objective, loaded = make_objective(recipe), load_model(recipe.model)
    objective.bind(loaded, attach(loaded, check_method(recipe.method), prompt=recipe.prompt, reads=objective.reads))
    return objective


@pytest.mark.parametrize("method", ["full", "bias", "lora", "adapter", "soft_prompt", "p_tuning", "p_tuning_v2", "prefix_tuning"])
def test_a_body_with_something_that_trains_in_it_is_read_at_every_step(tmp_path, method):
    objective = bound(make_recipe(tmp_path, {"method": {"name": method}, "training.epochs": 1}))
    assert objective.classifier.kept is None and not body_is_frozen(objective.classifier, objective._encoded[0])


def test_states_that_the_disk_has_no_room_for_are_an_error_and_no_bus_error(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_states, "IN_MEMORY_BYTES", 1000)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kept_states.os, "posix_fallocate", full)
    with pytest.raises(TrainingError, match="could not be written: No space left"):
        trained(recipe_of(tmp_path), tmp_path / "run")
    monkeypatch.undo()
    assert trained(recipe_of(tmp_path), tmp_path / "run")["status"] == "finished"


def test_a_file_of_states_has_all_its_room_before_it_is_filled(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_states, "IN_MEMORY_BYTES", 1000)
    taken, fill = [], kept_states.KeptStates._fill

    def filling(self, kind, states):
        file = next((tmp_path / "run").rglob(kept_states.ARRAY))
        taken.append(file.stat().st_blocks * 512 >= file.stat().st_size)
        fill(self, kind, states)

    monkeypatch.setattr(kept_states.KeptStates, "_fill", filling)
    trained(recipe_of(tmp_path), tmp_path / "run")
    assert taken and all(taken)
