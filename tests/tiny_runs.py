"""A two-layer masked model, a separable data set and a recipe over both: a run that trains in about a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workbench.recipe import Recipe, recipe_from
from workbench.runs.record import UNFINISHED

STATUSES = (*UNFINISHED, "stopped", "interrupted", "finished", "failed")
"""All that a run can be."""
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "it",
    "was",
    ".",
    "the",
    "film",
    "food",
    "great",
    "terrible",
    "lovely",
    "awful",
    "nice",
    "bad",
]


def make_model(folder: Path, words: Sequence[str] = WORDS) -> Path:
    """A randomly initialised BERT of 2 layers and 32 dimensions that knows `words`."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=64
    )
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


def make_data(file: Path, rows: int = 48) -> Path:
    """Rows whose label follows from one word; the texts differ, so that splitting has something to order."""
    lines = ["id,text,label"]
    for number in range(rows):
        good = number % 2 == 0
        word = ("lovely", "nice")[number // 2 % 2] if good else ("awful", "bad")[number // 2 % 2]
        lines.append(f"{number},the {'film ' * (number % 5)}food {'the ' * (number // 5)}{word},{'pos' if good else 'neg'}")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def make_recipe(folder: Path, **assignments: object) -> Recipe:
    """A recipe over `make_model` and `make_data` in `folder`; keyword names use __ for the dots."""
    model, data = folder / "model", folder / "data.csv"
    if not model.exists():
        make_model(model)
        make_data(data)
    content = {
        "name": "tiny",
        "model": {"path": str(model), "device": "cpu"},
        "data": {"train": str(data), "columns": {"text": "text", "label": "label"}, "split": {"validation": 12}},
        "prompt": {
            "templates": ["{text} it was [MASK] ."],
            "verbalizer": {"kind": "manual", "words": {"pos": ["great"], "neg": ["terrible"]}},
            "max_length": 32,
        },
        "method": {"name": "full"},
        "training": {"epochs": 2, "batch_size": 8, "learning_rate": 0.003},
    }
    recipe = recipe_from(content, source="test")
    return recipe.replace({name.replace("__", "."): value for name, value in assignments.items()})
