"""Sweeps: every combination once, the poorer half dropped after a seed, the best first; a mistake in one of them makes no run."""

import json

import pytest

from tests.tiny_runs import make_recipe
from workbench.errors import WorkbenchError
from workbench.runs.jobs.sweep import SweepOptions, grid
from workbench.runs.service import RunService

JOB = {"kind": "sweep", "methods": ["bias", {"name": "lora", "r": 2}], "learning_rates": [1e-7, 3e-2], "seeds": 2}


@pytest.fixture
def service(tmp_path):
    service = RunService(tmp_path / "root")
    yield service
    service.close()


def test_the_grid_is_every_combination(tmp_path):
    recipe = make_recipe(tmp_path)
    options = SweepOptions(templates=["{text} it was [MASK] .", "[MASK] : {text}"], methods=["bias", "full"], learning_rates=[1e-3, 1e-4])
    found = [(c.recipe.prompt.templates[0], c.recipe.method["name"], c.recipe.training.learning_rate) for c in grid(recipe, options)]
    assert len(found) == len(set(found)) == 8 and [c.number for c in grid(recipe, options)] == list(range(8))
    assert len(grid(recipe, SweepOptions())) == 1


def test_the_better_half_goes_on_and_the_best_comes_first(service, tmp_path):
    recipe = make_recipe(tmp_path, training__epochs=1).replace({"job": JOB})
    run_id = service.submit(recipe)
    assert service.wait(run_id, 400).status == "finished", service.read(run_id).error
    result = service.result(run_id)
    rows = [dict(zip(result["table"]["columns"], row, strict=True)) for row in result["table"]["rows"]]
    cells = sorted((service.store.folder(run_id) / "cells").iterdir())
    assert len(rows) == 4 and [row["seeds"] for row in rows] == [2, 2, 1, 1] and len(cells) == 6 == service.read(run_id).total_steps
    assert result["metrics"]["accuracy"] == rows[0]["accuracy"] >= rows[1]["accuracy"]
    assert result["best"]["method"]["name"] == rows[0]["method"] and result["best"]["job"] is None
    first = [json.loads((cell / "cell.json").read_text())["content"] for cell in cells if cell.name.endswith("seed-13")]
    assert {row["seconds"] > 0 for row in rows} == {True} and len({c["metrics"]["loss"] for c in first}) == 4


@pytest.mark.parametrize(
    "change", [{"methods": ["nothing"]}, {"templates": ["{text} {absent"]}, {"methods": [{"name": "lora", "rank": 3}]}]
)
def test_a_configuration_that_cannot_be_makes_no_run(service, tmp_path, change):
    with pytest.raises(WorkbenchError):
        service.submit(make_recipe(tmp_path).replace({"job": JOB | change}))
    assert service.runs() == []
