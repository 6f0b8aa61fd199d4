"""A model card says how its model is asked, and what it says is run: the snippet of a merged model gives the run's own answers."""

import json
import re
import subprocess
import sys

import pytest

from tests.tiny_runs import make_data, make_recipe
from tests.training.test_generation import save_qwen
from workbench.runs.card_asking import EXAMPLE
from workbench.runs.export import export_run
from workbench.runs.service import RunService
from workbench.serving.generator import Sampling
from workbench.training.checkpoint import recipe_key

CAUSAL = {
    "prompt.templates": ["{text} It was [MASK]"],
    "prompt.verbalizer.words": {"pos": {"great": 3, "good": 1}, "neg": ["bad"]},
    "method": {"name": "lora"},
    "training.epochs": 1,
}


def snippet_of(card: str) -> str:
    found = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert found, card
    return found.group(1)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = RunService(tmp_path_factory.mktemp("card") / "root")
    yield service
    service.close()


@pytest.fixture(scope="module")
def trained(service, tmp_path_factory):
    """`trained(changes, causal=...)`: the finished run of a recipe, trained once for all who ask for it."""
    folder = tmp_path_factory.mktemp("models")
    masked = make_recipe(folder, training__epochs=1, method={"name": "lora"})
    recipes = {False: masked, True: masked.replace({"model.path": str(save_qwen(folder / "qwen")), **CAUSAL})}
    return lambda changes=None, *, causal: finished(service, recipes[causal].replace(changes or {}))


def finished(service, recipe):
    run = service.submit(recipe, key=recipe_key(recipe))
    assert service.wait(run, 120).status == "finished", service.read(run).error
    return run


def card_of(service, run, to, form):
    export_run(service, run, to, form)
    return (to / "model_card.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("causal", [True, False])
def test_a_merged_classifier_s_snippet_answers_as_the_run(service, trained, tmp_path, causal):
    run = trained(causal=causal)
    card = card_of(service, run, tmp_path / "out", "merged")
    assert "pipeline(" not in card and ("AutoModelForCausalLM" in card) == causal and ("vllm serve model\n" in card) == causal
    done = subprocess.run([sys.executable, "-c", snippet_of(card)], capture_output=True, cwd=tmp_path / "out", check=False, text=True)
    assert done.returncode == 0, done.stderr
    ours = service.predictor(run).predict([{"text": EXAMPLE}])[0].probabilities
    assert json.loads(done.stdout.replace("'", '"')) == pytest.approx(ours, abs=1e-5)


def test_the_request_for_a_server_holds_the_run_s_prompt_and_words(service, trained, tmp_path):
    run = trained(causal=True)
    card = card_of(service, run, tmp_path / "out", "folder")
    assert "--enable-lora" in card and "--lora-modules tuned=tuned" in card
    body = json.loads(re.search(r"-d '(.*)'", card).group(1))
    classifier = service.predictor(run).tuned.classifier
    assert body["model"] == "tuned" and body["max_tokens"] == 1
    encoding = classifier.encoders[0].encode({"text": EXAMPLE})
    assert classifier.loaded.tokenizer(body["prompt"]).input_ids == encoding.input_ids
    assert sorted(body["allowed_token_ids"]) == classifier.verbalizer.token_ids


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt.verbalizer": {"kind": "head"}, "prompt.templates": ["{text}"]}, "without the part that chooses a class"),
        ({"prompt.verbalizer.words": {"pos": ["great"], "neg": ["not good"]}}, "several tokens; `predict.py` scores them whole"),
    ],
)
def test_no_snippet_stands_where_words_alone_do_not_decide(service, trained, tmp_path, changes, said):
    run = trained(changes, causal=True)
    card = card_of(service, run, tmp_path / "out", "merged")
    assert "```python" not in card and "vllm" not in card and "fill-mask" not in card and said in card


def test_several_templates_and_calibration_are_named(service, trained, tmp_path):
    changes = {"prompt.templates": ["{text} It was [MASK]", "{text} So [MASK]"], "prompt.verbalizer.calibration": "contextual"}
    run = trained(changes, causal=True)
    card = card_of(service, run, tmp_path / "out", "merged")
    assert "the first of 2 templates" in card and "calibration" in card


def test_a_merged_model_that_writes_is_asked_in_the_run_s_layout(service, tmp_path):
    make_data(tmp_path / "rows.csv")
    recipe = make_recipe(tmp_path).replace(
        {
            "task": "generation", "model.path": str(save_qwen(tmp_path / "qwen")), "data.columns": {"text": "text", "response": "label"},
            "prompt.templates": ["{text} [MASK]"], "prompt.max_new_tokens": 6, "method": {"name": "lora"}, "training.epochs": 1,
        }
    )  # fmt: skip
    run = finished(service, recipe)
    card = card_of(service, run, tmp_path / "out", "merged")
    done = subprocess.run([sys.executable, "-c", snippet_of(card)], capture_output=True, cwd=tmp_path / "out", check=False, text=True)
    assert done.returncode == 0, done.stderr
    ours = service.generator(run).answers([{"text": EXAMPLE}], Sampling(max_new_tokens=6))[0]
    assert done.stdout.strip().startswith(ours) and "vllm serve model\n" in card

