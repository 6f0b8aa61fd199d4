"""Training on a file that never is in memory: the encodings of its rows, stops and resumes, and how much is held."""

from __future__ import annotations

import csv
import tracemalloc

import pytest

from tests.training.small_run import hashes, losses, make_recipe, without_dropout
from workbench.data import streams
from workbench.methods import attach, check_method
from workbench.models.loading import load_model
from workbench.models.pool import ModelPool
from workbench.prompts import tokenization
from workbench.training import stored_rows
from workbench.training.batching import BatchPlan
from workbench.training.classification import ClassificationObjective
from workbench.training.control import Control
from workbench.training.stored_rows import StoredRows
from workbench.training.trainer import train_run

TWO = {"prompt.templates": ["{text} it was [MASK] .", "[MASK] {text}"], "data.split.shots": None}


@pytest.fixture
def large(monkeypatch):
    monkeypatch.setattr(streams, "LARGE_BYTES", 100)
    monkeypatch.setattr(stored_rows, "ROWS_AT_ONCE", 7)


def bound(recipe, folder):
    objective, loaded = ClassificationObjective(recipe), load_model(recipe.model)
    objective.folder = folder
    objective.bind(loaded, attach(loaded, check_method(recipe.method), prompt=recipe.prompt, reads=objective.reads))
    return objective


def test_stored_rows_are_the_encodings_of_the_file(tmp_path, large):
    objective = bound(make_recipe(tmp_path, TWO), tmp_path / "run")
    rows, expected = objective._encoded, objective.classifier.encode(list(objective.splits.training_rows()))
    assert isinstance(rows, StoredRows) and len(rows) == len(expected) == objective.train_rows == 32
    for found, wanted in zip(rows, expected, strict=True):
        assert (found.label, found.length) == (wanted.label, wanted.length)
        pairs = zip(found.variants, wanted.variants, strict=True)
        assert all((a.input_ids, a.mask_positions) == (b.input_ids, b.mask_positions) for a, b in pairs)
    assert rows.lengths.tolist() == [example.length for example in expected]


def test_a_stopped_run_goes_on_from_the_rows_that_it_has_written(tmp_path, large):
    recipe = make_recipe(tmp_path, {**TWO, "training.epochs": 2, "training.batch_tokens": 40})
    train_run(recipe, tmp_path / "whole", Control(), ModelPool())
    control, seen = Control(), []
    file = tmp_path / "run" / "rows" / stored_rows.TOKENS
    train_run(recipe, tmp_path / "run", control, ModelPool(), on_event=lambda e: control.request_stop() if e.get("step") == 3 else None)
    written = file.stat().st_mtime_ns
    look = lambda e: seen.append(file.stat().st_mtime_ns) if file.exists() else None  # noqa: E731
    train_run(recipe, tmp_path / "run", Control(), ModelPool(), on_event=look)
    assert set(seen) == {written} and not file.parent.exists()
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    assert hashes(tmp_path / "run" / "final") == hashes(tmp_path / "whole" / "final")


def test_a_file_is_never_in_memory(tmp_path, large, monkeypatch):
    for place, name, value in ((streams, "SAMPLED_ROWS", 20), (stored_rows, "ROWS_AT_ONCE", 32), (tokenization, "TEXTS_KEPT", 64)):
        monkeypatch.setattr(place, name, value)
    monkeypatch.setattr(streams, "SAMPLE_BYTES", 20_000)
    recipe = make_recipe(tmp_path, {"data.split.shots": None})
    with open(recipe.data.train, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        writer.writerows((f"w{10 + n % 2} row{n} " + "w5 w6 w7 and so on " * 150, ("positive", "negative")[n % 2]) for n in range(3000))
    size = (tmp_path / "rows.csv").stat().st_size
    bound(recipe, tmp_path / "first")  # what is made once: the model's modules, tokenizers
    tracemalloc.start()
    objective = bound(recipe, tmp_path / "run")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # 2.9 kB a row: 16 validation rows, 20 sampled ones and a few times 64 texts are held, of 3,000.
    assert size > 8_000_000 and peak < size / 4 and objective.train_rows == 2984


def test_parts_of_a_batch_stay_within_their_tokens():
    lengths = [(7919 * n) % 90 + 1 for n in range(300)]
    whole, parts = (BatchPlan(lengths, batch_size=16, accumulation=2, seed=3, most_tokens=most) for most in (None, 400))
    for step in range(2 * whole.steps_per_epoch):
        cut = parts.step(step)
        assert sorted(row for part in cut for row in part) == sorted(row for batch in whole.step(step) for row in batch)
        assert all(len(part) * max(lengths[row] for row in part) <= 400 for part in cut)
    assert parts.steps_per_epoch == whole.steps_per_epoch


def test_a_batch_read_in_parts_has_the_losses_of_the_whole(tmp_path):
    for name, tokens in (("whole", None), ("parts", 20)):
        recipe = make_recipe(tmp_path, {"method": {"name": "bias"}, "training.epochs": 2, "training.batch_tokens": tokens})
        without_dropout(tmp_path)
        train_run(recipe, tmp_path / name, Control(), ModelPool())
    whole, parts = losses(tmp_path / "whole"), losses(tmp_path / "parts")
    assert len(whole) == 8 and max(abs(a - b) for (_, a), (_, b) in zip(whole, parts, strict=True)) < 1e-6
