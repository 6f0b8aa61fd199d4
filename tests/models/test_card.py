"""Model cards against published numbers and against the loaded models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers as hf

from tests.models.tiny import ARCHITECTURES, make_model
from workbench.errors import ModelError
from workbench.models.card import card_of, model_card
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
    card = model_card(ModelPart(path=str(tmp_path), dtype="bfloat16"))
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


def held_bytes(model: torch.nn.Module) -> int:
    """Everything that a loaded model's weights hold: parameters, and the scales that bitsandbytes keeps beside them."""
    held: list[torch.Tensor] = []
    for parameter in model.parameters():
        held += [parameter, *(tensor for tensor in (getattr(parameter, "SCB", None),) if tensor is not None)]
        state = getattr(parameter, "quant_state", None)
        held += [state.absmax, *([state.state2.absmax] if state.nested else [])] if state is not None else []
    return sum({tensor.data_ptr(): tensor.nbytes for tensor in held}.values())


@pytest.mark.parametrize("quantization", ["none", "int8", "nf4", "fp4"])
@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
@pytest.mark.parametrize("name", ["tiny-en", "tiny-qwen"])
def test_a_card_says_what_the_model_takes_once_it_is_loaded(name: str, dtype: str, quantization: str) -> None:
    part = ModelPart(path=f"embedded:{name}", quantization=quantization, dtype=dtype, device="cpu")
    before, loaded = model_card(part), load_model(part)
    assert abs(before.memory[quantization] / held_bytes(loaded.model) - 1) < 0.1
    assert model_card(loaded).memory == before.memory, "loaded or not, it is one model"


@pytest.mark.parametrize("bits", ["nf4", "fp4"])
def test_scales_that_are_not_quantized_again_take_what_the_card_says(bits: str) -> None:
    part = ModelPart(path="embedded:tiny-qwen", quantization=bits, double_quantization=False, device="cpu")
    card, loaded = model_card(part), load_model(part)
    # A float32 for 64 weights instead of a byte and a float32 for 64 x 256.
    more = card.memory[bits] - model_card(part.model_copy(update={"double_quantization": True})).memory[bits]
    assert abs(more / (card.linear_parameters * (4 / 64 - 1 / 64 - 4 / (64 * 256))) - 1) < 0.001
    assert abs(card.memory[bits] / held_bytes(loaded.model) - 1) < 0.01
    assert model_card(loaded).memory == card.memory


def test_the_card_of_a_large_causal_model_is_in_the_type_that_loading_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text(json.dumps(QWEN_7B))
    part = ModelPart(path=str(tmp_path), device="cpu")
    card = model_card(part)
    assert (card.memory_dtype, round(card.memory["none"] / 2**30, 1)) == ("float32", 28.4)
    assert card.cache_bytes_per_token == 2 * 57_344, "keys and values are of the same type"
    monkeypatch.setattr("workbench.models.card.find_device", torch.device)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: True)
    card = model_card(part.model_copy(update={"device": "cuda"}))
    assert (card.memory_dtype, round(card.memory["none"] / 2**30, 1)) == ("bfloat16", 14.2)


def test_an_architecture_without_a_file_has_the_figures_of_its_configuration_and_none_that_are_made_up() -> None:
    smol = card_of(hf.SmolLM3Config(), "causal", "smollm3")
    assert smol.feed_forward_size == 11_008 and smol.gated and smol.norms == [True, False, True, False]
    assert smol.parameters_by_part["feed_forward"] == 36 * 3 * 2048 * 11_008
    assert smol.parameters_by_part["normalisation_and_other"] == 36 * 2 * 2048 + 2048
    assert {"RoPE", "RMSNorm", "SwiGLU", "pre-normalisation"} <= set(smol.features)
    modern = card_of(hf.ModernBertConfig(), "masked", "modernbert")  # one map of twice the width, and norms of its own naming
    assert (modern.feed_forward_size, modern.gated, modern.norms) == (1152, True, None) and modern.parameters_by_part["feed_forward"] > 0


@pytest.mark.parametrize("config", [hf.MambaConfig, hf.Mamba2Config, hf.RwkvConfig, hf.FNetConfig])
def test_an_architecture_without_attention_has_a_card_that_says_so(config) -> None:
    card = card_of(config(num_hidden_layers=2), "masked" if config is hf.FNetConfig else "causal", "unusual")
    assert card.heads == card.kv_heads == card.cache_bytes_per_token == 0 and "no attention heads" in card.features


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
