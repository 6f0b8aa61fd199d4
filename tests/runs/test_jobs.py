"""The job seam: cells that are done once through stop, kill and a damaged index; pause and stop that reach into a training."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from tests.tiny_runs import make_recipe
from workbench.errors import RecipeError
from workbench.runs import jobs
from workbench.runs.jobs import JobOptions, check_job, job_kinds, register_job, run_job
from workbench.runs.record import MIGRATIONS, open_index
from workbench.runs.service import RunService
from workbench.training.control import Control
from workbench.training.events import EventLog


class CountOptions(JobOptions):
    """With `held`, cell n goes on until somebody makes the file `go-n` in the job's folder."""

    cells: int = 3
    held: bool = False


@pytest.fixture(autouse=True)
def counting():
    """A job that leaves a line in `made` for every cell it works on; one of its cells is a training."""
    _register()
    yield
    jobs._KINDS.pop("count")


def _register():
    @register_job("count", CountOptions)
    def count(job):
        job.plan(job.options.cells + 1)
        figures = [job.cell(f"cell-{n}", lambda folder, n=n: _work(job, n))["figure"] for n in range(job.options.cells)]
        trained = job.train("training", job.recipe, _look)
        table = {"columns": ["template", "accuracy"], "rows": [[f"cell-{n}", figure] for n, figure in enumerate(figures)]}
        return {"metrics": {"accuracy": sum(figures) / len(figures)}, "table": table, "trained": trained}


def _look(folder, result):
    return {"steps": result["steps"], "weights": (folder / "final").is_dir()}


def _work(job, number):
    with open(job.folder / "made", "a", encoding="ascii") as file:
        file.write(f"{number}\n")
    while job.options.held and not (job.folder / f"go-{number}").exists():
        job.halt()
        job.say("working")
        time.sleep(0.01)
    return {"figure": number / 10}


def made(folder: Path) -> list[str]:
    return (folder / "made").read_text().split()


def let_go(folder: Path, *cells: int) -> None:
    for number in cells:
        (folder / f"go-{number}").touch()


def until(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def recipe_of(folder, **options):
    return make_recipe(folder, job={"kind": "count", **options}, training__epochs=1)


def test_a_job_runs_in_the_queue_and_is_found_again(service, tmp_path):
    run_id = service.submit(recipe_of(tmp_path), key="once")
    assert service.submit(recipe_of(tmp_path), key="once") == run_id
    done = service.wait(run_id, 60)
    assert (done.status, done.kind, done.step, done.total_steps) == ("finished", "count", 4, 4)
    assert done.metrics["accuracy"] == pytest.approx(0.1)
    result = service.result(run_id)
    assert result["trained"] == {"steps": 5, "weights": True} and result["seconds"] > 0
    assert not (service.store.folder(run_id) / "cells" / "training" / "final").exists(), "weights that nobody asked to keep stayed"
    progress = [e for e in service.read(run_id).events if e["kind"] == "progress"]
    assert progress[-1]["done"] == progress[-1]["total"] == 4 and any(e["seconds_left"] is not None for e in progress)
    folder, root = service.store.folder(run_id), service.root
    service.close()
    (root / "index.sqlite3").write_bytes(b"damaged" * 1000)
    (folder / "state.json").write_text("{torn")
    again = RunService(root)
    assert [(r.id, r.kind, r.status) for r in again.runs()] == [(run_id, "count", "finished")]
    again.close()


def test_cells_are_never_done_twice_when_stopped_or_paused(service, tmp_path):
    run_id = service.submit(recipe_of(tmp_path, cells=4, held=True))
    folder = service.store.folder(run_id)
    let_go(folder, 0, 1)
    until(lambda: (folder / "cells" / "cell-1" / "cell.json").exists())
    service.pause(run_id)
    until(lambda: any(e.get("status") == "paused" for e in service.read(run_id).events))
    before = made(folder)
    let_go(folder, 2)
    time.sleep(0.4)
    assert made(folder) == before
    service.resume(run_id)
    until(lambda: len(made(folder)) == 4)
    service.stop(run_id)
    assert service.wait(run_id, 120).status == "stopped"
    let_go(folder, 3)
    service.resume(run_id)
    assert service.wait(run_id, 60).status == "finished"
    # The cell that was stopped half-way is the only one that was begun again.
    assert made(folder) == ["0", "1", "2", "3", "3"]
    assert service.read(run_id).events[0]["seq"] == 0


def _in_a_process(content, folder):
    from workbench.models.pool import ModelPool
    from workbench.recipe import recipe_from

    _register()
    run_job(recipe_from(content, source="test"), folder, Control(), ModelPool())


def test_a_killed_job_goes_on_where_it_was(tmp_path):
    from workbench.models.pool import ModelPool

    recipe, folder = recipe_of(tmp_path, cells=2, held=True), tmp_path / "run"
    folder.mkdir()
    let_go(folder, 0)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_in_a_process, args=(recipe.model_dump(), folder))
    process.start()
    until(lambda: (folder / "made").exists() and len(made(folder)) == 2)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    let_go(folder, 1)
    result = run_job(recipe, folder, Control(), ModelPool())
    assert result["status"] == "finished" and made(folder) == ["0", "1", "1"]
    assert run_job(recipe, folder, Control(), ModelPool()) == result, "a finished job answers and does nothing"
    numbers = [event["seq"] for event in EventLog(folder / "events.jsonl").read()]
    assert numbers == sorted(set(numbers))


def test_stop_reaches_the_steps_of_a_training_within_a_job(service, tmp_path):
    run_id = service.submit(make_recipe(tmp_path, job={"kind": "count", "cells": 1}, training__epochs=2000))
    until(lambda: any("step" in e.get("text", "") for e in service.read(run_id).events))
    service.pause(run_id)
    until(lambda: any(e.get("status") == "paused" for e in service.read(run_id).events))
    assert service.read(run_id).status == "paused"
    service.stop(run_id)
    assert service.wait(run_id, 120).status == "stopped"
    folder = service.store.folder(run_id) / "cells" / "training"
    assert (folder / "checkpoints").is_dir() and not (folder / "cell.json").exists()


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({"kind": "cuont"}, "'count'"),
        ({"kind": "count", "cell": 2}, "'cells'"),
        ({"kind": "count", "cells": "many"}, "'cells'"),
        ({}, "kind"),
    ],
)
def test_a_mistake_makes_no_run(service, tmp_path, job, words):
    with pytest.raises(RecipeError) as error:
        service.submit(make_recipe(tmp_path, job=job))
    assert words in str(error.value) and service.runs() == []


def test_an_index_of_the_first_version_is_migrated(tmp_path):
    import sqlite3

    database = sqlite3.connect(tmp_path / "index.sqlite3")
    MIGRATIONS[0](database)
    database.execute("PRAGMA user_version = 1")
    database.execute("INSERT INTO runs (id, name, status) VALUES ('a', 'old', 'finished')")
    database.commit()
    database.close()
    database = open_index(tmp_path / "index.sqlite3")
    assert database.execute("SELECT id, kind FROM runs").fetchall() == [("a", "train")]
    database.close()


def test_a_recipe_without_a_job_is_written_without_one(tmp_path):
    plain = make_recipe(tmp_path)
    assert plain.kind == "train" and check_job(plain) is None and "\njob:" not in plain.to_yaml()
    assert recipe_of(tmp_path).kind == "count" and "kind: count" in recipe_of(tmp_path).to_yaml()


def test_looking_at_the_kinds_imports_no_torch():
    import subprocess
    import sys

    code = "import sys; from workbench.runs.jobs import job_kinds; job_kinds(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert "train" not in job_kinds()


@pytest.mark.parametrize("where", ["in a cell", "beside the cells"])
def test_a_full_disk_in_a_jobs_own_work_is_a_sentence_and_the_job_goes_on_later(service, tmp_path, monkeypatch, where):
    full = [True]

    def write(folder):
        if full[0]:
            raise OSError(28, "No space left on device")
        return {"figure": 1.0}

    def work(job):
        job.plan(1)
        content = job.cell("cell", write) if where == "in a cell" else write(job.folder)
        return {"metrics": {"accuracy": content["figure"]}}

    monkeypatch.setitem(jobs._KINDS, "count", jobs._Kind(work, CountOptions, None))
    run_id = service.submit(recipe_of(tmp_path))
    until(lambda: service.read(run_id).status == "paused")
    error = service.read(run_id).error
    assert error["error_id"] is None and "No space left on device" in error["message"] and "Free disk space" in error["fix"]
    assert service.read(run_id).log.last("error")["message"] == error["message"]
    full[0] = False
    service.resume(run_id)
    assert service.wait(run_id, 60).metrics == {"accuracy": 1.0}
