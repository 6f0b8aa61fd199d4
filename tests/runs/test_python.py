"""`from workbench import Recipe, train`, as the README shows it."""

import json
import subprocess
import sys
from contextlib import closing

import pytest

import workbench
from tests.tiny_runs import make_recipe
from workbench import Recipe, train
from workbench.errors import WorkbenchError
from workbench.runs.store import RunStore


def test_a_recipe_is_trained_asked_and_found_again(tmp_path):
    events = []
    run = train(make_recipe(tmp_path), runs=tmp_path / "root", set={"training.epochs": 1}, on_event=events.append)
    assert 0 <= run.metrics["accuracy"] <= 1 and run.result["steps"] == sum(event["kind"] == "train" for event in events) > 0
    by_text, by_field = run.predict(["the food was nice", {"text": "the food was nice"}])
    assert by_text == by_field and sum(by_text.probabilities.values()) == pytest.approx(1, abs=1e-5)
    listed = subprocess.run(
        [sys.executable, "-m", "workbench", "runs", "--runs", str(run.root)], capture_output=True, check=True, text=True
    ).stdout
    assert json.loads(listed)["runs"][0]["run"] == run.id


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_whoever_listens_may_end_it_with_a_checkpoint(tmp_path, error):
    def listen(event):
        if event["kind"] == "train":
            raise error

    with pytest.raises(error):
        train(make_recipe(tmp_path), runs=tmp_path / "root", set={"training.epochs": 500}, on_event=listen)
    with closing(RunStore(tmp_path / "root")) as store:  # which is free again
        assert [run.status for run in store.records()] == ["stopped"]


def test_mistakes_are_sentences(tmp_path):
    with pytest.raises(WorkbenchError, match="'metod'"):
        train({"metod": {}}, runs=tmp_path)
    with pytest.raises(WorkbenchError, match="no recipe"):
        train("no-such-preset", runs=tmp_path)
    with pytest.raises(WorkbenchError):
        train(Recipe().replace({"data.train": "nothing.csv"}), runs=tmp_path)
    assert not hasattr(workbench, "nothing")
