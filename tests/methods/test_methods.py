"""Every registered method on every family that it applies to: trains, saves, reloads and detaches exactly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.methods.tuned import digest, disturb, ids_with, load, logits
from tests.models.tiny import VOCABULARY, make_model, make_tokenizer
from workbench.errors import MethodError
from workbench.methods import attach, check_method, method_info, method_names
from workbench.methods.attached import WEIGHTS_FILE
from workbench.methods.registry import method_class, register
from workbench.models.families import family_of
from workbench.models.loading import LoadedModel
from workbench.models.mode import checkpoint_gradients

FAMILIES = ["bert", "roberta", "albert", "distilbert", "electra", "qwen2", "qwen3", "llama", "gpt2"]
NOT_APPLICABLE = {("bias", "qwen3"), ("bias", "llama")}  # built without any bias vector
NOT_IN_WEIGHTS = {"soft_prompt", "p_tuning", "p_tuning_v2", "prefix_tuning", "adapter"}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", method_names())
def test_gradients_reach_saved_weights_come_back_and_detaching_restores_every_byte(method: str, family: str, tmp_path: Path) -> None:
    loaded = load(family)
    if (method, family) in NOT_APPLICABLE:
        with pytest.raises(MethodError, match="no bias"):
            attach(loaded, {"name": method})
        return
    before, flags = digest(loaded.model), {n: p.requires_grad for n, p in loaded.model.named_parameters()}
    own = {id(parameter) for parameter in loaded.model.parameters()}
    attached = attach(loaded, {"name": method})
    added = sum(parameter.numel() for _, parameter in attached.parameters() if id(parameter) not in own)
    assert (added > 0) == (method in {*NOT_IN_WEIGHTS, "lora"})
    assert attached.total_parameters == sum(p.numel() for p in make_model(family).parameters()) + added
    assert 0 < attached.trainable_parameters == sum(p.numel() for p in loaded.model.parameters() if p.requires_grad)
    ids = ids_with(attached)
    loaded.model(input_ids=torch.tensor(ids)).logits.logsumexp(-1).sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for _, p in attached.parameters())
    disturb(attached)
    tuned, tuned_words = logits(loaded, ids), logits(loaded)
    attached.save(tmp_path)
    attached.detach()
    attached.detach()
    assert digest(loaded.model) == before
    assert {n: p.requires_grad for n, p in loaded.model.named_parameters()} == flags
    assert torch.equal(logits(loaded), tuned_words) == (attached.soft is not None)
    again = attach(loaded, {"name": method})
    again.restore(tmp_path)
    assert torch.equal(logits(loaded, ids), tuned)


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("method", method_names())
def test_gradients_of_masked_models_are_the_same_with_checkpointing(method: str, family: str) -> None:
    def gradients(checkpointing: bool) -> dict[str, torch.Tensor | None]:
        loaded = load(family)
        torch.manual_seed(0)
        attached = attach(loaded, {"name": method})
        disturb(attached)
        if checkpointing:
            checkpoint_gradients(loaded.model)
        loaded.model.train()
        for module in loaded.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        loaded.model(input_ids=torch.tensor(ids_with(attached))).logits.logsumexp(-1).sum().backward()
        assert getattr(loaded.model, "is_gradient_checkpointing", False) == checkpointing
        return {name: parameter.grad for name, parameter in attached.parameters()}

    plain, spared = gradients(False), gradients(True)
    assert sum(float(one.abs().sum()) for one in plain.values() if one is not None) > 0
    for name, one in plain.items():
        assert (one is None) == (spared[name] is None) and (one is None or torch.allclose(one, spared[name], atol=1e-5)), name


def test_one_method_at_a_time() -> None:
    loaded = load("bert")
    attached = attach(loaded, {"name": "bias"})
    with pytest.raises(MethodError, match="already carries the method 'bias'"):
        attach(loaded, {"name": "lora"})
    attached.detach()
    attach(loaded, {"name": "lora"}).detach()


def test_bias_trains_biases_of_the_backbone_and_nothing_else() -> None:
    names = [name for name, _ in attach(load("roberta"), {"name": "bias"}).parameters()]
    model = make_model("roberta")
    assert set(names) == {n for n, _ in model.named_parameters() if n.endswith("bias") and n.startswith("roberta.")}


def test_head_leaves_the_tied_embedding_alone() -> None:
    attached = attach(load("bert"), {"name": "head"})
    # transform 32x32 + 32, norm 32 + 32, output bias
    assert attached.trainable_parameters == 32 * 32 + 32 + 32 + 32 + VOCABULARY


@pytest.mark.parametrize("family", ["qwen2", "bert"])
def test_head_trains_a_vocabulary_product_of_its_own_and_reads_runs_that_did_not(family: str, tmp_path: Path) -> None:
    loaded = load(family, tied=False)
    output = loaded.model.get_output_embeddings().weight
    attached = attach(loaded, {"name": "head"})
    assert any(parameter is output for _, parameter in attached.parameters())
    disturb(attached)
    attached.save(tmp_path)
    kept = {name: p for name, p in attached.state().items() if name != f"{loaded.family.output_path}.weight"}
    save_file(kept, tmp_path / WEIGHTS_FILE)
    attached.detach()
    own = output.detach().clone()
    again = attach(loaded, {"name": "head"})
    again.restore(tmp_path)
    assert torch.equal(output, own) and all(torch.equal(again.state()[name], value) for name, value in kept.items())


def test_lora_counts_as_the_closed_form_and_is_what_peft_opens(tmp_path: Path) -> None:
    from peft import PeftModel

    loaded = load("bert")
    attached = attach(loaded, {"name": "lora", "r": 4, "targets": ["query", "value"]})
    assert attached.trainable_parameters == 2 * 2 * 4 * (32 + 32)  # layers x targets x r x (in + out)
    disturb(attached)
    attached.save(tmp_path)
    other = PeftModel.from_pretrained(make_model("bert"), tmp_path).eval()
    with torch.no_grad():
        expected = other(input_ids=torch.tensor([[2, 7, 4, 8, 3]])).logits
    assert torch.equal(logits(loaded), expected)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["target_modules"] == ["query", "value"]


@pytest.mark.parametrize("method", method_names())
def test_merging_keeps_what_was_learnt_in_plain_weights(method: str) -> None:
    loaded = load("bert")
    names = set(loaded.model.state_dict())
    attached = attach(loaded, {"name": method})
    disturb(attached)
    tuned = logits(loaded)
    if method in NOT_IN_WEIGHTS:
        with pytest.raises(MethodError, match="cannot be merged"):
            attached.merge()
        return
    merged = attached.merge()
    assert merged is loaded.model and set(merged.state_dict()) == names
    assert torch.allclose(logits(loaded), tuned, atol=1e-5)
    attach(loaded, {"name": method}).detach()


@pytest.mark.parametrize("method", method_names())
def test_weights_of_another_model_are_refused_and_change_nothing(method: str, tmp_path: Path) -> None:
    from transformers import BertConfig, BertForMaskedLM

    attach(load("bert"), {"name": method}).save(tmp_path)
    small = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64, vocab_size=VOCABULARY)
    model = BertForMaskedLM(small)
    loaded = LoadedModel(model, make_tokenizer(), family_of(model, "masked"), "masked", "other", "1" * 64, torch.device("cpu"))
    attached = attach(loaded, {"name": method})
    before = digest(model)
    with pytest.raises(MethodError, match="belong to another model: its number of layers is 2, that of other is 1"):
        attached.restore(tmp_path)
    assert digest(model) == before


def narrow() -> LoadedModel:
    from transformers import BertConfig, BertForMaskedLM

    small = BertConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=VOCABULARY)
    return replace(load("bert"), model=BertForMaskedLM(small))


@pytest.mark.parametrize(("other", "what"), [
    (lambda: load("llama"), "family is bert, that of tiny-llama is llama"),
    (narrow, "hidden size is 32, that of tiny-bert is 16"),
    (lambda: replace(load("bert"), fingerprint="1" * 64), "fingerprint is 0000"),
])  # fmt: skip
def test_another_family_width_or_revision_is_named(other, what: str, tmp_path: Path) -> None:
    """Rows 54 and 55: the last one differs in nothing but its weights."""
    attach(load("bert"), {"name": "lora"}).save(tmp_path)
    with pytest.raises(MethodError, match=f"belong to another model: its {what}"):
        attach(other(), {"name": "lora"}).restore(tmp_path)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    attached = attach(load("bert"), {"name": "lora"})
    with pytest.raises(MethodError, match="adapter_config.json cannot be read"):
        attached.restore(tmp_path)
    attached.save(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"short")
    with pytest.raises(MethodError, match="cannot be read"):
        attached.restore(tmp_path)


def test_mistakes_in_options_are_named_together() -> None:
    with pytest.raises(MethodError) as caught:
        check_method({"name": "lora", "rank": 4, "r": 0})
    assert "'r' is 0" in caught.value.message and "Unknown option 'rank'" in caught.value.message
    with pytest.raises(MethodError) as caught:
        check_method({"name": "lroa"})
    assert "'lora'" in caught.value.fix
    with pytest.raises(MethodError, match="no linear layer 'qeury'"):
        attach(load("bert"), {"name": "lora", "targets": ["qeury"]})


def test_a_failed_attach_leaves_the_model_free() -> None:
    loaded = load("llama")
    before = digest(loaded.model)
    with pytest.raises(MethodError):
        attach(loaded, {"name": "bias"})
    attach(loaded, {"name": "lora"}).detach()
    assert digest(loaded.model) == before


def test_quantized_weights_are_refused_by_full() -> None:
    loaded = load("bert")
    loaded.quantization = "nf4"
    with pytest.raises(MethodError, match="nf4"):
        attach(loaded, {"name": "full"})


def test_information_for_forms_has_help_and_bounds() -> None:
    for name in method_names():
        info = method_info(name)
        assert info.title and info.description and all(field.description for field in info.fields)
    rank = next(field for field in method_info("lora").fields if field.name == "r")
    assert (rank.kind, rank.default, rank.minimum, rank.maximum) == ("int", 8, 1, 512)


def test_explain_counts_every_parameter_once() -> None:
    attached = attach(load("bert"), {"name": "bias"})
    rows = attached.explain()
    size = {True: 0, False: 0}
    for row in rows:
        size[row.trainable] += row.count * torch.Size(row.shape).numel()
    assert size[True] == attached.trainable_parameters and sum(size.values()) == attached.total_parameters
    assert any(row.count == 2 and ".*." in row.part for row in rows)


def test_two_methods_of_one_name_stop_the_import() -> None:
    impostor = type("Impostor", (method_class("bias"),), {"__module__": "elsewhere"})
    with pytest.raises(TypeError, match="Two methods are called 'bias'"):
        register(impostor)
