"""The same recipe over several seeds: held-out rows are the split's validation rows, means and spreads are those of the cells."""

import json
from statistics import mean, stdev

import pytest

from tests.runs.test_pet import pet_recipe
from tests.tiny_runs import make_recipe
from workbench.data.dataset import load_splits


def cells(service, run_id):
    folders = sorted((service.store.folder(run_id) / "cells").iterdir())
    return [json.loads((folder / "cell.json").read_text())["content"]["lines"] for folder in folders]


def texts(file):
    return {json.loads(line)["field_text"] for line in file.read_text().splitlines()}


def test_a_training_is_measured_on_rows_that_no_seed_saw(service, tmp_path):
    recipe = make_recipe(tmp_path, data__split__shots=4, data__split__validation=6, training__epochs=1)
    run_id = service.submit(recipe.replace({"job": {"kind": "seeds", "seeds": 3, "held_out": 12}}))
    assert service.wait(run_id, 120).status == "finished", service.read(run_id).error
    (row,) = service.result(run_id)["table"]["rows"]
    accuracies = [lines[0]["accuracy"] for lines in cells(service, run_id)]
    assert row[:2] == ["trained", None] and row[2] == pytest.approx(mean(accuracies)) and row[3] == pytest.approx(stdev(accuracies))
    scores = [lines[0]["macro_f1"] for lines in cells(service, run_id)]
    assert row[4:6] == pytest.approx([mean(scores), stdev(scores)])
    rows = service.store.folder(run_id) / "rows"
    held = {e.fields["text"] for e in load_splits(recipe.replace({"data.split.validation": 12}).data).validation.examples}
    assert texts(rows / "held_out.jsonl") == held and not held & texts(rows / "train.jsonl")
    assert not list((service.store.folder(run_id) / "cells").glob("*/final")), "nobody asked to keep weights"


def test_a_pet_run_over_seeds_has_its_whole_report(service, tmp_path):
    recipe = pet_recipe(tmp_path, seeds=1)
    run_id = service.submit(recipe.replace({"job": {"kind": "seeds", "seeds": 2, "held_out": 12}}))
    assert service.wait(run_id, 120).status == "finished", service.read(run_id).error
    rows = service.result(run_id)["table"]["rows"]
    assert [row[0] for row in rows][-2:] == ["ensemble", "distilled"] and all(row[-1] == 2 for row in rows)
    first, second = (lines[-1]["accuracy"] for lines in cells(service, run_id))
    assert rows[-1][2] == pytest.approx((first + second) / 2)
