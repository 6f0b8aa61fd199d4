"""Model cards against published numbers and against the loaded models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.models.tiny import ARCHITECTURES, make_model, save_model
from workbench.errors import ModelError
from workbench.models.card import model_card
from workbench.models.loading import load_model
from workbench.recipe import ModelPart

# config.json of Qwen2.5-7B-Instruct, what matters of it.
QWEN_7B = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
    "vocab_size": 152064,
}


def test_qwen_7b_from_its_configuration_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(QWEN_7B))
    card = model_card(str(tmp_path))
    assert card.parameters == 7_615_616_512  # the published count at vocabulary 152,064
    assert card.cache_bytes_per_token == 57_344  # 2 x 28 layers x 4 heads x 128 x 2 bytes
    assert card.cache_bytes_per_token_all_heads == 401_408
    assert sum(card.parameters_by_part.values()) == card.parameters
    assert (card.heads, card.kv_heads, card.layers, card.hidden_size) == (28, 4, 28, 3584)
    assert {"grouped-query attention", "SwiGLU", "RoPE", "RMSNorm"} <= set(card.features)
    # 14.2 GiB in bfloat16, 8.1 in int8, 5.2 in nf4 with double quantization.
    assert {q: round(taken / 2**30, 1) for q, taken in card.memory.items()} == {"none": 14.2, "int8": 8.1, "nf4": 5.2, "fp4": 5.2}
    assert json.loads(json.dumps(card.to_json()))["family"] == "qwen2"


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_counts_equal_the_real_model(tmp_path: Path, name: str) -> None:
    model = make_model(name)
    folder = tmp_path / name
    folder.mkdir()
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    card = model_card(str(folder))
    assert card.parameters == sum(p.numel() for p in model.parameters())
    assert sum(card.parameters_by_part.values()) == card.parameters
    assert min(card.parameters_by_part["embeddings"], card.parameters_by_part["attention"]) > 0
    assert (card.hidden_size, card.heads, card.vocabulary) == (32, 4, 128)
    assert "tied embeddings" in card.features
    assert (card.cache_bytes_per_token == 0) == (card.kind == "masked")


@pytest.mark.parametrize("quantization", ["none", "int8", "nf4", "fp4"])
@pytest.mark.parametrize("name", ["bert", "llama"])
def test_memory_equals_the_loaded_footprint(tmp_path: Path, name: str, quantization: str) -> None:
    from workbench.models.memory import weights_bytes

    folder = save_model(tmp_path / name, name)
    loaded = load_model(ModelPart(path=str(folder), quantization=quantization, device="cpu"))
    card = model_card(loaded)
    expected = weights_bytes(card.linear_parameters, card.linear_rows, card.parameters - card.linear_parameters, quantization, "float32")
    # get_memory_footprint counts neither the scales of 4-bit nor those of 8-bit weights.
    four_bit = round(card.linear_parameters * (1 / 64 + 4 / (64 * 256)))
    scales = {"none": 0, "int8": 4 * card.linear_rows}.get(quantization, four_bit)
    assert loaded.model.get_memory_footprint(return_buffers=False) == expected - scales


def test_a_half_precision_card_leaves_the_default_type_of_other_threads_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text(json.dumps(QWEN_7B | {"dtype": "float16"}))
    set_to = []
    monkeypatch.setattr(torch, "set_default_dtype", set_to.append)
    model_card(str(tmp_path))
    assert set(set_to) <= {torch.float32}


def test_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(QWEN_7B | {"num_attention_heads": 0}))
    with pytest.raises(ModelError):
        model_card(str(tmp_path))


def test_a_card_leaves_the_default_dtype_alone(monkeypatch):
    seen = []
    monkeypatch.setattr(torch, "set_default_dtype", lambda dtype: seen.append(dtype))
    model_card("embedded:tiny-en")
    assert torch.float16 not in seen
