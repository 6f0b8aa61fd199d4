"""Rows that are read between steps: how many at once, what happens when memory runs out or somebody stops, and that all hear of it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from tests.training.small_run import hashes, losses, make_recipe
from tests.training.test_generation import home, recipe_for  # noqa: F401 - a fixture
from workbench.data import streams
from workbench.errors import TrainingError
from workbench.models.pool import ModelPool
from workbench.serving import batches, generator
from workbench.serving.batches import Pace, full_batches
from workbench.serving.classifier import PromptClassifier
from workbench.serving.generator import Generator
from workbench.training import run_files
from workbench.training.checkpoint import CheckpointFolder
from workbench.training.control import Control
from workbench.training.events import EventLog
from workbench.training.trainer import train_run

SHORT = {"training.epochs": 2}


def train(recipe, folder: Path, on_event=None, control: Control | None = None) -> dict:
    return train_run(recipe, folder, control or Control(), ModelPool(), on_event=on_event)


def evaluations(folder: Path) -> list[dict]:
    events = EventLog(folder / "events.jsonl").read()
    return [{key: event[key] for key in event if key not in ("seq", "time")} for event in events if event["kind"] == "evaluation"]


def same(found: list[dict], expected: list[dict]) -> bool:
    """Equal figures but for the last bits, which depend on how rows are batched."""
    return [[e["step"], e["accuracy"], e["confusion"], pytest.approx(e["loss"], abs=1e-6)] for e in expected] == [
        [e["step"], e["accuracy"], e["confusion"], e["loss"]] for e in found
    ]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    root = tmp_path_factory.mktemp("plain")
    recipe = make_recipe(root, SHORT)
    train(recipe, root / "run")
    return recipe, root / "run"


def watch_reading(monkeypatch, fits=lambda rows, longest: True) -> list[tuple[int, int]]:
    """Rows and longest prompt of every batch that is read without gradients, which memory is too small for unless it `fits`."""
    seen, real = [], PromptClassifier.template_log_probabilities

    def watched(self, batch, readings=None):
        if not torch.is_grad_enabled():
            size = len(batch), max(example.length for example in batch)
            seen.append(size)
            if not fits(*size):
                raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, batch, readings)

    monkeypatch.setattr(PromptClassifier, "template_log_probabilities", watched)
    return seen


def test_an_evaluation_reads_no_more_tokens_at_once_than_a_step_or_its_bound(plain, tmp_path, monkeypatch):
    recipe, folder = plain
    monkeypatch.setattr(batches, "READ_TOKENS", 64)
    seen = watch_reading(monkeypatch)
    small = recipe.replace({"training.batch_size": 1, "training.gradient_accumulation": 8, "prompt.max_length": 32})
    train(small, tmp_path / "one")
    assert len(seen) > 8 and max(rows for rows, _ in seen) > 1 and all(rows == 1 or rows * longest <= 64 for rows, longest in seen)
    seen.clear()
    train(recipe.replace({"training.batch_tokens": 80, "prompt.max_length": 32}), tmp_path / "tokens")
    assert max(rows * longest for rows, longest in seen) in range(65, 81)
    seen.clear()
    train(recipe, tmp_path / "usual")
    assert max(rows for rows, _ in seen) == 16, "all validation rows fit into what a step may have"


def test_where_memory_is_short_an_evaluation_goes_on_in_halves(plain, tmp_path, monkeypatch):
    recipe, folder = plain
    seen = watch_reading(monkeypatch, lambda rows, longest: rows <= 3)
    assert train(recipe, tmp_path / "run")["status"] == "finished"
    assert same(evaluations(tmp_path / "run"), evaluations(folder)) and losses(tmp_path / "run") == losses(folder)
    assert {rows for rows, _ in seen} == {16, 8, 4, 2}


def test_a_single_row_that_does_not_fit_is_said(plain, tmp_path, monkeypatch):
    watch_reading(monkeypatch, lambda rows, longest: False)
    with pytest.raises(TrainingError, match="not enough memory"):
        train(plain[0], tmp_path / "run")


def test_another_error_is_no_reason_to_try_again():
    calls = []

    def broken(numbers):
        calls.append(numbers)
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        list(Pace().answers([3, 3, 3], 8, broken))
    assert calls == [[0, 1, 2]]
    with pytest.raises(torch.OutOfMemoryError):  # where other processes read the same rows, all have to do the same
        list(Pace(halves=False).answers([3, 3], 8, lambda numbers: (_ for _ in ()).throw(torch.OutOfMemoryError("full"))))


def test_batches_hold_every_row_once_and_a_long_row_stands_alone():
    lengths = [5, 2000, 7, 3, 900, 900, 6]
    found = list(full_batches(lengths, 2, 1000))
    assert sorted(number for batch in found for number in batch) == list(range(7))
    assert all(len(batch) == 1 or len(batch) * max(lengths[number] for number in batch) <= 1000 for batch in found)
    assert found[-1] == [1]


def test_text_is_measured_and_written_in_halves_too(home, tmp_path, monkeypatch):  # noqa: F811
    recipe = recipe_for(home, {"training.epochs": 1, "training.evaluate_every": 2})
    train(recipe, tmp_path / "whole")
    real_loss, real_write = generator.answer_loss, Generator._generate

    def loss(loaded, dialogues):
        if not torch.is_grad_enabled() and len(dialogues) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real_loss(loaded, dialogues)

    def write(self, ids, mask, sampling):
        if len(ids) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real_write(self, ids, mask, sampling)

    monkeypatch.setattr(generator, "answer_loss", loss)
    monkeypatch.setattr(Generator, "_generate", write)
    train(recipe, tmp_path / "halves")
    for found, expected in zip(evaluations(tmp_path / "halves"), evaluations(tmp_path / "whole"), strict=True):
        assert found == expected | {name: pytest.approx(expected[name], rel=1e-5) for name in ("loss", "perplexity")}


# -- who listens


def test_reading_tells_that_it_is_alive_and_the_log_keeps_nothing_of_it(plain, tmp_path, monkeypatch):
    monkeypatch.setattr(run_files, "SECONDS_BETWEEN_SIGNS", 0.0)
    heard: list[str] = []
    train(plain[0], tmp_path / "run", on_event=lambda event: heard.append(event["kind"]))
    assert "alive" in heard[: heard.index("plan")], "while rows are tokenized"
    assert "alive" in heard[heard.index("plan") : heard.index("evaluation")]
    assert evaluations(tmp_path / "run") == evaluations(plain[1])
    assert all(event["kind"] != "alive" for event in EventLog(tmp_path / "run" / "events.jsonl").read())


def test_kept_states_and_written_answers_tell_it_too(home, plain, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(run_files, "SECONDS_BETWEEN_SIGNS", 0.0)
    signs: list[str] = []
    train(plain[0].replace({"method": {"name": "head"}}), tmp_path / "head", on_event=lambda event: signs.append(event["kind"]))
    assert signs[: signs.index("evaluation")].count("alive") >= 3  # tokenizing, the states of 48 rows, the evaluation itself
    signs.clear()
    train(recipe_for(home, {"training.epochs": 1}), tmp_path / "text", on_event=lambda event: signs.append(event["kind"]))
    assert signs[signs.index("plan") : signs.index("evaluation")].count("alive") > 4, "once a token"


def test_signs_are_seconds_apart(plain, tmp_path):
    signs: list[str] = []
    train(plain[0], tmp_path / "run", on_event=lambda event: signs.append(event["kind"]))
    assert signs.count("alive") <= 20


# -- who stops


@pytest.mark.parametrize("step", [0, 4])
def test_a_stop_in_an_evaluation_leaves_the_last_whole_step_and_no_half_evaluation(plain, tmp_path, monkeypatch, step):
    recipe, folder = plain
    monkeypatch.setattr(run_files, "SECONDS_BETWEEN_SIGNS", 0.0)
    monkeypatch.setattr(batches, "READ_TOKENS", 1)
    monkeypatch.setattr(batches, "READ_ROWS", 8)
    control, reads = Control(), []
    real = PromptClassifier.template_log_probabilities

    def watched(self, batch, readings=None):
        if not torch.is_grad_enabled() and len(losses(tmp_path / "run")) == step:
            reads.append(len(batch))
            control.request_stop()
        return real(self, batch, readings)

    few = recipe.replace({"training.batch_tokens": 48, "prompt.max_length": 32})
    train(few, tmp_path / "whole")
    monkeypatch.setattr(PromptClassifier, "template_log_probabilities", watched)
    assert train(few, tmp_path / "run", control=control)["status"] == "stopped"
    assert len(reads) == 1 and len(losses(tmp_path / "run")) == step
    assert [e["step"] for e in evaluations(tmp_path / "run")] == list(range(0, step, 4)) if step else not evaluations(tmp_path / "run")
    monkeypatch.undo()
    monkeypatch.setattr(batches, "READ_TOKENS", 1)
    monkeypatch.setattr(batches, "READ_ROWS", 8)
    assert train(few, tmp_path / "run")["status"] == "finished"
    assert evaluations(tmp_path / "run") == evaluations(tmp_path / "whole")
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    assert hashes(tmp_path / "run" / "final") == hashes(tmp_path / "whole" / "final")


# -- which rows


def edit(file: Path) -> None:
    """Another word in every row, as many rows as before."""
    with open(file, newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    with open(file, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([rows[0], *([f"{text} w9", label] for text, label in rows[1:])])


def stopped(recipe, folder: Path) -> None:
    control = Control()
    train(recipe, folder, control=control, on_event=lambda event: control.request_stop() if event.get("step") == 2 else None)


@pytest.mark.parametrize("large", [False, True])
def test_a_run_does_not_go_on_over_other_rows(tmp_path, monkeypatch, large):
    if large:
        monkeypatch.setattr(streams, "LARGE_BYTES", 100)
    recipe = make_recipe(tmp_path, SHORT | ({"data.split.shots": None} if large else {}))
    before = (tmp_path / "rows.csv").read_bytes()
    stopped(recipe, tmp_path / "run")
    edit(tmp_path / "rows.csv")
    with pytest.raises(TrainingError, match="not those that this run was started with") as caught:
        train(recipe, tmp_path / "run")
    assert "former data file" in caught.value.fix
    (tmp_path / "rows.csv").write_bytes(before)
    assert train(recipe, tmp_path / "run")["status"] == "finished"


def test_text_rows_are_known_too(home, tmp_path):  # noqa: F811
    recipe = recipe_for(home, {"training.epochs": 1, "training.evaluate_every": 4})
    file = tmp_path / "rows.jsonl"
    file.write_text(Path(recipe.data.train).read_text(encoding="utf-8"), encoding="utf-8")
    recipe = recipe.replace({"data.train": str(file)})
    stopped(recipe, tmp_path / "run")
    file.write_text(file.read_text(encoding="utf-8").replace("awful", "great"), encoding="utf-8")
    with pytest.raises(TrainingError, match="not those that this run was started with"):
        train(recipe, tmp_path / "run")


def test_a_checkpoint_of_before_rows_were_known_is_gone_on_from(tmp_path, monkeypatch):
    recipe, real = make_recipe(tmp_path, SHORT), CheckpointFolder.write

    def older(self, tuned, optimizer, content, best):
        progress = {name: value for name, value in content["progress"].items() if name != "evaluation_due"}
        real(self, tuned, optimizer, {key: content[key] for key in content if key != "data"} | {"progress": progress}, best)

    monkeypatch.setattr(CheckpointFolder, "write", older)
    stopped(recipe, tmp_path / "run")
    monkeypatch.undo()
    assert train(recipe, tmp_path / "run")["status"] == "finished" and [step for step, _ in losses(tmp_path / "run")] == list(range(1, 9))
