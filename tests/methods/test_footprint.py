"""Estimates against what autograd, the optimizer and the loaded model really hold, for every method."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers as hf

from workbench.methods import attach, check_method, method_names
from workbench.methods.footprint import activation_bytes, footprint, kept_bytes
from workbench.models.families import family_of
from workbench.models.loading import LoadedModel, load_model
from workbench.recipe import ModelPart, PromptPart, Recipe

SHAPE = {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 512}
BATCH, LENGTH = 4, 64


@pytest.fixture(scope="module")
def tokenizer():
    return load_model(ModelPart(path="embedded:tiny-zh", device="cpu")).tokenizer


@pytest.mark.parametrize("kind", ["masked", "causal"])
@pytest.mark.parametrize("name", method_names())
def test_activations_and_parameters_of_every_method(tokenizer, name: str, kind: str) -> None:
    rows = len(tokenizer)
    grouped = {"num_key_value_heads": 2} if kind == "causal" else {}
    config = (hf.BertConfig if kind == "masked" else hf.Qwen2Config)(**SHAPE, vocab_size=rows, **grouped)
    options, prompt = check_method({"name": name}), PromptPart()
    estimated, trainable = activation_bytes(config, kind, options, prompt, tokenizer, batch_size=BATCH, length=LENGTH)
    model = (hf.BertForMaskedLM if kind == "masked" else hf.Qwen2ForCausalLM)(copy.deepcopy(config))
    loaded = LoadedModel(model, tokenizer, family_of(model, kind), kind, "x", "", torch.device("cpu"))
    attached = attach(loaded, options, keep_original=False, prompt=prompt)
    model.train()
    ids = torch.randint(4, rows, (BATCH, LENGTH - attached.positions))
    backbone = loaded.family.backbone(model)
    measured = kept_bytes(model, lambda: backbone(input_ids=ids, **({"use_cache": False} if kind == "causal" else {})))
    assert trainable == attached.trainable_parameters
    # Within a tenth; below a megabyte (only the head trains) the difference does not matter to anybody.
    assert abs(estimated - measured) <= max(0.1 * measured, 2**18), (estimated, measured)


def test_what_would_fit_is_said(tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(model={"path": "embedded:tiny-zh", "device": "cpu"}, method={"name": "full"})
    whole = footprint(recipe, tokenizer)
    assert whole.fits and whole.advice == ()
    # Weights, gradients and AdamW's two moments of 4 bytes each; a full fine-tuning trains every parameter once.
    assert whole.estimate.gradients == 4 * whole.trainable and whole.estimate.optimizer == 8 * whole.trainable
    monkeypatch.setattr("workbench.methods.footprint.free_bytes", lambda device: whole.estimate.total - 1)
    short = footprint(recipe, tokenizer)
    assert not short.fits and short.advice[0][0] == "training.gradient_checkpointing"
    assert all(total < whole.estimate.total for _, _, total in short.advice)
