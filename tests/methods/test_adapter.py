"""Adapters against their papers' formulas on random weights, and nothing else of the model touched."""

from __future__ import annotations

import pytest
import torch

from tests.methods.tuned import IDS, digest, disturb, load, logits
from workbench.methods import attach
from workbench.methods.adapter import adapter_parameters

FAMILIES = ["bert", "roberta", "albert", "distilbert", "electra", "qwen2", "qwen3", "llama", "gpt2", "gemma", "gemma2", "gemma3_text"]
KINDS = {"houlsby": 2, "pfeiffer": 1, "parallel": 1}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_identity_at_the_start_and_the_papers_count(family: str, kind: str) -> None:
    loaded = load(family)
    plain = logits(loaded)
    attached = attach(loaded, {"name": "adapter", "kind": kind, "reduction": 4})
    assert (logits(loaded) - plain).abs().max() <= 1e-6
    layers = 1 if family == "albert" else 2  # ALBERT uses one layer twice
    assert attached.trainable_parameters == adapter_parameters(32, 8, layers, per_layer=KINDS[kind])
    disturb(attached)
    assert (logits(loaded) - plain).abs().max() > 1e-3


def test_small_random_weights_barely_change_the_model() -> None:
    loaded = load("bert")
    plain = logits(loaded)
    attach(loaded, {"name": "adapter", "init": "small"})
    assert 0 < (logits(loaded) - plain).abs().max() < 0.05


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh", "swish"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_computes_the_papers_formula(kind: str, activation: str) -> None:
    """BERT's second layer by hand, from its parts, with adapters of random weights where the papers put them."""
    loaded = load("bert")
    attached = attach(loaded, {"name": "adapter", "kind": kind, "reduction": 4, "activation": activation, "scale": 3.0})
    disturb(attached, 0.5)
    layer, parts = loaded.model.bert.encoder.layer[1], attached.adapters
    apply = {"relu": torch.relu, "gelu": torch.nn.functional.gelu, "tanh": torch.tanh, "swish": torch.nn.functional.silu}[activation]

    def bottleneck(name: str, hidden: torch.Tensor) -> torch.Tensor:
        down, up = parts[name].down, parts[name].up
        return apply(hidden @ down.weight.T + down.bias) @ up.weight.T + up.bias

    hidden = torch.randn(2, 5, 32)
    with torch.no_grad():
        ours = layer(hidden)
        ours = ours[0] if isinstance(ours, tuple) else ours
        attended = layer.attention.self(hidden)[0]
        projected = torch.nn.functional.linear(attended, layer.attention.output.dense.weight, layer.attention.output.dense.bias)
        if kind == "houlsby":
            projected = projected + bottleneck("1_attention", projected)
        middle = layer.attention.output.LayerNorm(projected + hidden)
        dense = layer.output.dense
        inner = torch.nn.functional.gelu(torch.nn.functional.linear(middle, layer.intermediate.dense.weight, layer.intermediate.dense.bias))
        out = torch.nn.functional.linear(inner, dense.weight, dense.bias)
        if kind == "houlsby":
            out = out + bottleneck("1_feed_forward", out)
        if kind == "parallel":
            out = out + 3.0 * bottleneck("1_feed_forward", middle)
        theirs = layer.output.LayerNorm(out + middle)
        if kind == "pfeiffer":
            theirs = theirs + bottleneck("1_layer", theirs)
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_checkpointing_gives_the_same_gradients(kind: str) -> None:
    def gradients(checkpointing: bool) -> list[torch.Tensor]:
        loaded = load("qwen2")
        attached = attach(loaded, {"name": "adapter", "kind": kind})
        disturb(attached)
        if checkpointing:
            loaded.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            loaded.model.train()
        loaded.model(input_ids=torch.tensor(IDS), use_cache=False).logits.logsumexp(-1).sum().backward()
        return [p.grad for _, p in attached.parameters()]

    for one, two in zip(gradients(False), gradients(True), strict=True):
        assert one.abs().sum() > 0 and torch.allclose(one, two, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_taking_them_off_leaves_no_trace(kind: str) -> None:
    loaded = load("llama")
    before, plain = digest(loaded.model), logits(loaded)
    attached = attach(loaded, {"name": "adapter", "kind": kind})
    disturb(attached)
    attached.detach()
    assert digest(loaded.model) == before and torch.equal(logits(loaded), plain)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in loaded.model.modules())
