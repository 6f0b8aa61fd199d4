"""Layers below those that train, read once: the losses of reading them at every step, in memory, in a file, over a stop."""

from __future__ import annotations

import pytest
import torch

from tests.models.tiny import ARCHITECTURES, save_model
from tests.training.small_run import hashes, losses, make_recipe, train_in_two_lives, without_dropout
from workbench.errors import MethodError
from workbench.methods import attach, check_method
from workbench.models.loading import load_model
from workbench.models.lower_layers import trained_from
from workbench.models.pool import ModelPool
from workbench.recipe import ModelPart
from workbench.training import kept_states
from workbench.training.control import Control
from workbench.training.events import EventLog
from workbench.training.kept_states import LowerStates
from workbench.training.objective import make_objective
from workbench.training.trainer import train_run

METHODS = {
    "lora": {"name": "lora", "r": 4, "dropout": 0.0, "layers": 1},
    "every matrix": {"name": "lora", "r": 4, "dropout": 0.0, "layers": 1, "targets": ["all"]},
    "houlsby": {"name": "adapter", "layers": 1},
    "pfeiffer": {"name": "adapter", "kind": "pfeiffer", "layers": 1},
    "parallel": {"name": "adapter", "kind": "parallel", "layers": 1},
}
PROMPTS = {
    "two templates": {"prompt.templates": ["{text} it was [MASK] .", "[MASK] {text}"]},
    "head": {"prompt.verbalizer": {"kind": "head", "dropout": 0.0}, "prompt.templates": ["{text}"]},
    "prototypes": {"prompt.verbalizer": {"kind": "prototypical"}},
    "several tokens": {"prompt.verbalizer.words": {"positive": ["great it"], "negative": ["bad"]}},
}


def recipe_of(folder, method="lora", changes=None, *, cache="auto"):
    given = {"method": METHODS[method], "training.epochs": 3, "training.cache_features": cache, "training.learning_rate": 5e-3}
    recipe = make_recipe(folder, {**given, **(changes or {})})
    without_dropout(folder)
    return recipe


def trained(recipe, folder):
    return train_run(recipe, folder, Control(), ModelPool())


def difference(folder, recipe):
    """Largest difference of a loss between a run that keeps states and one that reads anew; the first is `kept`."""
    trained(recipe, folder / "kept")
    trained(recipe.replace({"training.cache_features": "never"}), folder / "anew")
    kept, anew = losses(folder / "kept"), losses(folder / "anew")
    assert len(kept) == 12 and kept[0][1] != kept[-1][1]
    return max(abs(a - b) for (_, a), (_, b) in zip(kept, anew, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_losses_are_those_of_reading_the_lower_layers_at_every_step(tmp_path, monkeypatch, method):
    read = []
    below = kept_states.read_below
    monkeypatch.setattr(kept_states, "read_below", lambda *given: read.append(len(given[2])) or below(*given))
    assert difference(tmp_path, recipe_of(tmp_path, method)) < 1e-5
    plan = next(e for e in EventLog(tmp_path / "kept" / "events.jsonl").read() if e["kind"] == "plan")
    assert any("kept" in note for note in plan["notes"])
    assert sum(read) == plan["train_rows"] + plan["validation_rows"] + 1  # and one row for the shape


@pytest.mark.parametrize("prompt", PROMPTS)
def test_under_every_kind_of_prompt(tmp_path, prompt):
    assert difference(tmp_path, recipe_of(tmp_path, changes=PROMPTS[prompt])) < 1e-5


def test_gradient_checkpointing_and_parts_of_a_batch_change_nothing(tmp_path):
    changes = {"training.gradient_checkpointing": True, "training.gradient_accumulation": 2, "training.batch_size": 4}
    assert difference(tmp_path, recipe_of(tmp_path, changes=changes)) < 1e-5


@pytest.mark.parametrize("family", sorted(ARCHITECTURES))
def test_every_family_begins_where_its_last_layer_does_or_reads_anew(tmp_path, family):
    loaded = load_model(ModelPart(path=str(save_model(tmp_path / family, family)), device="cpu"))
    if family == "albert":
        with pytest.raises(MethodError, match="several times"):
            attach(loaded, check_method(METHODS["lora"]))
        return
    attach(loaded, check_method({**METHODS["lora"], "targets": None}))
    ids = torch.tensor([[2, 5, 6, 7, 3]])
    assert trained_from(loaded, ids, torch.ones_like(ids)) == (0 if family == "mpnet" else 1)  # MPNet's layers answer with tuples


@pytest.mark.parametrize("family", ["roberta", "distilbert", "electra", "qwen3", "llama", "gemma3_text", "gpt2"])
def test_the_upper_layers_go_on_from_what_was_kept(tmp_path, family):
    causal = "[MASK]" if family in ("qwen3", "llama", "gemma3_text", "gpt2") else "[MASK] ."
    changes = {"model.path": str(save_model(tmp_path / family, family)), "prompt.templates": ["{text} it was " + causal]}
    objective, _ = bound(recipe_of(tmp_path, changes=changes))
    kept, classifier = objective.classifier.kept, objective.classifier
    assert isinstance(kept, LowerStates) and kept.first == 1
    rows = objective._encoded[:5]
    with classifier.evaluating():
        ours = classifier.log_probabilities(rows)
        classifier.kept = None
        assert torch.allclose(ours, classifier.log_probabilities(rows), atol=1e-5)


def bound(recipe):
    objective, loaded = make_objective(recipe), load_model(recipe.model)
    attached = attach(loaded, check_method(recipe.method), prompt=recipe.prompt, reads=objective.reads)
    objective.bind(loaded, attached)
    return objective, attached


def test_states_in_a_file_are_those_in_memory_and_survive_a_stop(tmp_path, monkeypatch):
    recipe = recipe_of(tmp_path)
    trained(recipe, tmp_path / "whole")
    monkeypatch.setattr(kept_states, "IN_MEMORY_BYTES", 1000)
    kept = tmp_path / "run" / "states" / "0-layer-1" / "states.npy"
    train_in_two_lives(recipe, tmp_path / "run", 7, lambda: kept.stat())
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    assert hashes(tmp_path / "run" / "final") == hashes(tmp_path / "whole" / "final")


def test_what_would_be_too_much_is_read_at_every_step(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_states, "MOST_BYTES", 1000)
    objective, _ = bound(recipe_of(tmp_path))
    assert objective.classifier.kept is None


def test_one_layer_of_lora_is_in_peft_s_format_and_counts_by_the_formula(tmp_path):
    from peft import PeftModel

    objective, attached = bound(recipe_of(tmp_path))
    for _, parameter in attached.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    text, count = attached.formula()
    assert count == sum(p.numel() for _, p in attached.parameters()) and text
    (tmp_path / "final").mkdir()
    attached.save_final(tmp_path / "final")
    plain = load_model(ModelPart(path=str(tmp_path / "model"), device="cpu"))
    opened = PeftModel.from_pretrained(plain.model, tmp_path / "final").eval()
    ids = torch.tensor([[2, 5, 6, 4, 3]])
    with torch.no_grad():
        assert torch.allclose(opened(ids).logits, objective.classifier.loaded.model.eval()(ids).logits, atol=1e-5)


@pytest.mark.parametrize("name", ["lora", "adapter"])
def test_more_layers_than_there_are_is_a_sentence(tmp_path, name):
    with pytest.raises(MethodError, match="has 2 layers, and method.layers asks for 3"):
        bound(recipe_of(tmp_path, changes={"method": {"name": name, "layers": 3}}))
