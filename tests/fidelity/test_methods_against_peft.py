"""Our methods beside peft's own on the same weights, each attached by itself: the same logits and the same gradients, to 1e-5 in fp32."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.methods.tuned import disturb, load
from workbench.methods import attach
from workbench.prompts.soft import SoftSlots

IDS = torch.tensor([[2, 7, 4, 8, 3], [2, 9, 11, 8, 3]])
LABELS = torch.tensor([5, 6])


def loss(logits: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits[:, -1], LABELS)


def peft_model(family: str, config: Any) -> Any:
    from peft import get_peft_model

    return get_peft_model(load(family).model, config).eval()


@pytest.mark.parametrize("options", [{}, {"rslora": True}, {"dora": True}, {"init": "pissa"}], ids=str)
@pytest.mark.parametrize("family", ["bert", "qwen2"])
def test_lora_and_its_variants(options: dict[str, Any], family: str) -> None:
    from peft import LoraConfig

    loaded = load(family)
    ours = attach(loaded, {"name": "lora", "r": 4, "dropout": 0.0, **options})
    disturb(ours)
    targets = list(loaded.family.lora_targets)
    theirs = peft_model(
        family,
        LoraConfig(
            r=4, lora_alpha=16, target_modules=targets, use_rslora=options.get("rslora", False), use_dora=options.get("dora", False),
            init_lora_weights="pissa" if options.get("init") == "pissa" else True,
        ),
    )  # fmt: skip
    trained = {name: p for name, p in theirs.named_parameters() if p.requires_grad}
    assert trained.keys() == dict(ours.parameters()).keys()
    with torch.no_grad():
        for name, parameter in ours.parameters():
            trained[name].copy_(parameter)
    mine, other = loaded.model(input_ids=IDS).logits, theirs(input_ids=IDS).logits
    assert torch.allclose(mine, other, atol=1e-5)
    loss(mine).backward()
    loss(other).backward()
    for name, parameter in ours.parameters():
        assert torch.allclose(parameter.grad, trained[name].grad, atol=1e-5)


def test_a_soft_prompt_on_qwen2() -> None:
    from peft import PromptTuningConfig

    loaded = load("qwen2")
    ours = attach(loaded, {"name": "soft_prompt", "length": 3})
    disturb(ours)
    theirs = peft_model("qwen2", PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    with torch.no_grad():
        theirs.prompt_encoder["default"].embedding.weight.copy_(ours.vectors())
    front = torch.arange(3).expand(2, 3) + ours.soft.start
    mine = loaded.model(input_ids=torch.cat([front, IDS], dim=1)).logits
    other = theirs(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
    assert torch.allclose(mine, other, atol=1e-5)
    loss(mine).backward()
    loss(other).backward()
    assert torch.allclose(ours.embedding.prompt.weight.grad, theirs.prompt_encoder["default"].embedding.weight.grad, atol=1e-5)
    assert isinstance(ours.soft, SoftSlots)


def test_a_prefix_on_qwen2() -> None:
    from peft import PrefixTuningConfig

    loaded = load("qwen2")
    ours = attach(loaded, {"name": "p_tuning_v2", "length": 3})
    disturb(ours)
    theirs = peft_model("qwen2", PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    table = theirs.prompt_encoder["default"].embedding.weight
    layers, _, heads, length, size = ours.pairs().shape
    with torch.no_grad():
        table.copy_(ours.pairs().permute(3, 0, 1, 2, 4).reshape(length, -1))
    mine = loaded.model(input_ids=IDS).logits
    other = theirs(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
    assert torch.allclose(mine, other, atol=1e-5)
    loss(mine).backward()
    loss(other).backward()
    other_gradient = table.grad.view(length, layers, 2, heads, size).permute(1, 2, 3, 0, 4)
    assert torch.allclose(ours.deep.prompt.pairs.grad, other_gradient, atol=1e-5)
