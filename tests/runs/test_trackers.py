"""Figures in trackers: what was written is read back with each tracker's own reader and compared with the run's events."""

import json
import math
import os
import sqlite3
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest

from tests.tiny_runs import make_recipe
from workbench import cli
from workbench.access import Principal, Role, acting_as
from workbench.errors import AccessError, RunError
from workbench.runs import trackers, tracking
from workbench.runs.isolation import Isolation
from workbench.runs.python import train
from workbench.runs.service import RunService
from workbench.training.checkpoint import recipe_key
from workbench.training.events import EventLog

PROJECT = Path(__file__).resolve().parent.parent.parent


def expected(folder: Path) -> dict[str, dict[int, float]]:
    """Figure -> step -> value, from the event log alone."""
    found: dict[str, dict[int, float]] = {}
    names = {
        "train": ("loss", "learning_rate", "gradient_norm", "examples_per_second", "memory_bytes"),
        "evaluation": ("accuracy", "macro_f1", "loss"),
    }
    for event in EventLog(folder / "events.jsonl").read():
        for name in names.get(event["kind"], ()):
            if event.get(name) is not None:
                place = f"{'train' if event['kind'] == 'train' else 'validation'}/{name}"
                found.setdefault(place, {})[event["step"]] = event[name]
    return found


def same(written: dict[str, dict[int, float]], folder: Path) -> None:
    wanted = expected(folder)
    assert {"train/loss", "validation/accuracy"} <= set(wanted) and len(wanted["train/loss"]) >= 4
    for name, values in wanted.items():
        assert written[name] == pytest.approx(values, rel=1e-6), name
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))["metrics"]
    assert written["result/accuracy"] == pytest.approx({max(wanted["train/loss"]): result["accuracy"]}, rel=1e-6)


def tensorboard_values(folder: Path) -> dict[str, dict[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder))
    reader.Reload()
    return {name: {point.step: point.value for point in reader.Scalars(name)} for name in reader.Tags()["scalars"]}


@pytest.mark.parametrize("isolation", [None, Isolation()], ids=["thread", "child"])
def test_tensorboard_holds_the_figures_of_the_log_also_of_a_stopped_and_resumed_run(tmp_path, held_at, isolation):
    held_at(6)
    # A child is not held, and has to be at it still when somebody looks.
    recipe = make_recipe(tmp_path, training__epochs=60 if isolation else 4, training__checkpoint_every=4)
    service = RunService(tmp_path / "root", isolation=isolation)
    try:
        run = service.submit(recipe, tracker="tensorboard")
        while service.read(run).step < 6:
            assert service.read(run).status in ("queued", "running")
            time.sleep(0.02)
        service.stop(run)
        assert service.wait(run, 90).status == "stopped"
        service.resume(run)
        assert service.wait(run, 90).status == "finished" and service.read(run).warning == ""
        same(tensorboard_values(service.root / "trackers" / "tensorboard" / run), service.store.folder(run))
        assert service.store.recipe(run) == recipe and recipe_key(service.store.recipe(run)) == recipe_key(recipe)
    finally:
        service.close()


def test_trackio_on_the_command_line_writes_below_the_data_root_and_nowhere_else(tmp_path):
    """In a process of its own: trackio reads its folder while it is imported. Spaces that the environment names are not asked."""
    (tmp_path / "recipe.yaml").write_text(make_recipe(tmp_path).to_yaml(), encoding="utf-8")
    root = tmp_path / "root"
    elsewhere = {"TRACKIO_DIR": str(tmp_path / "other"), "TRACKIO_SPACE_ID": "somebody/space", "HF_HUB_OFFLINE": "1"}
    process = subprocess.run(
        [sys.executable, "-m", "workbench", "train", "recipe.yaml", "--runs", str(root), "--tracker", "trackio"],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, **elsewhere, "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    run = json.loads(process.stdout)["run"]
    assert not (tmp_path / "other").exists() and "failed" not in process.stderr
    (file,) = (root / "trackers" / "trackio").glob("*.db")
    written: dict[str, dict[int, float]] = {}
    with sqlite3.connect(file) as database:
        for name, step, text in database.execute("SELECT run_name, step, metrics FROM metrics"):
            assert name == run
            for figure, value in json.loads(text).items():
                written.setdefault(figure, {})[step] = value
    same(written, root / "runs" / run)


class FakeRun:
    """What the workbench uses of a wandb run; steps that go back are dropped, as wandb does."""

    def __init__(self, **given):
        self.given, self.written, self.ended, self.last = given, {}, None, -1

    def log(self, data, step=None, commit=None):
        assert step >= self.last
        self.last = step
        for name, value in data.items():
            self.written.setdefault(name, {})[step] = value

    def finish(self, exit_code=None):
        self.ended = exit_code


class FakeWandb(types.ModuleType):
    """wandb 0.31 as far as it is used: `init`, which prints, `Settings`, which knows its fields."""

    def __init__(self):
        super().__init__("wandb")
        self.runs = []

    def Settings(self, *, console, silent, disable_git, disable_code, x_disable_stats):
        return {"console": console}

    def init(self, *, project, id, name, dir, config, mode, resume, reinit, settings):
        assert mode in ("online", "offline") and all(isinstance(value, str) for value in config.values())
        print("wandb: Tracking run")
        self.runs.append(FakeRun(dir=dir, mode=mode, id=id))
        return self.runs[-1]


@pytest.fixture
def wandb(monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr(trackers, "find_spec", lambda name: object())
    return fake


@pytest.mark.parametrize(("name", "mode"), [("wandb", "offline"), ("wandb-online", "online")])
def test_wandb_is_offline_unless_it_was_asked_for_online(tmp_path, monkeypatch, capsys, wandb, name, mode):
    monkeypatch.setenv("WANDB_MODE", "online")
    run = train(make_recipe(tmp_path), runs=tmp_path / "root", tracker=name)
    (told,) = wandb.runs
    assert told.given == {"dir": str(tmp_path / "root" / "trackers" / "wandb"), "mode": mode, "id": run.id} and told.ended == 0
    same(told.written, run.root / "runs" / run.id)
    assert capsys.readouterr().out == ""


class FakeClient:
    """MLflow's client, of which a store is kept in this process: 3.17's names and answers, parameters that cannot change."""

    experiments: dict = {}
    runs: dict = {}

    def __init__(self, tracking_uri):
        assert tracking_uri.startswith("file:///") and os.environ["MLFLOW_ALLOW_FILE_STORE"] == "true"
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"

    def get_experiment_by_name(self, name):
        return self.experiments.get(name)

    def create_experiment(self, name):
        self.experiments[name] = types.SimpleNamespace(experiment_id="7")
        return "7"

    def search_runs(self, experiment_ids, filter_string, max_results):
        return [run for run in self.runs.values() if filter_string == f"tags.workbench_run = '{run.tag}'"]

    def create_run(self, experiment_id, run_name, tags):
        run = types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1"), tag=tags["workbench_run"], params={}, written={}, status="")
        self.runs["r1"] = run
        return run

    def set_terminated(self, run_id, status):
        self.runs[run_id].status = status

    def log_param(self, run_id, key, value):
        assert self.runs[run_id].params.setdefault(key, value) == value

    def log_batch(self, run_id, metrics):
        for name, value, timestamp, step in metrics:
            assert isinstance(value, float) and timestamp > 1e12
            self.runs[run_id].written.setdefault(name, {})[step] = value


def test_mlflow_goes_on_with_the_same_run(tmp_path, monkeypatch, held_at):
    held_at(3)
    mlflow, entities = types.ModuleType("mlflow"), types.ModuleType("mlflow.entities")
    mlflow.MlflowClient, entities.Metric = FakeClient, lambda *metric: metric
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    monkeypatch.setattr(trackers, "find_spec", lambda name: object())
    for name in ("MLFLOW_ALLOW_FILE_STORE", "MLFLOW_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    service = RunService(tmp_path / "root")
    try:
        run = service.submit(make_recipe(tmp_path), tracker="mlflow")
        while service.read(run).step < 3:
            time.sleep(0.02)
        service.stop(run)
        assert service.wait(run, 60).status == "stopped" and FakeClient.runs["r1"].status == "KILLED"
        service.resume(run)
        service.wait(run, 60)
        (kept,) = FakeClient.runs.values()
        same(kept.written, service.store.folder(run))
        assert kept.status == "FINISHED" and kept.params["method.name"] == "full" and kept.params["data.train"] == "data.csv"
    finally:
        service.close()


def test_a_tracker_that_fails_is_told_once_and_the_run_goes_on(tmp_path, monkeypatch, capsys, wandb):
    def broken(self, data, step=None, commit=None):
        self.calls = getattr(self, "calls", 0) + 1
        if step >= 2:
            raise RuntimeError("disk on\nfire")

    monkeypatch.setattr(FakeRun, "log", broken)
    (tmp_path / "recipe.yaml").write_text(make_recipe(tmp_path).to_yaml(), encoding="utf-8")
    assert cli.main(["train", str(tmp_path / "recipe.yaml"), "--runs", str(tmp_path / "root"), "--tracker", "wandb"]) == 0
    shown = capsys.readouterr()
    sentence = "The tracker 'wandb' failed and gets nothing more of this run: RuntimeError: disk on fire."
    assert json.loads(shown.out)["status"] == "finished" and shown.err.count(sentence) == 1
    assert wandb.runs[0].calls == 3  # the evaluation before training, step 1, step 2
    assert cli.main(["show", json.loads(shown.out)["run"], "--runs", str(tmp_path / "root")]) == 0
    kept = json.loads(capsys.readouterr().out)
    assert kept["warning"] == sentence and kept["tracker"] == "wandb"


def test_a_tracker_that_hangs_holds_up_nothing_but_the_end_for_a_moment(tmp_path, monkeypatch, wandb):
    released = threading.Event()
    monkeypatch.setattr(FakeRun, "log", lambda self, data, step=None, commit=None: released.wait())
    monkeypatch.setattr(tracking, "SECONDS_TO_END", 0.2)
    service = RunService(tmp_path / "root")
    try:
        run = service.submit(make_recipe(tmp_path), tracker="wandb")
        assert service.wait(run, 60).status == "finished" and "no answer" in service.read(run).warning
    finally:
        released.set()
        service.close()


def test_unknown_missing_and_forbidden_trackers_are_refused_before_a_run_is_made(tmp_path, monkeypatch):
    service = RunService(tmp_path / "root")
    recipe = make_recipe(tmp_path)
    try:
        with pytest.raises(RunError, match="no tracker 'tensorbord'.*'tensorboard'"):
            service.submit(recipe, tracker="tensorbord")
        monkeypatch.setattr(trackers, "find_spec", lambda name: None)
        for name, package in (("tensorboard", "tensorboard"), ("trackio", "trackio"), ("mlflow", "mlflow-skinny"), ("wandb", "wandb")):
            with pytest.raises(RunError, match=f"'{name}' is not installed.*pip install {package}"):
                service.submit(recipe, tracker=name)
        monkeypatch.setattr(trackers, "find_spec", lambda name: object())
        with acting_as(Principal("ada", Role.USER)), pytest.raises(AccessError, match="wandb-online"):
            service.submit(recipe, tracker="wandb-online")
        with acting_as(Principal("x", Role.VISITOR)), pytest.raises(AccessError):
            service.submit(recipe.replace({"model.path": "embedded:tiny-en"}), tracker="tensorboard")
        assert service.runs() == []
    finally:
        service.close()


def test_an_index_of_before_trackers_is_taken_over(tmp_path):
    from workbench.runs import record

    with sqlite3.connect(tmp_path / "index.sqlite3") as database:
        for migrate in record.MIGRATIONS[:4]:
            migrate(database)
        database.execute("PRAGMA user_version = 4")
        database.execute("INSERT INTO runs (id, name, status, created, method, model) VALUES ('a', 'n', 'finished', 1.0, 'full', 'm')")
    row = record.open_index(tmp_path / "index.sqlite3").execute(f"SELECT {', '.join(record.COLUMNS)} FROM runs").fetchone()
    assert record.record_from_row(row).tracker == "none" and record.record_from_row(row).warning == ""


def test_only_finite_numbers_are_figures():
    event = {"kind": "train", "step": 1, "loss": math.nan, "learning_rate": 0.5, "gradient_norm": None}
    assert tracking.figures_of(event) == {"train/learning_rate": 0.5}
    assert tracking.figures_of({"kind": "note", "text": "x"}) == {}
