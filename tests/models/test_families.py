"""Every name a family promises exists in a real model of it."""

from __future__ import annotations

import pytest
import torch

from tests.models.tiny import ARCHITECTURES, CAUSAL, GENERIC, make_model
from workbench.models.families import Family, families, family_of, known_family, register_family


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_names_exist(name: str) -> None:
    model = make_model(name)
    family = family_of(model, "causal" if name in CAUSAL else "masked")
    layers = family.layers(model)
    assert len(layers) == (1 if name == "albert" else 2)
    for path in (family.query, family.key, family.value, family.output, *family.feed_forward):
        if path:
            layers[0].get_submodule(path)
    norms = [*(family.attention_norms or ()), *(family.feed_forward_norms or ()), *family.head_norms]
    if name not in GENERIC:
        found = {n for n, m in layers[0].named_modules() if "norm" in type(m).__name__.lower()}
        assert {n for n in norms if n} == found
    assert family.word_embeddings(model) is model.get_input_embeddings()
    assert family.output_module(model) is model.get_output_embeddings()
    assert isinstance(family.backbone(model), torch.nn.Module)
    parameters = [n for n, _ in model.named_parameters(remove_duplicate=False)]
    for prefix in family.head_prefixes:
        assert any(parameter.startswith(prefix) for parameter in parameters), prefix
    for target in family.lora_targets:
        assert any(module.endswith("." + target) for module, _ in model.named_modules()), target
    weight, _ = family.output_weight(model)
    assert weight.shape[0] == model.config.vocab_size


def test_registry() -> None:
    names = {"bert", "roberta", "albert", "distilbert", "electra", "qwen2", "qwen3", "llama", "gemma", "gemma2", "gemma3", "gpt2"}
    assert names <= {family.name for family in families()}
    assert known_family("bert", "causal") is None
    with pytest.raises(ValueError, match="bert"):
        register_family(type("Twice", (Family,), {"__init__": lambda self: Family.__init__(self, name="twice", model_types=("bert",))}))
