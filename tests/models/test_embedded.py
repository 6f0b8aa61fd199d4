"""The models that come with the workbench: small, in half precision, with a card, and they have learnt language."""

from __future__ import annotations

import random

import pytest
import torch
from safetensors import safe_open

from workbench.models.loading import load_model
from workbench.recipe import PRESETS, ModelPart

FOLDER = PRESETS / "models"
NAMES = ("tiny-en", "tiny-zh", "tiny-qwen")


def load(name: str):
    return load_model(ModelPart(path=f"embedded:{name}", device="cpu"))


def test_they_are_small_and_in_half_precision_and_say_how_they_were_made():
    weights = {name: FOLDER / name / "model.safetensors" for name in NAMES}
    assert sum(file.stat().st_size for name in NAMES for file in (FOLDER / name).iterdir()) < 60e6
    assert weights["tiny-qwen"].stat().st_size < 20e6
    for name, file in weights.items():
        with safe_open(file, "pt") as tensors:
            assert {tensors.get_slice(key).get_dtype() for key in tensors.keys()} == {"F16"}  # noqa: SIM118 - no mapping
        card = (FOLDER / name / "README.md").read_text(encoding="utf-8")
        assert all(word in card for word in ("held-out", "icence", "presets/models/make"))


@pytest.mark.parametrize(
    ("name", "text", "fitting"),
    [
        ("tiny-en", "The movie was really [MASK].", {"funny", "good", "great", "bad", "beautiful"}),
        ("tiny-zh", "这本书很[MASK]。", set("好快差棒强美")),
    ],
)
def test_masked_models_fill_in_an_adjective_that_fits(name, text, fitting):
    loaded = load(name)
    ids = loaded.tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        logits = loaded.model(**ids).logits[0, ids["input_ids"][0].tolist().index(loaded.tokenizer.mask_token_id)]
    top = {loaded.tokenizer.decode([number]).strip() for number in logits.topk(5).indices.tolist()}
    assert len(top & fitting) >= 3, top


@pytest.mark.parametrize(
    "sentences",
    [
        ["The movie is about the life of a young man.", "I bought this phone and it works very well.", "It is not a good film."],
        ["这家酒店的房间很干净，服务态度也不错。", "这本书的内容很丰富，值得一看。", "电脑的性能不错，但是价格太高。"],
    ],
    ids=["en", "zh"],
)
def test_the_causal_model_prefers_sentences_to_their_words_in_disorder(sentences):
    loaded = load("tiny-qwen")
    config = loaded.model.config
    assert config.model_type == "qwen2" and config.num_key_value_heads < config.num_attention_heads

    def loss(ids: list[int]) -> float:
        row = torch.tensor([[0, *ids]])
        with torch.no_grad():
            return loaded.model(input_ids=row, labels=row).loss.item()

    for number, sentence in enumerate(sentences):
        ids = loaded.tokenizer(sentence, add_special_tokens=False)["input_ids"]
        assert loaded.tokenizer.decode(ids) == sentence
        disorder = ids.copy()
        random.Random(number).shuffle(disorder)
        assert loss(ids) < loss(disorder) - 1
