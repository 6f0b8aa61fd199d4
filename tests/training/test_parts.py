"""The pure parts of training: batches, learning rates, metrics, schedule, events, folders, control."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import TrainingError
from workbench.recipe import Recipe, TrainingPart
from workbench.training.batching import BatchPlan
from workbench.training.control import Control
from workbench.training.events import EventLog
from workbench.training.folder import damage, recover_folder, write_folder
from workbench.training.metrics import classification_metrics
from workbench.training.optim import build_optimizer, load_optimizer_state, optimizer_state, rate_factor
from workbench.training.plan import make_schedule
from workbench.training.progress import Progress


@given(st.lists(st.integers(1, 60), min_size=1, max_size=200), st.integers(1, 17), st.integers(1, 4), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_every_row_once_an_epoch_and_any_step_without_the_ones_before(lengths, size, accumulation, seed) -> None:
    plan = BatchPlan(lengths, batch_size=size, accumulation=accumulation, seed=seed)
    steps = [plan.step(n) for n in range(2 * plan.steps_per_epoch)]
    rows = [row for step in steps[: plan.steps_per_epoch] for batch in step for row in batch]
    assert sorted(rows) == list(range(len(lengths)))
    last = BatchPlan(lengths, batch_size=size, accumulation=accumulation, seed=seed)
    assert last.step(2 * plan.steps_per_epoch - 1) == steps[-1]
    assert all(0 < len(batch) <= size for step in steps for batch in step)


def test_batches_hold_similar_lengths_and_differ_between_epochs() -> None:
    lengths = [(7919 * i) % 100 for i in range(1600)]
    plan = BatchPlan(lengths, batch_size=16, seed=1)
    padded = sum(len(b) * max(lengths[r] for r in b) for b in plan.epoch(0))
    assert padded < 1.1 * sum(lengths)  # batches taken at random pad about 1.9 times as much
    assert plan.epoch(0) != plan.epoch(1)


@pytest.mark.parametrize("scheduler", ["linear", "cosine", "constant"])
def test_rates_rise_to_the_peak_and_then_follow_their_curve(scheduler: str) -> None:
    rates = [rate_factor(s, 100, scheduler=scheduler, warmup=0.1) for s in range(100)]
    assert all(0 < rate <= 1 for rate in rates) and rates[10] == 1
    assert rates[:11] == sorted(rates[:11])
    middle = {"linear": 0.5, "cosine": 0.5, "constant": 1.0}[scheduler]
    assert rates[55] == pytest.approx(middle)


def test_metrics_agree_with_scikit_learn() -> None:
    from sklearn.metrics import confusion_matrix, f1_score, log_loss

    generator = np.random.default_rng(0)
    scores = generator.normal(size=(200, 3))
    log_probs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    truth = generator.integers(0, 3, 200)
    metrics = classification_metrics(torch.tensor(log_probs), truth.tolist(), ["a", "b", "c"])
    predicted = log_probs.argmax(1)
    assert metrics["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert metrics["loss"] == pytest.approx(log_loss(truth, np.exp(log_probs)))
    assert metrics["confusion"] == confusion_matrix(truth, predicted).tolist()
    assert metrics["accuracy"] == pytest.approx((truth == predicted).mean())
    json.dumps(metrics, allow_nan=False)


def test_a_class_that_never_occurs_does_not_lower_macro_f1() -> None:
    metrics = classification_metrics([[-0.1, -3.0, -4.0], [-3.0, -0.1, -4.0]], [0, 1], ["a", "b", "c"])
    assert metrics["macro_f1"] == 1.0 and metrics["per_class"][2]["support"] == 0


def test_schedule_evaluates_once_an_epoch_and_about_twenty_times_at_most() -> None:
    short = make_schedule(TrainingPart(epochs=3), 10)
    assert [s for s in range(1, 31) if short.evaluates(s)] == [10, 20, 30] and short.total_steps == 30
    long = make_schedule(TrainingPart(epochs=100), 7)
    assert sum(long.evaluates(s) for s in range(1, 701)) == 20
    assert make_schedule(TrainingPart(epochs=0.5), 10).total_steps == 5
    own = make_schedule(TrainingPart(epochs=1, evaluate_every=4, checkpoint_every=3), 10)
    assert [s for s in range(1, 11) if own.evaluates(s)] == [4, 8, 10]
    assert [s for s in range(1, 11) if own.checkpoints(s)] == [3, 6, 9, 10]


def test_equal_accuracy_is_told_apart_by_loss_and_patience_ends_a_run() -> None:
    recipe = Recipe().replace({"training.early_stopping": {"metric": "accuracy", "patience": 2}})
    progress = Progress()
    figures = [(0.5, 2.0), (0.5, 1.0), (0.5, 1.5), (0.4, 0.1)]
    outcomes = [progress.record({"accuracy": a, "macro_f1": 0, "loss": loss}, recipe) for a, loss in figures]
    assert outcomes == [True, True, False, False] and progress.stopped_early
    assert progress.best_metrics["loss"] == 1.0
    assert Progress.from_json(json.loads(json.dumps(progress.to_json()))) == progress


def test_optimizer_state_goes_through_named_tensors() -> None:
    def layer():
        torch.manual_seed(0)
        return torch.nn.Linear(3, 2)

    def step(model, optimizer):
        model(torch.ones(1, 3)).pow(2).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    one, two = layer(), layer()
    first = build_optimizer(list(one.named_parameters()), learning_rate=0.1, weight_decay=0.1)
    assert [group["weight_decay"] for group in first.param_groups] == [0.1, 0.0]
    step(one, first)
    two.load_state_dict(one.state_dict())
    second = build_optimizer(list(two.named_parameters()), learning_rate=0.1, weight_decay=0.1)
    load_optimizer_state(second, list(two.named_parameters()), optimizer_state(first, list(one.named_parameters())))
    step(one, first)
    step(two, second)
    assert torch.equal(one.weight, two.weight) and torch.equal(one.bias, two.bias)
    with pytest.raises(TrainingError, match="does not fit"):
        load_optimizer_state(second, list(two.named_parameters()), {"other/exp_avg": torch.zeros(1)})


def test_events_survive_a_torn_line_and_keep_counting_after_truncation(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    for number in range(5):
        assert log.append("train", step=number)["seq"] == number
    log.close()
    with open(log.path, "a") as stream:
        stream.write('{"seq": 5, "kin')
    again = EventLog(log.path)
    assert again.next == 5 and len(again.read()) == 5
    again.append("note", text="五")
    again.truncate(3)
    assert [e["seq"] for e in again.read()] == [0, 1, 2]
    assert again.append("train", step=3)["seq"] == 6
    assert [e["seq"] for e in again.read(since=2)] == [2, 6]
    with pytest.raises(ValueError):
        again.append("train", loss=float("nan"))
    assert again.append("train", loss=1.0)["seq"] == 7


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "best"
    write_folder(target, lambda f: (f / "a").write_text("one") and None)

    def fail(folder: Path) -> None:
        (folder / "a").write_text("two")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError):
        write_folder(target, fail)
    assert (target / "a").read_text() == "one" and damage(target) is None
    assert [p.name for p in tmp_path.iterdir()] == ["best"]
    target.rename(tmp_path / ".old-best")  # as if killed between the two renames
    recover_folder(target)
    assert damage(target) is None


def test_every_flipped_byte_and_every_cut_is_noticed(tmp_path: Path) -> None:
    target = tmp_path / "f"
    write_folder(target, lambda f: (f / "a").write_bytes(bytes(range(64))) and None)
    content = (target / "a").read_bytes()
    for position in range(64):
        (target / "a").write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        assert damage(target) is not None
        (target / "a").write_bytes(content[:position])
        assert damage(target) is not None
    (target / "a").write_bytes(content)
    assert damage(target) is None


@given(st.binary(max_size=80))
@settings(max_examples=60, deadline=None)
def test_any_manifest_is_answered_without_an_exception(tmp_path_factory, junk: bytes) -> None:
    folder = tmp_path_factory.mktemp("m")
    (folder / "manifest.json").write_bytes(junk)
    assert damage(folder) is not None


def test_a_paused_wait_ends_on_resume_and_on_stop() -> None:
    for end in ("request_resume", "request_stop"):
        control = Control()
        control.request_pause()
        waiter = threading.Thread(target=control.wait_while_paused)
        waiter.start()
        assert control.state == "paused"
        getattr(control, end)()
        waiter.join(5)
        assert not waiter.is_alive()
    assert control.state == "stopping"
