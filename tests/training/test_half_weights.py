"""Models kept in half precision whose own weights train: small steps count, and taking the method off gives every byte back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.methods.tuned import digest, load, prompt
from tests.models.tiny import save_model
from tests.training.small_run import make_recipe
from workbench.data.dataset import load_splits
from workbench.methods import attach
from workbench.models.pool import ModelPool
from workbench.recipe import Recipe
from workbench.runs.answers import tuned_predictor
from workbench.serving.generator import tuned_generator
from workbench.serving.tuned import tune
from workbench.training.control import Control
from workbench.training.trainer import Trainer, train_run

OWN = [{"name": "full"}, {"name": "head"}, {"name": "bias"}, {"name": "p_tuning", "backbone": "trained"}]
RATE = 1e-5  # of the weights near 1, bfloat16 has one in every 1/128


def prepared(folder: Path, method: dict[str, Any], precision: str, **more: Any) -> Trainer:
    changes = {"method": method, "model.dtype": "bfloat16", "training.precision": precision, "training.learning_rate": RATE, **more}
    trainer = Trainer(make_recipe(folder, changes), folder / "run", Control(), ModelPool(), None)
    trainer.setup()
    return trainer


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
@pytest.mark.parametrize("method", OWN, ids=lambda method: method["name"])
def test_a_small_step_moves_weights_that_are_loaded_in_half_precision(tmp_path: Path, method: dict[str, Any], precision: str) -> None:
    trainer = prepared(tmp_path, method, precision)
    named = [(name, p) for name, p in trainer.tuned.parameters() if not name.startswith("soft.")]
    before = {name: p.detach().clone() for name, p in named}
    assert all(p.dtype == torch.float32 for p in before.values())
    trainer.tuned.train()
    for number in range(4):
        trainer.stepper.step(number, 40)
    state = trainer.stepper.optimizer.state
    asked = [name for name, p in named if bool(state[p]["exp_avg"].any())]
    assert asked == [name for name, p in named if not torch.equal(p, before[name])] and len(asked) > len(named) / 2


def test_the_bias_of_a_quantized_layer_stays_in_float32(tmp_path: Path) -> None:
    """bitsandbytes casts a bias to the type of what comes in, in place."""
    save_model(tmp_path / "model", "qwen2")
    changes = {"model.quantization": "nf4", "prompt.templates": ["{text} it was [MASK]"], "prompt.verbalizer": {"kind": "head"}}
    trainer = prepared(tmp_path, {"name": "bias"}, "bfloat16", **changes)
    layers = [module for module in trainer.loaded.model.modules() if hasattr(module, "quant_state")]
    for layer in layers:
        layer.compute_dtype, layer.compute_type_is_set = torch.bfloat16, True  # as on a card
    before = {name: p.detach().clone() for name, p in trainer.tuned.parameters()}
    trainer.tuned.train()
    for number in range(4):
        trainer.stepper.step(number, 40)
    assert layers and all(p.dtype == torch.float32 for _, p in trainer.tuned.parameters())
    moved = [name for name, p in trainer.tuned.parameters() if not torch.equal(p, before[name])]
    assert len(moved) > len(before) / 2
    trainer.tuned.detach()
    assert {p.dtype for p in trainer.loaded.model.parameters() if p.is_floating_point()} == {torch.bfloat16}


@pytest.mark.parametrize("products", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("method", [*OWN, {"name": "lora"}], ids=lambda method: method["name"])
def test_taking_the_method_off_gives_every_byte_back(method: dict[str, Any], products: torch.dtype) -> None:
    loaded = load("bert")
    loaded.model.to(torch.bfloat16)
    before = {name: (value.dtype, value.clone()) for name, value in loaded.model.state_dict().items()}
    attached = attach(loaded, method, prompt=prompt())
    attached.train_in_float32(products)
    with torch.no_grad():
        for _, parameter in attached.parameters():
            parameter.add_(1e-4)
    attached.detach()
    after = loaded.model.state_dict()
    assert all(after[name].dtype == dtype and torch.equal(after[name], value) for name, (dtype, value) in before.items())


@pytest.mark.parametrize("method", [*OWN, {"name": "lora"}], ids=lambda method: method["name"])
def test_what_answers_is_what_was_measured(tmp_path: Path, method: dict[str, Any]) -> None:
    changes = {"method": method, "model.dtype": "bfloat16", "training.learning_rate": 1e-3, "training.epochs": 3}
    recipe = make_recipe(tmp_path, changes)
    measured = train_run(recipe, tmp_path / "run", Control(), ModelPool())["metrics"]["loss"]
    splits = load_splits(recipe.data)
    predictor = tuned_predictor(ModelPool(), recipe, splits.labels, tmp_path / "run" / "final")
    rows = predictor.probabilities([example.fields for example in splits.validation.examples])
    numbers = [splits.labels.index(str(example.label)) for example in splits.validation.examples]
    found = -sum(math.log(row[number]) for row, number in zip(rows, numbers, strict=True)) / len(rows)
    assert found == pytest.approx(measured, abs=1e-5)


@pytest.mark.parametrize("name", ["full", "lora"])
def test_only_weights_that_trained_make_what_writes_larger(tmp_path: Path, name: str) -> None:
    save_model(tmp_path / "model", "qwen2")
    changes = {"task": "generation", "model.path": str(tmp_path / "model"), "model.device": "cpu", "model.dtype": "bfloat16"}
    changes |= {"method": {"name": name}, "prompt.chat": "plain", "prompt.templates": ["{text} [MASK]"]}
    recipe = Recipe().replace(changes)
    trained = tune(ModelPool().fresh(recipe.model), recipe, ())
    (tmp_path / "final").mkdir()
    trained.save_final(tmp_path / "final")
    model = tuned_generator(ModelPool().fresh(recipe.model), recipe, tmp_path / "final").loaded.model
    types = {parameter.dtype for key, parameter in model.named_parameters() if "lora_" not in key}
    assert types == {torch.float32 if name == "full" else torch.bfloat16}


def test_plain_float32_models_are_left_as_they_are() -> None:
    loaded = load("bert")
    before = digest(loaded.model)
    attached = attach(loaded, {"name": "bias"})
    attached.train_in_float32(torch.bfloat16)
    assert digest(loaded.model) == before and attached._widened == []
