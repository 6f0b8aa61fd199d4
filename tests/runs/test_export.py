import json
import subprocess
import sys

import pytest

from tests.tiny_runs import make_recipe
from workbench.errors import RunError
from workbench.runs.export import export_run
from workbench.runs.service import RunService


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    service = RunService(folder / "root")
    recipes = {name: make_recipe(folder, method={"name": name}, training__epochs=1) for name in ("full", "lora")}
    recipes["head"] = recipes["lora"].replace({"prompt.verbalizer": {"kind": "head"}, "prompt.templates": ["{text}"]})
    runs = {name: service.submit(recipe) for name, recipe in recipes.items()}
    for run_id in runs.values():
        assert service.wait(run_id, 120).status == "finished", service.read(run_id).error
    yield service, runs
    service.close()


@pytest.mark.parametrize(("method", "merge"), [("full", False), ("lora", True), ("head", True)])
def test_an_export_answers_alone(trained, tmp_path, method, merge):
    service, runs = trained
    answer = export_run(service, runs[method], tmp_path / "out", merge=merge)
    assert answer["largest_difference"] <= 1e-5 and answer["rows_compared"] == 8 and answer["base_model"] == "included"
    out = tmp_path / "out"
    assert (out / "tuned").exists() == (not merge or method == "head") and (out / "model" / "config.json").exists()
    assert not (out / "workbench" / "runs").exists() and not (out / "workbench" / "ui").exists()
    texts = "".join(p.read_text(encoding="utf-8") for p in (out / "recipe.yaml", out / "model_card.md", out / "export.json"))
    assert str(service.root.parent) not in texts, "paths of this machine must not leave it"
    assert ("peft" in (out / "requirements.txt").read_text()) == (method == "lora" and not merge)
    if merge:
        from transformers import AutoModelForMaskedLM

        AutoModelForMaskedLM.from_pretrained(out / "model", trust_remote_code=False)
    process = subprocess.run([sys.executable, out / "predict.py", "film lovely"], capture_output=True, check=True, cwd=tmp_path)
    ours = service.predictor(runs[method]).predict([{"text": "film lovely"}])[0]
    assert json.loads(process.stdout)[0]["probabilities"] == pytest.approx(ours.probabilities, abs=1e-5)


def test_a_taken_folder_is_refused(trained, tmp_path):
    service, runs = trained
    (tmp_path / "x").write_text("mine")
    with pytest.raises(RunError):
        export_run(service, runs["full"], tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_an_export_that_answers_otherwise_is_not_made(trained, tmp_path, monkeypatch):
    service, runs = trained
    monkeypatch.setattr("workbench.runs.export.LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(RunError, match="differ"):
        export_run(service, runs["full"], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
