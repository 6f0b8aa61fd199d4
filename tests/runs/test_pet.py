"""PET and iPET on a tiny model: the report against the cells it is made of, set sizes against the paper's formula."""

import json
from collections import Counter

import pytest
import torch

from tests.tiny_runs import make_recipe
from workbench.data.dataset import load_splits
from workbench.errors import RecipeError, VerbalizerError
from workbench.models.pool import ModelPool
from workbench.recipe import load_recipe
from workbench.runs.service import RunService
from workbench.serving.classifier import PromptClassifier

UNTRAINED = ["zero_shot", "zero_shot_ensemble", "calibrated", "calibrated_ensemble"]
TEMPLATES = ["{text} it was [MASK] .", "[MASK] . {text}"]


def pet_recipe(folder, *, shots=4, **options):
    options = {"seeds": 2, "unlabeled": 24, "growth": 2, "distill_epochs": 1} | options
    return make_recipe(folder, prompt__templates=TEMPLATES, pet=options, data__split__shots=shots, training__epochs=1)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pet")
    service = RunService(folder / "root")
    run_id = service.submit(pet_recipe(folder, generations=1))
    assert service.wait(run_id, 120).status == "finished", service.read(run_id).error
    yield service, run_id
    service.close()


def cell(service, run_id, name):
    return json.loads((service.store.folder(run_id) / "cells" / name / "cell.json").read_text())["content"]


def test_the_report_has_a_line_for_everything(done):
    service, run_id = done
    result = service.result(run_id)
    names = [row[0] for row in result["table"]["rows"]]
    trained = ["pattern", "pattern", "patterns", "ensemble", "distilled"]
    assert names == [*UNTRAINED, *trained, "ipet_1", "ipet_ensemble", "ipet"]
    assert result["rows"] == {"labelled": 8, "unlabelled": 24, "validation": 12} and result["answers_with"] == "ipet"
    assert service.read(run_id).kind == "pet" and service.read(run_id).metrics["accuracy"] == result["table"]["rows"][-1][2]
    assert service.read(run_id).step == service.read(run_id).total_steps


def test_the_ensemble_is_the_weighted_mean_of_its_members(done):
    service, run_id = done
    weights = list(service.result(run_id)["weights"].values())
    scores, total = 0, 0
    for pattern, weight in enumerate(weights, start=1):
        for seed in (13, 14):
            scores = scores + weight * torch.tensor(cell(service, run_id, f"g0-p{pattern}-s{seed}")["pool"], dtype=torch.float64)
            total += weight
    expected = torch.softmax(scores / total / 2.0, dim=-1)  # T = 2
    lines = (service.store.folder(run_id) / "rows" / "distilled.jsonl").read_text().splitlines()
    written = torch.tensor([[json.loads(line)[f"probability_{name}"] for name in ("neg", "pos")] for line in lines], dtype=torch.float64)
    assert torch.allclose(written, expected, atol=1e-9)


def test_each_pattern_is_trained_scored_and_distilled_in_its_own_words(tmp_path):
    """One template twice, as in PET's pairs for BoolQ; against the single pairs computed one by one."""
    service = RunService(tmp_path / "root")
    own = {"pos": ["nice"], "neg": ["bad"]}
    recipe = pet_recipe(tmp_path, seeds=1, generations=1).replace(
        {"prompt.templates": [TEMPLATES[0]] * 2, "prompt.template_words": [None, own]}
    )
    run_id = service.submit(recipe)
    assert service.wait(run_id, 120).status == "finished", service.read(run_id).error
    splits = load_splits(recipe.data)
    loaded = ModelPool().get(recipe.model)
    found = cell(service, run_id, "zero-shot")["templates"]
    for pattern in range(2):
        alone = PromptClassifier(loaded, recipe.prompt.alone(pattern), splits.labels)
        expected = alone.predict(splits.validation.examples)
        assert (torch.tensor(found[pattern]["validation"]).exp() - expected).abs().max() < 1e-5
        trained = load_recipe(service.store.folder(run_id) / "cells" / f"g0-p{pattern + 1}-s13" / "recipe.yaml")
        assert trained.prompt.verbalizer == recipe.prompt.verbalizer_of(pattern) and trained.prompt.template_words is None
        again = load_recipe(service.store.folder(run_id) / "cells" / f"g1-p{pattern + 1}-s13" / "recipe.yaml")
        assert again.prompt == trained.prompt
    weights = service.result(run_id)["weights"]
    assert list(weights) == [TEMPLATES[0], f"{TEMPLATES[0]} (pos: nice; neg: bad)"]
    best = max(range(2), key=list(weights.values()).__getitem__)
    assert service.store.answer_recipe(run_id).prompt.verbalizer == recipe.prompt.verbalizer_of(best)
    (base,) = service.predictor(run_id, base=True).predict([splits.validation.examples[0].fields])
    mean = torch.stack([torch.tensor(scores["validation"][0]).exp() for scores in found]).mean(dim=0)
    assert [base.probabilities[label] for label in splits.labels] == pytest.approx(mean.tolist(), abs=1e-5)
    service.close()


def test_words_of_single_templates_that_a_kind_has_not_are_refused_before_anything_is_trained(tmp_path):
    service = RunService(tmp_path / "root")
    changes = {"prompt.verbalizer": {"kind": "head"}, "prompt.template_words": [None, {"pos": ["nice"], "neg": ["bad"]}]}
    with pytest.raises(VerbalizerError, match="words"):
        service.submit(pet_recipe(tmp_path).replace(changes))
    service.close()


def test_the_first_generation_is_twice_as_large_and_balanced(done):
    service, run_id = done
    for pattern in (1, 2):
        lines = (service.store.folder(run_id) / "rows" / f"g1-p{pattern}-s13.jsonl").read_text().splitlines()
        counts = Counter(json.loads(line)["label"] for line in lines)
        # c_1(l) = 2 c_0(l) = 8, or fewer where the teachers give a label to fewer rows; never more
        assert min(counts.values()) >= 4 and max(counts.values()) <= 8 and set(counts) == {"pos", "neg"}


def test_the_distilled_model_is_what_answers(done):
    service, run_id = done
    validation = service.store.recipe(run_id)
    rows = [example.fields for example in load_splits(validation.data).validation.examples]
    expected = torch.tensor(cell(service, run_id, "ipet")["validation"]).exp()
    got = torch.tensor(service.predictor(run_id).probabilities(rows))
    assert torch.allclose(got.float(), expected, atol=1e-5)
    assert len(service.store.answer_recipe(run_id).prompt.templates) == 1
    assert len(service.predictor(run_id, base=True).recipe.prompt.templates) == 2


def test_without_labelled_rows_the_untrained_templates_teach(tmp_path):
    service = RunService(tmp_path / "root")
    run_id = service.submit(pet_recipe(tmp_path, shots=0, generations=2, seeds=1))
    assert service.wait(run_id, 120).status == "finished", service.read(run_id).error
    names = [row[0] for row in service.result(run_id)["table"]["rows"]]
    assert names == [*UNTRAINED, "ipet_1", "ipet_2", "ipet_ensemble", "ipet"]
    lines = (service.store.folder(run_id) / "rows" / "g1-p1-s13.jsonl").read_text().splitlines()
    assert Counter(json.loads(line)["label"] for line in lines) == {"pos": 5, "neg": 5}  # 10 in all, balanced
    service.close()


def test_a_head_can_be_distilled(tmp_path):
    service = RunService(tmp_path / "root")
    run_id = service.submit(pet_recipe(tmp_path, seeds=1, distill="head"))
    assert service.wait(run_id, 120).status == "finished", service.read(run_id).error
    assert service.store.answer_recipe(run_id).prompt.verbalizer == {"kind": "head"}
    (answer,) = service.predictor(run_id).predict([{"text": "the food lovely"}])
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-6)
    service.close()


@pytest.mark.parametrize(("shots", "templates", "words"), [(0, TEMPLATES, "nothing to train"), (4, TEMPLATES[:1], "several templates")])
def test_what_cannot_be_an_ensemble_is_refused(tmp_path, shots, templates, words):
    service = RunService(tmp_path / "root")
    generations = 0 if shots == 0 else 1
    with pytest.raises(RecipeError) as error:
        service.submit(pet_recipe(tmp_path, shots=shots, generations=generations).replace({"prompt.templates": templates}))
    assert words in error.value.message
    service.close()
