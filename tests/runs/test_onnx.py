"""A run as ONNX: every method, alone in a process without torch, answers as the run does, an empty text and one too long among the rows."""

import json
import os
import subprocess
import sys

import pytest

from tests.models.tiny import ARCHITECTURES, CAUSAL, save_model
from tests.tiny_runs import make_recipe
from workbench import cli
from workbench.errors import RunError
from workbench.methods import method_names
from workbench.recipe import load_recipe
from workbench.runs import onnx
from workbench.runs.export import export_run
from workbench.runs.service import RunService
from workbench.runs.takeaway import take_away

PROMPTS = {
    "ensemble": {"prompt.templates": ["{text} it was [MASK] .", "[MASK] : {text|head}"], "prompt.verbalizer.calibration": "contextual"},
    "several tokens": {"prompt.verbalizer.words": {"pos": ["great nice", "lovely"], "neg": ["terrible"]}},
    "head": {"prompt.templates": ["{text}"], "prompt.verbalizer": {"kind": "head"}},
    "prototypes": {"prompt.verbalizer": {"kind": "prototypical", "prototypes": "means"}},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = RunService(tmp_path_factory.mktemp("onnx") / "root")
    yield service
    service.close()


def trained(service, recipe):
    run = service.submit(recipe)
    assert service.wait(run, 300).status == "finished", service.read(run).error
    return run


def answers_alone(folder, texts):
    """What predict.py says where neither torch nor transformers can be imported, nor this project."""
    absent = folder.parent / "absent"
    absent.mkdir()
    for name in ("torch", "transformers"):
        (absent / f"{name}.py").write_text("raise ImportError('not here')")
    process = subprocess.run(
        [sys.executable, str(folder / "predict.py"), *texts], capture_output=True, cwd=absent, check=False,
        env={**os.environ, "PYTHONPATH": str(absent)},
    )  # fmt: skip
    assert process.returncode == 0, process.stderr.decode()
    return [row["probabilities"] for row in json.loads(process.stdout)]


def largest_difference(service, run, to, texts):
    """Between the run's probabilities and the export's, where torch and transformers cannot be imported."""
    answer = export_run(service, run, to, "onnx")
    assert answer["rows_compared"] == 10 and answer["largest_difference"] <= 1e-5
    ours = [prediction.probabilities for prediction in service.predictor(run).predict([{"text": text} for text in texts])]
    assert "pipeline(" not in (to / "model_card.md").read_text(encoding="utf-8")
    pairs = zip(answers_alone(to, texts), ours, strict=True)
    return max(abs(got[label] - share) for got, wanted in pairs for label, share in wanted.items())


@pytest.mark.parametrize("method", method_names())
def test_every_method_answers_as_the_run_does(service, tmp_path, method):
    run = trained(service, make_recipe(tmp_path, method={"name": method}, training__epochs=1))
    assert largest_difference(service, run, tmp_path / "out", ["film lovely", "", "the food was bad " * 500]) <= 1e-5
    assert (tmp_path / "out" / "requirements.txt").read_text().split("==")[0] == "onnxruntime"
    assert not list((tmp_path / "out").rglob("*.safetensors")) and str(tmp_path) not in (tmp_path / "out" / "recipe.yaml").read_text()


@pytest.mark.parametrize("name", PROMPTS)
def test_every_kind_of_prompt_and_answer(service, tmp_path, name):
    run = trained(service, make_recipe(tmp_path, method={"name": "bias"}, training__epochs=1).replace(PROMPTS[name]))
    assert largest_difference(service, run, tmp_path / "out", ["film lovely", "[MASK] [SEP]"]) <= 1e-5


@pytest.mark.parametrize("family", sorted(set(ARCHITECTURES) - CAUSAL - {"bert"}))
def test_every_family_of_masked_models(service, tmp_path, family):
    model = save_model(tmp_path / "family", family)
    words = {"pos": ["great"], "neg": ["bad"]}
    recipe = make_recipe(tmp_path, model__path=str(model), prompt__verbalizer__words=words, training__epochs=1)
    run = trained(service, recipe.replace({"method": {"name": "lora" if family == "mpnet" else "p_tuning_v2"}}))
    assert largest_difference(service, run, tmp_path / "out", ["w1 was great", "", "w2 bad " * 500]) <= 1e-5


@pytest.mark.parametrize(("preset", "method", "texts"), [
    ("en-sentiment-lora", "lora", ["A moving film.", "", "I did not like it. " * 300]),
    ("zh-sentiment-lora", "soft_prompt", ["房间很干净，服务也好。", "", "太差了，再也不来。" * 300]),
    ("zh-sentiment-lora", "p_tuning_v2", ["一般般"]),
])  # fmt: skip
def test_the_embedded_models(service, tmp_path, preset, method, texts):
    small = {"data.split.shots": 4, "data.split.validation": 8, "training.epochs": 1, "model.device": "cpu", "prompt.max_length": 64}
    run = trained(service, load_recipe(preset, {**small, "method": {"name": method}}))
    assert largest_difference(service, run, tmp_path / "out", texts) <= 1e-5


def test_it_can_be_taken_away_from_the_page(service, tmp_path):
    parcel = take_away(service, trained(service, make_recipe(tmp_path, training__epochs=1)), "onnx", tmp_path / "parcels")
    assert parcel.file.name.endswith("-onnx.zip") and parcel.rows == 10 and parcel.difference <= 1e-5


@pytest.mark.parametrize(("change", "said"), [
    ({"task": "generation"}, "writes text.*folder or the merged"),
    ({"model.quantization": "nf4"}, "nf4.*merged model"),
])  # fmt: skip
def test_what_cannot_become_onnx_is_refused_with_what_works_instead(tmp_path, change, said):
    with pytest.raises(RunError, match=said):
        onnx.check_onnx(make_recipe(tmp_path).replace(change))


def test_a_causal_model_is_refused_and_nothing_is_left(service, tmp_path):
    small = {"data.split.shots": 2, "data.split.validation": 2, "training.epochs": 1, "model.path": "embedded:tiny-qwen"}
    small["prompt.templates"] = ["{text} It was [MASK]"]
    run = trained(service, load_recipe("en-sentiment-lora", {**small, "method": {"name": "bias"}}))
    with pytest.raises(RunError, match="causal"):
        export_run(service, run, tmp_path / "out", "onnx")
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx, "find_spec", lambda name: None)
    with pytest.raises(RunError, match="pip install onnx onnxscript onnxruntime"):
        onnx.check_onnx(make_recipe(tmp_path))


def test_a_graph_that_answers_otherwise_is_not_made(service, tmp_path, monkeypatch, capsys):
    run = trained(service, make_recipe(tmp_path, training__epochs=1))
    monkeypatch.setattr("workbench.runs.proof.LARGEST_DIFFERENCE", -1.0)
    assert cli.main(["export", run, "--runs", str(service.root), "--to", str(tmp_path / "out"), "--onnx"]) == 2
    assert "differ" in capsys.readouterr().err and not (tmp_path / "out").exists()
