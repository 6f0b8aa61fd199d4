"""Rows 29 and 30: a loss or a gradient that is not a number, and a loss that cannot be anything but zero."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.faults.conftest import Whole, train
from workbench.errors import DataError, TrainingError
from workbench.runs.service import RunService
from workbench.serving.classifier import PromptClassifier
from workbench.training import stepper
from workbench.training.events import EventLog


def spoil_loss(monkeypatch, step: int, value: float) -> None:
    """The loss of optimizer step `step` becomes `value`; evaluations are left alone."""
    real, calls = PromptClassifier.log_probabilities, [0]

    def spoilt(self, batch):
        scores = real(self, batch)
        if scores.requires_grad:
            calls[0] += 1
            if calls[0] == step:
                return scores * value
        return scores

    monkeypatch.setattr(PromptClassifier, "log_probabilities", spoilt)


def spoil_gradient(monkeypatch, step: int, value: float) -> None:
    real, calls = torch.nn.utils.clip_grad_norm_, [0]

    def spoilt(parameters, *arguments):
        calls[0] += 1
        if calls[0] == step:
            parameters[0].grad.view(-1)[0] = value
        return real(parameters, *arguments)

    monkeypatch.setattr(stepper.torch.nn.utils, "clip_grad_norm_", spoilt)


@pytest.mark.parametrize("step", [1, 2, 5, 8])
@pytest.mark.parametrize(("spoil", "what"), [(spoil_loss, "loss"), (spoil_gradient, "gradient")])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_run_stops_at_that_step_with_finite_weights(whole: Whole, tmp_path: Path, monkeypatch, step, spoil, what, value) -> None:
    spoil(monkeypatch, step, value)
    with pytest.raises(TrainingError, match=f"The {what} was not a finite number at step {step}\\."):
        train(whole.recipe, tmp_path / "run")
    monkeypatch.undo()
    text = (tmp_path / "run" / "events.jsonl").read_text()
    events = EventLog(tmp_path / "run" / "events.jsonl").read()
    assert max((e["step"] for e in events if e["kind"] == "train"), default=0) == step - 1
    assert "NaN" not in text and "Infinity" not in text and not any(e.get("loss") == 0.0 for e in events)
    for file in (tmp_path / "run").rglob("*.safetensors"):
        assert all(torch.isfinite(tensor).all() for tensor in load_file(file).values()), file
    train(whole.recipe, tmp_path / "run")
    assert whole.equals(tmp_path / "run")


@pytest.mark.parametrize("labels", [["yes", "yes"], ["", ""], ["yes", ""]])
def test_labels_that_could_only_give_a_loss_of_zero_make_no_run(whole: Whole, tmp_path: Path, labels: list[str]) -> None:
    """One class, or no label at all: the loss would be 0 at every step, and a page would show a perfect run."""
    lines = ["text,label", *(f"w{10 + row} w5,{labels[row % 2]}" for row in range(40))]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    service = RunService(tmp_path / "root")
    words = {"kind": "manual", "words": {"yes": ["great"], "no": ["bad"]}}
    with pytest.raises(DataError) as caught:
        service.submit(whole.recipe.replace({"data.train": str(tmp_path / "rows.csv"), "prompt.verbalizer": words}))
    assert service.runs() == [] and "rows.csv" in caught.value.message and caught.value.fix
    assert "nan" not in json.dumps(caught.value.message).lower()
    service.close()
