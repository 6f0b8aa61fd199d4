import json
import subprocess
import sys

import pytest

from tests.tiny_runs import make_recipe
from tests.training.test_generation import save_qwen
from workbench.errors import MethodError, RunError
from workbench.recipe import load_recipe, recipe_from
from workbench.runs.export import export_run
from workbench.runs.proof import proof_of
from workbench.runs.python import TrainedRun
from workbench.runs.service import RunService
from workbench.runs.takeaway import script
from workbench.serving.generator import Sampling


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
    answer = export_run(service, runs[method], tmp_path / "out", "merged" if merge else "folder")
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


def test_half_precision_weights_are_merged_for_what_their_rounding_costs(tmp_path):
    service = RunService(tmp_path / "root")
    try:
        run = service.submit(make_recipe(tmp_path, method={"name": "lora"}, training__epochs=2, model__dtype="bfloat16"))
        assert service.wait(run, 120).status == "finished", service.read(run).error
        merged = export_run(service, run, tmp_path / "merged", "merged")
        assert 0 < merged["largest_difference"] < 0.05
        assert export_run(service, run, tmp_path / "folder")["largest_difference"] <= 1e-5
    finally:
        service.close()


def test_weights_that_trained_in_float32_are_merged_as_they_are(tmp_path):
    service = RunService(tmp_path / "root")
    try:
        run = service.submit(make_recipe(tmp_path, method={"name": "full"}, training__epochs=2, model__dtype="bfloat16"))
        assert service.wait(run, 120).status == "finished", service.read(run).error
        for form in ("merged", "folder"):
            assert export_run(service, run, tmp_path / form, form)["largest_difference"] <= 1e-5
        assert load_recipe(tmp_path / "merged" / "recipe.yaml").model.dtype == "float32"
    finally:
        service.close()


def test_an_unknown_form_and_a_taken_folder_are_refused(trained, tmp_path):
    service, runs = trained
    with pytest.raises(RunError, match="no export 'mergd'") as refused:
        export_run(service, runs["full"], tmp_path / "out", "mergd")
    assert "merged" in refused.value.fix
    (tmp_path / "x").write_text("mine")
    with pytest.raises(RunError):
        export_run(service, runs["full"], tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_an_export_that_answers_otherwise_is_not_made(trained, tmp_path, monkeypatch):
    service, runs = trained
    monkeypatch.setattr("workbench.runs.proof.LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(RunError, match="differ"):
        export_run(service, runs["full"], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def writing(tmp_path_factory):
    home = tmp_path_factory.mktemp("export-writing")
    save_qwen(home / "model")
    rows = [{"instruction": word, "output": {"good": "great", "bad": "awful"}[word]} for word in ("good", "bad") * 16]
    (home / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    service = RunService(home / "root")
    content = {
        "name": "writes", "task": "generation", "model": {"path": str(home / "model"), "device": "cpu"},
        "data": {"train": str(home / "rows.jsonl"), "columns": {}}, "prompt": {"templates": ["{instruction} [MASK]"], "max_new_tokens": 8},
        "training": {"epochs": 6, "batch_size": 8, "learning_rate": 0.01},
    }  # fmt: skip
    methods = {"lora": {"name": "lora"}, "prefix": {"name": "prefix_tuning", "length": 4}}
    runs = {name: service.submit(recipe_from({**content, "method": method}, source="test")) for name, method in methods.items()}
    for run_id in runs.values():
        assert service.wait(run_id, 120).status == "finished", service.read(run_id).error
    yield service, runs
    service.close()


@pytest.mark.parametrize(("method", "merge"), [("lora", False), ("lora", True), ("prefix", False)])
def test_an_export_of_a_model_that_writes_writes_the_same(writing, tmp_path, method, merge):
    service, runs = writing
    out = tmp_path / "out"
    answer = export_run(service, runs[method], out, "merged" if merge else "folder")
    assert answer["largest_difference"] == 0.0 and answer["rows_compared"] == 8
    process = subprocess.run([sys.executable, out / "predict.py", "good"], capture_output=True, check=True, cwd=tmp_path)
    ours = service.generator(runs[method]).answers([{"instruction": "good"}], Sampling(max_new_tokens=8))
    assert [row["text"] for row in json.loads(process.stdout)] == ours and ours[0]
    assert TrainedRun(runs[method], service.root, {}, {}).write(["good"]) == ours
    card = (out / "model_card.md").read_text(encoding="utf-8")
    assert "A model that writes" in card and ("vllm serve" in card) == (method == "lora")
    if merge:
        from transformers import pipeline

        asked = service.generator(runs[method]).encoder.question({"instruction": "good"})
        whole = pipeline("text-generation", model=str(out / "model"), trust_remote_code=False)
        prompt = whole.tokenizer.decode(asked)
        said = whole(prompt, max_new_tokens=8, do_sample=False, return_full_text=False)[0]["generated_text"]
        assert said.strip().startswith(ours[0])


def test_a_prefix_cannot_be_merged_and_an_export_that_writes_otherwise_is_not_made(writing, tmp_path, monkeypatch):
    service, runs = writing
    assert "run.write" in script(service.read(runs["lora"]).recipe)
    with pytest.raises(MethodError):
        export_run(service, runs["prefix"], tmp_path / "out", "merged")
    monkeypatch.setattr("workbench.runs.export.TOKENS_COMPARED", 1)
    with pytest.raises(RunError, match="writes"):
        export_run(service, runs["lora"], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("which", ["trained", "writing"])
def test_a_run_whose_training_file_has_gone_elsewhere_is_exported_all_the_same(request, tmp_path, which):
    from pathlib import Path

    service, runs = request.getfixturevalue(which)
    run_id = runs["lora"]
    file = Path(service.store.recipe(run_id).data.train)
    rows = json.loads((service.store.folder(run_id) / "rows.json").read_text(encoding="utf-8"))
    assert len(rows) == 8 and all(set(row) == {"text" if which == "trained" else "instruction"} for row in rows)
    moved = file.rename(file.with_name("moved"))
    try:
        assert export_run(service, run_id, tmp_path / "out")["rows_compared"] == 8
    finally:
        moved.rename(file)


def test_a_run_of_before_rows_were_kept_takes_them_from_its_data(trained, tmp_path):
    service, runs = trained
    file = service.store.folder(runs["lora"]) / "rows.json"
    before = file.read_text(encoding="utf-8")
    try:
        for content in (None, "[1, 2", '{"a": 1}'):
            file.unlink() if content is None else file.write_text(content, encoding="utf-8")
            assert proof_of(service, runs["lora"], service.store.recipe(runs["lora"]), "folder").rows == json.loads(before)
    finally:
        file.write_text(before, encoding="utf-8")


def test_an_export_that_takes_too_long_to_answer_is_a_sentence(trained, tmp_path, monkeypatch):
    service, runs = trained
    monkeypatch.setattr("workbench.runs.export.SECONDS_FOR_CHECK", 0.1)
    with pytest.raises(RunError, match=r"no answers to 8 rows within 0.1 seconds"):
        export_run(service, runs["full"], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
