"""A small Baichuan checkpoint in the published layout, and its forward pass written from the papers' equations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

# config.json of Baichuan-7B as published, without the fields that only its own code reads.
BAICHUAN_7B = {
    "architectures": ["BaiChuanForCausalLM"],
    "auto_map": {"AutoConfig": "configuration_baichuan.BaiChuanConfig", "AutoModelForCausalLM": "modeling_baichuan.BaiChuanForCausalLM"},
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 11008,
    "max_position_embeddings": 4096, "model_type": "baichuan", "num_attention_heads": 32, "num_hidden_layers": 32,
    "rms_norm_eps": 1e-06, "tie_word_embeddings": False, "torch_dtype": "bfloat16", "vocab_size": 64000,
}  # fmt: skip
SMALL = BAICHUAN_7B | {
    "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_hidden_layers": 2, "max_position_embeddings": 64,
    "torch_dtype": "float32",
}  # fmt: skip
SECOND = {"architectures": ["BaichuanForCausalLM"]}  # how the second generation's config differs, beside its vocabulary
BAICHUAN_13B = {
    "architectures": ["BaichuanForCausalLM"], "model_type": "baichuan", "hidden_size": 5120, "intermediate_size": 13696,
    "model_max_length": 4096, "num_attention_heads": 40, "num_hidden_layers": 40, "vocab_size": 64000, "rms_norm_eps": 1e-06,
}  # fmt: skip


def small_sentencepiece(folder: Path, texts: list[str], size: int) -> Path:
    """A SentencePiece file as the first generation's, of at most so many pieces."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=str(folder / "spm"), model_type="bpe", vocab_size=size, character_coverage=1.0,
        pad_id=-1, minloglevel=2, byte_fallback=True, hard_vocab_limit=False, normalization_rule_name="identity",
        remove_extra_whitespaces=False,
    )  # fmt: skip
    return folder / "spm.model"


def weights(config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Random weights under the names of the published checkpoints, with the buffers that they carry along."""
    torch.manual_seed(3)
    hidden, inner, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    made = {"model.embed_tokens.weight": torch.randn(vocabulary, hidden), "model.norm.weight": torch.rand(hidden) + 0.5}
    made["lm_head.weight"] = torch.randn(vocabulary, hidden) * 0.3
    for layer in range(config["num_hidden_layers"]):
        name = f"model.layers.{layer}."
        made |= {
            name + "self_attn.W_pack.weight": torch.randn(3 * hidden, hidden) * 0.2,
            name + "self_attn.o_proj.weight": torch.randn(hidden, hidden) * 0.2,
            name + "self_attn.rotary_emb.inv_freq": torch.rand(hidden // config["num_attention_heads"] // 2),
            name + "mlp.gate_proj.weight": torch.randn(inner, hidden) * 0.2,
            name + "mlp.up_proj.weight": torch.randn(inner, hidden) * 0.2,
            name + "mlp.down_proj.weight": torch.randn(hidden, inner) * 0.2,
            name + "input_layernorm.weight": torch.rand(hidden) + 0.5,
            name + "post_attention_layernorm.weight": torch.rand(hidden) + 0.5,
        }
    return {name: tensor.to(getattr(torch, config["torch_dtype"])) for name, tensor in made.items()}


def write(folder: Path, config: dict[str, Any], tokenizer_model: Path, *, shards: int = 2, form: str = "bin") -> dict[str, torch.Tensor]:
    """Writes a checkpoint: `shards` files as .bin or .safetensors with their index, config.json, tokenizer.model."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    made = weights(config)
    stem, suffix = ("pytorch_model", "bin") if form == "bin" else ("model", "safetensors")
    names = sorted(made)
    placed: dict[str, str] = {}
    for number in range(shards):
        file = f"{stem}-{number + 1:05d}-of-{shards:05d}.{suffix}"
        part = {name: made[name] for name in names[number::shards]}
        placed |= dict.fromkeys(part, file)
        if form == "bin":
            torch.save(part, folder / file)
        else:
            save_file(part, folder / file)
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.model").write_bytes(tokenizer_model.read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": False, "tokenizer_class": "BaiChuanTokenizer"}))
    return made


def reference(made: dict[str, torch.Tensor], config: dict[str, Any], ids: torch.Tensor, *, norm_head: bool) -> torch.Tensor:
    """Logits [T, V] of token ids [T].

    Pre-normalisation with RMSNorm (Zhang & Sennrich 2019, eq. 4), rotary positions (Su et al. 2021, eq. 34, pairs i and i + d/2),
    causal softmax attention, SwiGLU (Shazeer 2020, eq. 6), and for the second generation logits = h . w / |w| (Baichuan 2, section 2.5).
    """
    heads, length = config["num_attention_heads"], len(ids)
    size = config["hidden_size"] // heads

    def rms(x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + config["rms_norm_eps"]) * gain

    angle = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, size, 2) / size)[None, :]
    cos, sin = torch.cos(angle)[:, None], torch.sin(angle)[:, None]

    def turned(x: torch.Tensor) -> torch.Tensor:
        first, second = x[..., : size // 2], x[..., size // 2 :]
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

    x = made["model.embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        name = f"model.layers.{layer}."
        packed = rms(x, made[name + "input_layernorm.weight"]) @ made[name + "self_attn.W_pack.weight"].T
        q, k, v = (part.reshape(length, heads, size) for part in packed.split(config["hidden_size"], dim=-1))
        scores = torch.einsum("ihd,jhd->hij", turned(q), turned(k)) / size**0.5
        scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), float("-inf"))
        mixed = torch.einsum("hij,jhd->ihd", scores.softmax(-1), v).reshape(length, -1)
        x = x + mixed @ made[name + "self_attn.o_proj.weight"].T
        y = rms(x, made[name + "post_attention_layernorm.weight"])
        gate = y @ made[name + "mlp.gate_proj.weight"].T
        x = x + (gate * torch.sigmoid(gate) * (y @ made[name + "mlp.up_proj.weight"].T)) @ made[name + "mlp.down_proj.weight"].T
    head = made["lm_head.weight"]
    return rms(x, made["model.norm.weight"]) @ (head / head.norm(dim=1, keepdim=True) if norm_head else head).T
