"""Sweeps: every combination once, the poorer half dropped after a seed, the best first; a mistake in one of them makes no run."""

import errno
import json

import pytest

from tests.tiny_runs import make_recipe
from workbench.errors import DiskError, RecipeError, WorkbenchError
from workbench.models.pool import ModelPool
from workbench.runs.jobs import run_job
from workbench.runs.jobs.sweep import SweepOptions, grid
from workbench.training.control import Control
from workbench.training.run_files import RunFiles

JOB = {"kind": "sweep", "methods": ["bias", {"name": "lora", "r": 2}], "learning_rates": [1e-7, 3e-2], "seeds": 2}


def test_the_grid_is_every_combination(tmp_path):
    recipe = make_recipe(tmp_path)
    options = SweepOptions(templates=["{text} it was [MASK] .", "[MASK] : {text}"], methods=["bias", "full"], learning_rates=[1e-3, 1e-4])
    found = [(c.recipe.prompt.templates[0], c.recipe.method["name"], c.recipe.training.learning_rate) for c in grid(recipe, options)]
    assert len(found) == len(set(found)) == 8 and [c.number for c in grid(recipe, options)] == list(range(8))
    assert len(grid(recipe, SweepOptions())) == 1


def test_each_template_of_the_recipe_is_swept_in_its_own_words(tmp_path):
    own = {"pos": ["nice"], "neg": ["bad"]}
    recipe = make_recipe(tmp_path).replace({"prompt.templates": ["{text} [MASK]"] * 2, "prompt.template_words": [None, own]})
    first, second = (c.recipe.prompt for c in grid(recipe, SweepOptions(fields={"prompt.max_length": [24]})))
    assert first.verbalizer == recipe.prompt.verbalizer and second.verbalizer["words"] == own
    assert first.max_length == second.max_length == 24
    (given,) = grid(recipe, SweepOptions(templates=["it was [MASK] {text}"]))
    assert given.recipe.prompt.verbalizer == recipe.prompt.verbalizer


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


def test_any_field_of_the_training_is_varied_and_stands_in_the_table(service, tmp_path):
    job = {"kind": "sweep", "methods": ["lora"], "fields": {"training.epochs": [1, 2], "method.r": [2, 4]}}
    recipe = make_recipe(tmp_path)
    points = grid(recipe, SweepOptions.model_validate({name: value for name, value in job.items() if name != "kind"}))
    assert [(c.recipe.training.epochs, c.recipe.method["r"]) for c in points] == [(1, 2), (1, 4), (2, 2), (2, 4)]
    assert recipe.method == make_recipe(tmp_path).method, "combinations share no options"
    run_id = service.submit(recipe.replace({"job": job | {"trials": 2}}))
    assert service.wait(run_id, 400).status == "finished", service.read(run_id).error
    table = service.result(run_id)["table"]
    assert table["columns"][:6] == ["method", "template", "learning_rate", "training.epochs", "method.r", "accuracy"]
    assert len(table["rows"]) == 2 and {(row[3], row[4]) for row in table["rows"]} < {(1, 2), (1, 4), (2, 2), (2, 4)}
    assert service.result(run_id)["best"]["method"]["r"] == table["rows"][0][4]


def test_trials_are_drawn_by_the_seed_and_keep_their_places(tmp_path):
    recipe = make_recipe(tmp_path)
    options = SweepOptions(fields={"training.warmup": [i / 1000 for i in range(900)], "training.weight_decay": [0.0, 0.1]}, trials=5)
    found = grid(recipe, options)
    assert len(found) == 5 and [c.number for c in found] == [c.number for c in grid(recipe, options)]
    assert all(c.recipe.training.warmup == c.number // 2 / 1000 and c.recipe.training.weight_decay == c.number % 2 / 10 for c in found)
    with pytest.raises(WorkbenchError, match="1800 configurations"):
        grid(recipe, options.model_copy(update={"trials": None}))


def test_a_grid_too_large_to_count_is_drawn_from_all_the_same(tmp_path):
    values = [i / 10_000 for i in range(9000)]
    fields = {f"training.{name}": values for name in ("warmup", "weight_decay", "lm_loss")} | {"training.temperature": values[1:]}
    options = SweepOptions(fields=fields | {"training.max_gradient_norm": values[1:]}, trials=3)
    numbers = [configuration.number for configuration in grid(make_recipe(tmp_path), options)]
    assert len(set(numbers)) == 3 and max(numbers) > 2**60 and numbers == [c.number for c in grid(make_recipe(tmp_path), options)]
    for trials in (None, 10**9):
        with pytest.raises(WorkbenchError, match=f"{9000**3 * 8999**2} configurations"):
            grid(make_recipe(tmp_path), options.model_copy(update={"trials": trials}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [({}, "varies nothing"), ({"pet": {}, "job.methods": ["bias", "head"]}, "asks for PET"), ({"job.methods": ["bias"]}, "varies nothing")],
)
def test_what_would_not_be_a_sweep_makes_no_run(service, tmp_path, changes, said):
    with pytest.raises(RecipeError, match=said):
        service.submit(make_recipe(tmp_path).replace({"job": {"kind": "sweep"}, **changes}))
    assert service.runs() == []


@pytest.mark.parametrize("kind", ["sweep", "seeds"])
def test_without_rows_to_measure_by_nothing_is_trained(service, tmp_path, kind):
    recipe = make_recipe(tmp_path)
    (tmp_path / "two.csv").write_text("id,text,label\n0,the food nice,pos\n1,the food bad,neg\n")
    changes = {"data.train": str(tmp_path / "two.csv"), "job": {"kind": kind} | ({"methods": ["bias", "head"]} if kind == "sweep" else {})}
    if kind == "sweep":
        with pytest.raises(RecipeError, match="there are none"):
            service.submit(recipe.replace(changes))
        return
    run_id = service.submit(recipe.replace(changes))
    assert service.wait(run_id, 60).status == "failed" and "held out" in service.read(run_id).error["message"]
    assert not (service.store.folder(run_id) / "cells").exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"data.train": ["/etc/passwd"]}, "cannot vary 'data.train'"), ({"model.path": ["x"]}, "cannot vary"),
        ({"training.seed": [1]}, "cannot vary"), ({"method.name": ["lora"]}, "cannot vary"), ({"training.epochs": []}, "no values"),
        ({"training.epochs": ["many"]}, "training.epochs"), ({"method.rank": [1]}, "rank"), ({"data.split.validation": [0]}, "validation"),
    ],
)  # fmt: skip
def test_what_cannot_be_varied_makes_no_run(service, tmp_path, fields, said):
    with pytest.raises(WorkbenchError, match=said):
        service.submit(make_recipe(tmp_path).replace({"method": {"name": "lora"}, "job": {"kind": "sweep", "fields": fields}}))
    assert service.runs() == []


def test_a_full_disk_ends_the_sweep_and_is_no_finding_about_a_configuration(tmp_path, monkeypatch):
    recipe = make_recipe(tmp_path, training__epochs=1).replace({"job": {"kind": "sweep", "methods": ["bias", "head"]}})
    keep, times = RunFiles.keep_final, []

    def full(self, *given):
        times.append(1)
        if len(times) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return keep(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(RunFiles, "keep_final", full)
        with pytest.raises(DiskError, match="No space left"):
            run_job(recipe, tmp_path / "run", Control(), ModelPool())
    assert len(run_job(recipe, tmp_path / "run", Control(), ModelPool())["table"]["rows"]) == 2
