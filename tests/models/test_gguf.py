"""A GGUF file in llama.cpp's layout, written here from plain Llama weights: the same logits, trained and refused."""

from __future__ import annotations

import json
import random
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import transformers as hf

from tests.prompts.tiny_tokenizers import qwen_like
from workbench.errors import ModelError
from workbench.models.card import model_card
from workbench.models.loading import load_model
from workbench.recipe import ModelPart, recipe_from
from workbench.runs.service import RunService

WIDTH, HEADS, PAIRS, INNER, LAYERS = 64, 4, 2, 96, 2


def permuted(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rotary halves interleaved, as llama.cpp stores queries and keys."""
    rows, width = weight.shape
    return weight.view(heads, 2, rows // heads // 2, width).swapaxes(1, 2).reshape(rows, width)


def write_gguf(file: Path, model: hf.LlamaForCausalLM, tokenizer: hf.PreTrainedTokenizerFast) -> Path:
    """The published layout: metadata by llama.cpp's keys, a byte-level BPE, and one tensor per weight."""
    writer = gguf.GGUFWriter(file, "llama")
    config = model.config
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(PAIRS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    state = tokenizer.backend_tokenizer.to_str()
    table = json.loads(state)["model"]
    names = [name for name, _ in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(names)
    kinds = [gguf.TokenType.CONTROL if name in tokenizer.all_special_tokens else gguf.TokenType.NORMAL for name in names]
    writer.add_token_types(kinds)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in table["merges"]])
    end = tokenizer.convert_tokens_to_ids(tokenizer.eos_token)
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    weights = model.state_dict()
    names_of = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
                "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
                "post_attention_layernorm": "ffn_norm"}  # fmt: skip

    def add(name: str, weight: torch.Tensor) -> None:
        writer.add_tensor(f"{name}.weight", weight.detach().float().numpy().astype(np.float32))

    add("token_embd", weights["model.embed_tokens.weight"])
    add("output_norm", weights["model.norm.weight"])
    add("output", weights["lm_head.weight"])
    for layer in range(LAYERS):
        for own, theirs in names_of.items():
            weight = weights[f"model.layers.{layer}.{own}.weight"]
            heads = {"attn_q": HEADS, "attn_k": PAIRS}.get(theirs)
            add(f"blk.{layer}.{theirs}", permuted(weight, heads) if heads else weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.fixture(scope="module")
def plain() -> tuple[hf.LlamaForCausalLM, hf.PreTrainedTokenizerFast]:
    tokenizer = qwen_like()
    torch.manual_seed(0)
    config = hf.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, num_key_value_heads=PAIRS,
        intermediate_size=INNER, max_position_embeddings=256, rms_norm_eps=1e-5, tie_word_embeddings=False,
    )  # fmt: skip
    return hf.LlamaForCausalLM(config).eval(), tokenizer


@pytest.fixture(scope="module")
def file(plain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", *plain)


def test_logits_are_those_of_the_weights_that_were_written(plain, file: Path) -> None:
    model, tokenizer = plain
    loaded = load_model(ModelPart(path=str(file), device="cpu", dtype="float32"))
    assert loaded.kind == "causal" and loaded.family.name == "llama"
    text = "it was great 这本书很好"
    assert loaded.tokenizer(text)["input_ids"] == tokenizer(text)["input_ids"]
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(input_ids=ids).logits, model(input_ids=ids).logits, rtol=1e-4, atol=1e-4)


def test_its_card_needs_no_weights(file: Path) -> None:
    card = model_card(str(file))
    assert (card.layers, card.heads, card.kv_heads, card.hidden_size) == (LAYERS, HEADS, PAIRS, WIDTH)


def test_it_trains(file: Path, tmp_path: Path) -> None:
    rows = "".join(f"film {i} great,pos\nfilm {i} awful,neg\n" for i in range(12))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows, encoding="utf-8")
    recipe = recipe_from(
        {
            "model": {"path": str(file), "device": "cpu"},
            "data": {"train": str(tmp_path / "rows.csv"), "split": {"shots": 8, "validation": 4}},
            "prompt": {"templates": ["{text} it was [MASK]"], "verbalizer": {"words": {"pos": ["great"], "neg": ["bad"]}}},
            "method": {"name": "lora", "r": 4}, "training": {"epochs": 2, "learning_rate": 0.01},
        },
        source="test",
    )  # fmt: skip
    service = RunService(tmp_path / "root")
    try:
        view = service.wait(service.submit(recipe), 120)
        assert view.status == "finished", view.error
    finally:
        service.close()


def test_what_cannot_be_read_is_said(file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(file.read_bytes()[:600])
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(ModelPart(path=str(broken), device="cpu"))
    with pytest.raises(ModelError, match="cannot be quantized"):
        load_model(ModelPart(path=str(file), device="cpu", quantization="nf4"))


@pytest.mark.parametrize("seed", range(8))
def test_an_altered_header_is_read_or_refused(file: Path, tmp_path: Path, seed: int) -> None:
    dice, content = random.Random(seed), bytearray(file.read_bytes())
    for _ in range(3):
        content[dice.randrange(4, 2000)] = dice.randrange(256)
    altered = tmp_path / "altered.gguf"
    altered.write_bytes(content)
    for read in (lambda: model_card(str(altered)), lambda: load_model(ModelPart(path=str(altered), device="cpu"))):
        try:
            read()
        except ModelError as error:
            assert error.fix
