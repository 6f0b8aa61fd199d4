"""Commands about runs that are there already, as a person calls them."""

import json

from tests.tiny_runs import make_recipe
from workbench.cli import main


def test_check_says_what_keeps_a_recipe_from_learning(tmp_path, capsys):
    file = tmp_path / "recipe.yaml"
    file.write_text(make_recipe(tmp_path, data__split__shots=2).to_yaml(), encoding="utf-8")
    assert main(["check", str(file), "--runs", str(tmp_path / "runs")]) == 0
    said = capsys.readouterr()
    answer = json.loads(said.out)
    (few,) = [finding for finding in answer["findings"] if finding["code"] == "few_rows"]
    assert answer["run"] is None and few["fix"] == {"data.split.shots": 16} and "--set data.split.shots=16" in said.err
    assert main(["check", "no-such-thing", "--runs", str(tmp_path / "runs")]) == 2


def test_runs_are_noted_and_compared(tmp_path, capsys):
    root, runs = tmp_path / "root", []
    for seed in (1, 2):
        file = tmp_path / f"{seed}.yaml"
        file.write_text(make_recipe(tmp_path, training__seed=seed, training__epochs=0.5).to_yaml(), encoding="utf-8")
        assert main(["train", str(file), "--runs", str(root)]) == 0
        runs.append(json.loads(capsys.readouterr().out)["run"])
    assert main(["note", runs[0], "--tags", "a,b", "--note", "mine", "--archive", "--runs", str(root)]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": runs[0], "tags": "a, b", "note": "mine", "archived": True}
    assert main(["compare", *runs, "--runs", str(root)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["differences"] == [{"field": "training.seed", "values": [1, 2]}]
    assert [row["run"] for row in answer["runs"]] == runs and "accuracy" in answer["runs"][0]["metrics"]
