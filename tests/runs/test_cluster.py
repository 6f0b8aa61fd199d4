"""A sweep on a Ray cluster of this machine's processors: the figures of one training after another; and a machine without Ray."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.tiny_runs import make_recipe
from workbench.errors import SettingsError
from workbench.models.pool import ModelPool
from workbench.runs.cluster import Training, _train
from workbench.runs.job import Job
from workbench.runs.service import RunService
from workbench.training.control import Control
from workbench.training.events import ALIVE

JOB = {"kind": "sweep", "methods": ["bias", {"name": "lora", "r": 2}], "learning_rates": [1e-3, 3e-2]}


@pytest.fixture
def service(tmp_path: Path):
    service = RunService(tmp_path / "root")
    yield service
    service.close()


@pytest.mark.slow
def test_side_by_side_it_measures_what_one_after_the_other_does(service: RunService, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    recipe = make_recipe(tmp_path, training__epochs=1)
    results = []
    for engine in ("queue", "ray"):
        run_id = service.submit(recipe.replace({"job": JOB | {"engine": engine}}))
        assert service.wait(run_id, 400).status == "finished", service.read(run_id).error
        results.append(service.result(run_id))
    one, other = ([row[:3] + [pytest.approx(value, abs=1e-5) for value in row[3:6]] for row in r["table"]["rows"]] for r in results)
    assert [row[:6] for row in results[1]["table"]["rows"]] == one and len(other) == 4
    cells = sorted((service.store.folder(run_id) / "cells").iterdir())
    assert len(cells) == 4 == service.read(run_id).step
    # What is done is not done again: without a single cell to make, no cluster is needed.
    (service.store.folder(run_id) / "result.json").unlink()
    service.store.update(run_id, status="interrupted")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    service.resume(run_id)
    assert service.wait(run_id, 60).status == "finished" and service.result(run_id)["table"] == results[1]["table"]


def test_without_ray_it_makes_no_run(service: RunService, tmp_path: Path, monkeypatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "ray" else real(name, *rest))
    with pytest.raises(SettingsError, match="Ray is not installed here"):
        service.submit(make_recipe(tmp_path).replace({"job": JOB | {"engine": "ray"}}))
    assert service.runs() == []


class SlowCluster:
    """What the job asks of Ray, with a training that is ready at the third look."""

    def __init__(self) -> None:
        self.looks = 0

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 1}

    def remote(self, **options: Any) -> Any:
        return lambda function: SimpleNamespace(remote=lambda recipe: "reference")

    def wait(self, begun: list[str], timeout: float) -> tuple[list[str], list[str]]:
        self.looks += 1
        return (begun, []) if self.looks == 3 else ([], begun)

    def get(self, reference: str) -> dict[str, Any]:
        return {"metrics": {"accuracy": 1.0}}


def test_waiting_for_the_cluster_tells_that_the_job_is_alive(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("workbench.runs.job.SECONDS_BETWEEN_SIGNS", 0.0)
    kinds: list[str] = []
    job = Job(make_recipe(tmp_path), None, tmp_path / "run", Control(), ModelPool(), lambda event: kinds.append(event["kind"]))
    found = _train(SlowCluster(), job, [Training("one", job.recipe, text="one")])
    assert found["one"]["metrics"] == {"accuracy": 1.0} and kinds.count(ALIVE) == 3
