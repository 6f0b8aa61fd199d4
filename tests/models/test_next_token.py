"""The chunked loss against transformers' own, value and gradients, on every causal family."""

from __future__ import annotations

import pytest
import torch

from tests.models.tiny import CAUSAL, make_model
from workbench.models import next_token
from workbench.models.families import family_of
from workbench.models.loading import LoadedModel
from workbench.models.next_token import IGNORED, next_token_loss


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    ids = torch.randint(4, 100, (3, 11))
    mask = torch.ones_like(ids)
    mask[1, 8:] = 0
    labels = ids.masked_fill(torch.rand(ids.shape) < 0.5, IGNORED).masked_fill(mask == 0, IGNORED)
    return ids, mask, labels


@pytest.mark.parametrize("frozen_head", [True, False])
@pytest.mark.parametrize("name", sorted(CAUSAL))
def test_loss_and_gradients_equal_those_of_all_logits(name: str, frozen_head: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_token, "CHUNK_BYTES", 4 * 128 * 5)  # five rows a chunk
    model = make_model(name, tied=False)
    output = model.get_output_embeddings()
    output.requires_grad_(not frozen_head)
    loaded = LoadedModel(model, None, family_of(model, "causal"), "causal", name, "", torch.device("cpu"))
    ids, mask, labels = batch()
    count = (labels[:, 1:] != IGNORED).sum()
    watched = [p for p in model.parameters() if p.requires_grad]
    expected = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    wanted = torch.autograd.grad(expected, watched, allow_unused=True)
    loss = next_token_loss(loaded, ids, mask, labels) / count
    found = torch.autograd.grad(loss, watched, allow_unused=True)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_no_tensor_over_the_whole_vocabulary_and_all_positions_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_token, "CHUNK_BYTES", 4 * 128 * 4)
    model = make_model("qwen2", tied=False)
    model.requires_grad_(False)
    model.model.layers[0].self_attn.q_proj.weight.requires_grad_(True)
    loaded = LoadedModel(model, None, family_of(model, "causal"), "causal", "x", "", torch.device("cpu"))
    ids, mask, labels = batch()
    kept: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.shape[-1] == 128 and tensor.requires_grad:
            kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = next_token_loss(loaded, ids, mask, labels)
    loss.backward()
    assert kept == []
