"""Folders as the catalog's models are published, with random weights: their very configuration at one layer, a small tokenizer.

The vocabulary alone is smaller than theirs: Qwen's 152,064 rows twice over 3,584 numbers would be 4 GiB. Qwen's token ids
lie above the small one's rows, so they are those of the same tokens in it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from safetensors.torch import save_file

from tests.models import baichuan_layout
from tests.prompts.test_chat import CHATML
from tests.prompts.tiny_tokenizers import byte_level, wordpieces
from workbench.models.baichuan import convert_baichuan
from workbench.models.catalog import config_of
from workbench.models.sizes import empty_model
from workbench.recipe import Recipe

ROWS = 3072
"""Rows of the word embeddings, more than the small tokenizers fill, as in most published models."""
QWEN = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]  # 151643 to 151645
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def model_folder(recipe: Recipe, root: Path, texts: list[str]) -> Path:
    """The folder of a catalog recipe's model in `root`, made on first use; a Baichuan checkpoint is written as published, and converted."""
    folder = root / recipe.model.path.rpartition("/")[2]
    if folder.exists():
        return folder
    config = config_of(recipe) | {"num_hidden_layers": 1, "vocab_size": ROWS}
    torch.manual_seed(5)
    if config["model_type"] == "baichuan":
        return _baichuan(config, folder, texts)
    kinds: dict[str, Any] = {"bert": _bert_tokenizer, "roberta": _roberta_tokenizer}
    tokenizer = kinds.get(config["model_type"], _qwen_tokenizer)(texts)
    if config["model_type"].startswith("qwen"):
        config |= {"bos_token_id": 0, "eos_token_id": 2, "dtype": "bfloat16"}
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config))
    _write_weights(folder, config)
    return folder


def _write_weights(folder: Path, config: dict[str, Any]) -> None:
    """Random weights under the names of transformers' own classes, of BERT under those of its checkpoints, which are older: LayerNorm's
    gamma and beta, and parts that no masked model reads."""
    kind = "masked" if config["architectures"][0].endswith("ForMaskedLM") else "causal"
    model = empty_model(hf.AutoConfig.from_pretrained(folder, trust_remote_code=False), kind)
    dtype = getattr(torch, config.get("dtype", "float32"))
    made = {name: _random(name, p.shape).to(dtype) for name, p in model.named_parameters()}
    if config["model_type"] == "bert":
        size = config["hidden_size"]
        old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        made = {next((name.replace(new, was) for new, was in old.items() if name.endswith(new)), name): p for name, p in made.items()}
        for name, rows in (("bert.pooler.dense", size), ("cls.seq_relationship", 2)):
            made |= {f"{name}.weight": torch.zeros(rows, size), f"{name}.bias": torch.zeros(rows)}
    save_file(made, folder / "model.safetensors", metadata={"format": "pt"})


def _random(name: str, shape: torch.Size) -> torch.Tensor:
    """A matrix repeats one block of random numbers, which is made in no time."""
    if len(shape) == 1:
        return torch.ones(shape) if "norm" in name.lower() and name.endswith("weight") else torch.zeros(shape)
    return (torch.randn(1_000_003) * 0.02).repeat(shape.numel() // 1_000_003 + 1)[: shape.numel()].view(shape).clone()


def _baichuan(config: dict[str, Any], folder: Path, texts: list[str]) -> Path:
    source = folder.with_name(f"{folder.name}-published")
    baichuan_layout.write(source, config, baichuan_layout.small_sentencepiece(folder.parent, texts, ROWS))
    convert_baichuan(source, folder)
    for shard in source.glob("*.bin"):
        shard.unlink()
    return folder


def _bert_tokenizer(texts: list[str]) -> Any:
    return hf.BertTokenizer(vocab=wordpieces(texts, ROWS).get_vocab())


def _roberta_tokenizer(texts: list[str]) -> Any:
    return hf.RobertaTokenizer(**_vocabulary(byte_level(ROBERTA, texts, ROWS)))


def _qwen_tokenizer(texts: list[str]) -> Any:
    tokenizer = hf.Qwen2Tokenizer(
        **_vocabulary(byte_level(QWEN, texts, ROWS)), eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHATML,
        extra_special_tokens=["<|im_start|>"],
    )  # fmt: skip
    assert tokenizer.convert_tokens_to_ids(QWEN) == [0, 1, 2]
    return tokenizer


def _vocabulary(tokenizer: Any) -> dict[str, Any]:
    model = json.loads(tokenizer.to_str())["model"]
    return {"vocab": model["vocab"], "merges": [tuple(pair) for pair in model["merges"]]}
