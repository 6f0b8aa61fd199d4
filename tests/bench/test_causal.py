"""Both sides of P4 learn the same thing from the same batch."""

from __future__ import annotations

from pathlib import Path

import torch

from workbench.bench.causal import Shape, hf_side, make_batch, make_model, our_side

TINY = Shape(layers=2, width=64, vocabulary=300, rows=3, longest=12)


def test_both_sides_see_the_same_loss_and_run(tmp_path: Path) -> None:
    from workbench.bench.causal import _collate
    from workbench.models.families import family_of
    from workbench.models.loading import LoadedModel
    from workbench.models.next_token import next_token_loss

    model, batch = make_model(TINY), make_batch(TINY)
    tensors = _collate([{"input_ids": ids, "labels": labels} for ids, labels in batch])
    loaded = LoadedModel(model, None, family_of(model, "causal"), "causal", "x", "", torch.device("cpu"))
    ours = next_token_loss(loaded, **tensors) / (tensors["labels"][:, 1:] != -100).sum()
    torch.testing.assert_close(ours, model(**tensors).loss, rtol=1e-5, atol=1e-6)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    hf_side(model, batch, tmp_path)()
    our_side(model, batch, checkpointing=True)()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
