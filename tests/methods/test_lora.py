"""LoRA's variants against peft and their own formulas; folding and merging, from plain and from quantized weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.methods.tuned import IDS, digest, disturb, load, logits
from tests.models.tiny import save_model
from workbench.errors import MethodError
from workbench.methods import attach, check_method
from workbench.methods.lora import lora_parameters
from workbench.models.loading import LoadedModel, load_model
from workbench.recipe import ModelPart

VARIANTS = [{}, {"rslora": True, "r": 4}, {"dora": True}, {"init": "pissa"}, {"init": "pissa", "rslora": True, "r": 4}]


def quantized(folder: Path, quantization: str, name: str = "qwen2") -> LoadedModel:
    if not folder.exists():
        save_model(folder, name)
    return load_model(ModelPart(path=str(folder), quantization=quantization, device="cpu"))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("family", ["bert", "qwen2", "gpt2"])
def test_peft_opens_every_variant_and_gives_our_logits(variant: dict, family: str, tmp_path: Path) -> None:
    from peft import PeftModel

    loaded = load(family)
    before, plain = digest(loaded.model), logits(loaded)
    attached = attach(loaded, {"name": "lora", **variant})
    assert torch.allclose(logits(loaded), plain, atol=1e-5)  # every variant starts where the model is
    disturb(attached)
    ours = logits(loaded)
    attached.save_final(tmp_path)
    attached.detach()
    assert digest(loaded.model) == before
    theirs = logits_of(PeftModel.from_pretrained(load(family).model, tmp_path).eval())
    assert torch.allclose(ours, theirs, atol=1e-5)
    again = attach(loaded, {"name": "lora", **variant})
    again.restore(tmp_path)
    assert torch.equal(logits(loaded), ours)
    again.merge()
    assert torch.allclose(logits(loaded), ours, atol=1e-5)


def logits_of(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor(IDS)).logits


def test_counts_by_the_closed_formula() -> None:
    shapes = [(32, 32), (32, 32)] * 2  # query and value of two layers
    assert attach(load("bert"), {"name": "lora", "r": 4}).trainable_parameters == lora_parameters(4, shapes)
    assert attach(load("bert"), {"name": "lora", "r": 4, "dora": True}).trainable_parameters == lora_parameters(4, shapes, dora=True)


def test_targets_by_family() -> None:
    def matrices(targets: list[str]) -> set[str]:
        names = [name for name, _ in attach(load("bert"), {"name": "lora", "targets": targets}).parameters() if "lora_A" in name]
        return {name.split("layer.0.")[1].split(".lora_A")[0] for name in names if "layer.0." in name}

    attention = {"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"}
    assert matrices(["attention"]) == attention
    assert matrices(["all"]) == attention | {"intermediate.dense", "output.dense"}
    names = [n for n, _ in attach(load("qwen2"), {"name": "lora", "targets": ["all"]}).parameters()]
    assert len(names) == 2 * 2 * 7  # two layers, A and B, q k v o gate up down; the output is left alone


def test_a_family_that_packs_query_key_and_value_has_targets_too() -> None:
    def matrices(targets: list[str] | None) -> set[str]:
        attached = attach(load("modernbert"), {"name": "lora", "targets": targets})
        names = [name for name, _ in attached.parameters() if "lora_A" in name and "layers.0." in name]
        return {name.split("layers.0.")[1].split(".lora_A")[0] for name in names}

    assert matrices(None) == {"attn.Wqkv"} and matrices(["attention"]) == {"attn.Wqkv", "attn.Wo"}
    assert matrices(["all"]) == {"attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo"}
    unknown = load("modernbert")
    unknown.family = replace(unknown.family, lora_targets=(), linear=())
    with pytest.raises(MethodError, match="not known") as caught:
        attach(unknown, {"name": "lora"})
    assert "Wo, Wqkv" in caught.value.fix


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_the_size_of_an_update_is_that_of_the_merged_matrix_from_the_models_own(variant: dict, family: str) -> None:
    loaded = load(family)
    own = {name: p.detach().clone() for name, p in loaded.model.named_parameters()}
    attached = attach(loaded, {"name": "lora", **variant})
    assert all(size < 1e-4 for _, size, _ in attached.norms())  # nothing is learnt yet
    disturb(attached)
    norms = attached.norms()
    merged = dict(attached.merge().named_parameters())
    for name, size, share in norms:
        weight = own[f"{name}.weight"]
        expected = float((merged[f"{name}.weight"].detach() - weight).norm())
        assert size == pytest.approx(expected, rel=1e-3) and share == pytest.approx(expected / float(weight.norm()), rel=1e-3)


def test_pissa_takes_first_factors_from_the_file_and_not_from_here(tmp_path: Path) -> None:
    loaded = load("bert")
    attached = attach(loaded, {"name": "lora", "init": "pissa"})
    disturb(attached)
    state, ours = attached.state(), logits(loaded)
    attached.detach()
    # Another machine may find singular vectors of the other sign, which leave the product as it is.
    flipped = {name: -value for name, value in state.items()}
    again = attach(loaded, {"name": "lora", "init": "pissa"})
    again.load_state(flipped)
    assert torch.allclose(logits(loaded), ours, atol=1e-5)


def test_rates_of_a_and_b_stand_in_the_given_ratio() -> None:
    attached = attach(load("bert"), {"name": "lora", "rate_ratio": 16})
    rates = {("A" if "lora_A" in name else "B"): attached.rate_of(name, 0.1) for name, _ in attached.parameters()}
    assert rates == {"A": 0.1, "B": 1.6}


@pytest.mark.parametrize("quantization", ["none", "nf4", "int8"])
def test_folding_and_unfolding_restores_every_byte(quantization: str, tmp_path: Path) -> None:
    loaded = quantized(tmp_path / "model", quantization)
    attached = attach(loaded, {"name": "lora"})
    disturb(attached)
    before, tuned = digest(loaded.model), logits(loaded)
    assert attached.norms() and torch.equal(logits(loaded), tuned)
    cost = attached.fold()
    folded = logits(loaded)
    assert cost == 0 if quantization == "none" else 1e-4 < cost < 0.2
    assert torch.allclose(folded, tuned, atol=1e-5) if quantization == "none" else not torch.equal(folded, tuned)
    attached.unfold()
    assert digest(loaded.model) == before and torch.equal(logits(loaded), tuned)


@pytest.mark.parametrize(("quantization", "bound"), [("nf4", 1e-5), ("int8", 0.2)])
def test_merging_from_quantized_weights_gives_a_plain_model(quantization: str, bound: float, tmp_path: Path) -> None:
    loaded = quantized(tmp_path / "model", quantization)
    attached = attach(loaded, {"name": "lora"})
    disturb(attached)
    tuned, small = logits(loaded), loaded.model.get_memory_footprint()
    model = attached.merge()
    # 8-bit layers also round their inputs (LLM.int8), which the plain model does not: its answers are close, not equal.
    assert (logits(loaded) - tuned).abs().max() < bound
    assert loaded.quantization == "none" and model.get_memory_footprint() > small
    merged = logits(loaded)
    model.save_pretrained(tmp_path / "merged")
    assert "quantization_config" not in json.loads((tmp_path / "merged" / "config.json").read_text())
    loaded.tokenizer.save_pretrained(tmp_path / "merged")
    assert torch.equal(logits(load_model(ModelPart(path=str(tmp_path / "merged"), device="cpu"))), merged)


def test_combinations_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="cannot be combined"):
        check_method({"name": "lora", "dora": True, "init": "pissa"})
    with pytest.raises(MethodError, match="PiSSA takes nf4 weights apart"):
        attach(quantized(tmp_path / "model", "nf4"), {"name": "lora", "init": "pissa"})


def test_norms_of_the_update() -> None:
    attached = attach(load("bert"), {"name": "lora"})
    assert all(size == 0 for _, size, _ in attached.norms())
    disturb(attached)
    state = attached.state()
    name, size, share = attached.norms()[0]
    a, b = (state[f"base_model.model.{name}.lora_{side}.weight"] for side in "AB")
    assert size == pytest.approx(float((2.0 * b @ a).norm()), rel=1e-5)  # alpha 16 over r 8
    matrix = load("bert").model.get_parameter(f"{name}.weight").detach()
    assert share == pytest.approx(size / float(matrix.norm()), rel=1e-5)
