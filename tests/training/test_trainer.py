"""Whole runs on a tiny model: what they learn, leave behind, and survive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.training.small_run import hashes, losses, make_recipe
from workbench.data.dataset import load_splits
from workbench.errors import TrainingError
from workbench.methods import attach, method_names
from workbench.models.pool import ModelPool
from workbench.recipe import PROJECT, Recipe, TrainingPart
from workbench.serving.classifier import PromptClassifier
from workbench.training.checkpoint import recipe_key
from workbench.training.events import EventLog
from workbench.training.folder import damage
from workbench.training.trainer import Control, train_run


def run(recipe, folder: Path, on_event=None, control: Control | None = None) -> dict:
    return train_run(recipe, folder, control or Control(), ModelPool(), on_event=on_event)


def events(folder: Path, kind: str) -> list[dict]:
    return [event for event in EventLog(folder / "events.jsonl").read() if event["kind"] == kind]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """One uninterrupted run: (recipe, folder, result)."""
    root = tmp_path_factory.mktemp("plain")
    recipe = make_recipe(root)
    return recipe, root / "run", run(recipe, root / "run")


def test_a_run_reports_and_leaves_what_the_design_says(plain) -> None:
    recipe, folder, result = plain
    keys = {"status", "metrics", "steps", "seconds", "examples_per_second", "peak_memory_bytes", "trainable_parameters", "total_parameters"}
    assert keys <= set(result) and result["status"] == "finished" and result["steps"] == 16
    assert result["trainable_parameters"] == 2 * 2 * 4 * 64 and result["peak_memory_bytes"] > 10**7
    assert {p.name for p in folder.iterdir()} == {"recipe.yaml", "events.jsonl", "final", "rows.json", "result.json"}
    assert damage(folder / "final") is None
    plan, evaluations = events(folder, "plan")[0], events(folder, "evaluation")
    assert (plan["total_steps"], plan["train_rows"], plan["validation_rows"], plan["labels"]) == (16, 32, 16, ["negative", "positive"])
    assert [e["step"] for e in evaluations] == [0, 4, 8, 12, 16] and [step for step, _ in losses(folder)] == list(range(1, 17))
    best = max(evaluations, key=lambda e: (e["accuracy"], -e["loss"]))
    assert result["best_step"] == best["step"] and result["metrics"] == {k: best[k] for k in ("accuracy", "macro_f1", "loss")}


def test_the_saved_weights_answer_as_the_best_evaluation_did(plain) -> None:
    recipe, folder, result = plain
    loaded = ModelPool().fresh(recipe.model)
    attached = attach(loaded, recipe.method)
    attached.restore(folder / "final")
    splits = load_splits(recipe.data)
    probabilities = PromptClassifier(loaded, recipe.prompt, splits.labels).predict(splits.validation.examples)
    right = [splits.labels[p.argmax()] == e.label for p, e in zip(probabilities, splits.validation.examples, strict=True)]
    assert sum(right) / len(right) == result["metrics"]["accuracy"]


def test_speed_is_that_of_the_last_steps(tmp_path: Path, monkeypatch) -> None:
    from workbench.training import trainer
    from workbench.training.stepper import Stepper

    step, clock = Stepper.step, [0.0]

    def slow_at_first(self, number: int, total: int):
        clock[0] += 0.25 if number < 6 else 0.125
        return step(self, number, total)

    monkeypatch.setattr(Stepper, "step", slow_at_first)
    monkeypatch.setattr(trainer, "RECENT_STEPS", 4)
    monkeypatch.setattr(trainer, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    result = run(make_recipe(tmp_path), tmp_path / "run")
    speeds = [event["examples_per_second"] for event in events(tmp_path / "run", "train")]
    assert speeds[0] == speeds[5] == 8 / 0.25 and speeds[-1] == 8 / 0.125
    assert result["examples_per_second"] == pytest.approx(16 * 8 / (6 * 0.25 + 10 * 0.125), abs=0.01)


def test_a_finished_run_answers_and_trains_nothing(plain) -> None:
    recipe, folder, result = plain
    before = (folder / "events.jsonl").read_bytes()
    assert run(recipe, folder) == result and (folder / "events.jsonl").read_bytes() == before


def test_two_runs_are_equal_bit_for_bit(plain, tmp_path: Path) -> None:
    recipe, folder, _ = plain
    run(recipe, tmp_path / "run")
    assert losses(tmp_path / "run") == losses(folder) and hashes(tmp_path / "run" / "final") == hashes(folder / "final")


@pytest.mark.parametrize("step", [1, 5, 11, 15])
def test_stopped_and_resumed_ends_as_if_it_never_had(plain, tmp_path: Path, step: int) -> None:
    recipe, folder, result = plain
    control = Control()
    stopped = run(recipe, tmp_path / "run", lambda e: control.request_stop() if e.get("step") == step else None, control)
    assert stopped["status"] == "stopped" and stopped["steps"] == step and damage(tmp_path / "run" / "final") is None
    assert not (tmp_path / "run" / "result.json").exists()
    again = run(recipe, tmp_path / "run")
    assert losses(tmp_path / "run") == losses(folder) and hashes(tmp_path / "run" / "final") == hashes(folder / "final")
    assert again["metrics"] == result["metrics"] and again["best_step"] == result["best_step"]


@pytest.mark.parametrize("method", ["lora", pytest.param("full", marks=pytest.mark.slow)])
def test_killed_and_resumed_ends_as_if_it_never_had(tmp_path: Path, method: str) -> None:
    recipe = make_recipe(tmp_path, {"method": {"name": method}})
    run(recipe, tmp_path / "whole")
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "tests.training.small_run", str(tmp_path / "recipe.yaml"), str(folder), "0.15"]
    child = subprocess.Popen(command, cwd=PROJECT, env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())})
    deadline = time.monotonic() + 90
    while child.poll() is None and time.monotonic() < deadline and not list(folder.glob("checkpoints/step-[4-9]")):
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL, "the child ended before it could be killed"
    assert not (folder / "result.json").exists() and 0 < len(losses(folder)) < 16
    run(recipe, folder)
    assert losses(folder) == losses(tmp_path / "whole")
    assert hashes(folder / "final") == hashes(tmp_path / "whole" / "final")


def test_a_kill_inside_a_checkpoint_costs_only_that_checkpoint(plain, tmp_path: Path, monkeypatch) -> None:
    recipe, folder, _ = plain
    real = os.replace

    def die(source, target):
        if str(target).endswith("step-6"):
            raise KeyboardInterrupt  # what a kill leaves: a staging folder and no new name
        real(source, target)

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "run")
    monkeypatch.undo()
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").glob("step-*")) == ["step-2", "step-4"]
    assert events(tmp_path / "run", "status")[-1]["status"] == "interrupted"
    run(recipe, tmp_path / "run")
    assert losses(tmp_path / "run") == losses(folder)


def test_a_damaged_checkpoint_is_skipped_with_a_note(plain, tmp_path: Path) -> None:
    recipe, folder, _ = plain
    control = Control()
    run(recipe, tmp_path / "run", lambda e: control.request_stop() if e.get("step") == 7 else None, control)
    weights = tmp_path / "run" / "checkpoints" / "step-7" / "weights" / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    run(recipe, tmp_path / "run")
    assert any("step 7 was skipped" in e["text"] for e in events(tmp_path / "run", "note"))
    assert losses(tmp_path / "run") == losses(folder) and hashes(tmp_path / "run" / "final") == hashes(folder / "final")


def test_a_non_finite_loss_stops_at_its_step_and_is_never_a_number(plain, tmp_path: Path, monkeypatch) -> None:
    recipe, _, _ = plain
    real, calls = PromptClassifier.log_probabilities, []

    def poisoned(self, batch):
        result = real(self, batch)
        calls.append(result.requires_grad)
        return result * float("nan") if sum(calls) == 6 else result

    monkeypatch.setattr(PromptClassifier, "log_probabilities", poisoned)
    with pytest.raises(TrainingError, match="not a finite number at step 6"):
        run(recipe, tmp_path / "run")
    assert [step for step, _ in losses(tmp_path / "run")] == [1, 2, 3, 4, 5]
    assert events(tmp_path / "run", "error")[0]["message"].endswith("step 6.")
    assert damage(tmp_path / "run" / "checkpoints" / "step-4") is None


@pytest.mark.parametrize(
    "fault", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_memory_that_runs_out_is_said_with_what_to_lower(plain, tmp_path: Path, monkeypatch, fault) -> None:
    recipe, _, _ = plain

    def full(self, batch):
        raise fault

    monkeypatch.setattr(PromptClassifier, "log_probabilities", full)
    with pytest.raises(TrainingError) as caught:
        run(recipe, tmp_path / "run")
    assert "memory" in caught.value.message and "batch_size" in caught.value.fix
    monkeypatch.undo()
    assert run(recipe, tmp_path / "run")["status"] == "finished"


def test_a_full_disk_is_said_and_the_run_goes_on_later(plain, tmp_path: Path, monkeypatch) -> None:
    recipe, folder, _ = plain
    real = os.replace

    def refuse(source, target):
        if str(target).endswith("step-8"):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(TrainingError, match="No space left on device"):
        run(recipe, tmp_path / "run")
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))
    monkeypatch.undo()
    run(recipe, tmp_path / "run")
    assert losses(tmp_path / "run") == losses(folder)


def test_pause_holds_and_resume_goes_on(plain, tmp_path: Path) -> None:
    recipe, folder, _ = plain
    control = Control()
    worker = threading.Thread(
        target=run, args=(recipe, tmp_path / "run", lambda e: control.request_pause() if e.get("step") == 3 else None, control)
    )
    worker.start()
    deadline = time.monotonic() + 60
    while not any(e["status"] == "paused" for e in events(tmp_path / "run", "status")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(losses(tmp_path / "run")) == 3
    control.request_resume()
    worker.join(60)
    assert losses(tmp_path / "run") == losses(folder)


def test_another_recipe_in_the_same_folder_is_refused(plain, tmp_path: Path) -> None:
    recipe, _, _ = plain
    control = Control()
    control.request_stop()
    run(recipe, tmp_path / "run", control=control)
    with pytest.raises(TrainingError, match="another recipe"):
        run(recipe.replace({"training.seed": 99}), tmp_path / "run")


def test_a_later_version_whose_recipes_have_one_field_more_resumes_the_run(plain) -> None:
    recipe, _, _ = plain

    class LaterTraining(TrainingPart):
        invented_since: float = 0.0

    class LaterRecipe(Recipe):
        training: LaterTraining

    content = recipe.model_dump()
    changed = {**content, "training": {**content["training"], "invented_since": 0.5}}
    assert recipe_key(LaterRecipe.model_validate(content)) == recipe_key(recipe) != recipe_key(LaterRecipe.model_validate(changed))
    assert recipe_key(recipe.replace({"name": "another"})) == recipe_key(recipe) != recipe_key(recipe.replace({"training.seed": 99}))


def test_accumulated_steps_equal_one_large_batch(tmp_path: Path) -> None:
    options = {"method": {"name": "lora", "dropout": 0}, "training.epochs": 1, "training.batch_size": 32}
    config = tmp_path / "model" / "config.json"
    recipe = make_recipe(tmp_path, options)
    config.write_text(config.read_text().replace("_dropout_prob\": 0.1", "_dropout_prob\": 0.0"))
    run(recipe, tmp_path / "large")
    run(recipe.replace({"training.batch_size": 8, "training.gradient_accumulation": 4}), tmp_path / "small")
    large, small = (events(tmp_path / name, "train")[0] for name in ("large", "small"))
    assert small["loss"] == pytest.approx(large["loss"], rel=1e-5)
    assert small["gradient_norm"] == pytest.approx(large["gradient_norm"], rel=1e-4)


@pytest.mark.parametrize("method", method_names())
def test_every_method_learns_at_its_own_rate(tmp_path: Path, method: str) -> None:
    """The loss on the training rows falls: what frozen random layers let a prompt learn need not carry over to other rows."""
    # Twenty vectors before frozen random layers move the loss less than dropout does, so they get more time.
    epochs = 60 if method == "soft_prompt" else 20
    changes = {"method": {"name": method}, "training.epochs": epochs, "training.gradient_checkpointing": method == "bias"}
    run(make_recipe(tmp_path, changes), tmp_path / "run")
    losses = [event["loss"] for event in events(tmp_path / "run", "train")]
    third = len(losses) // 3
    assert sum(losses[-third:]) < sum(losses[:third])


def test_early_stopping_and_a_run_without_validation_rows(tmp_path: Path) -> None:
    stopping = {"metric": "accuracy", "patience": 1}
    recipe = make_recipe(tmp_path, {"training.learning_rate": 1e-9, "training.early_stopping": stopping, "training.epochs": 50})
    assert run(recipe, tmp_path / "early")["steps"] < 200
    result = run(make_recipe(tmp_path, {"data.split.validation": 0, "training.epochs": 1}), tmp_path / "blind")
    assert result["metrics"]["accuracy"] is None and damage(tmp_path / "blind" / "final") is None
