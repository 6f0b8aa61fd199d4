"""What the comparisons work on: models by their shape, and rows as long as reviews are (mean 45 words, longest 225)."""

from __future__ import annotations

import csv
import random
from typing import Any

import torch

from workbench.data.dataset import InputExample
from workbench.models.families import family_of
from workbench.models.loading import LoadedModel
from workbench.recipe import PRESETS, PromptPart

LABELS = ("negative", "positive")
PROMPT = PromptPart(
    templates=["{text} It was [MASK] ."],
    verbalizer={"kind": "manual", "words": {"negative": ["terrible", "bad"], "positive": ["great", "good"]}},
    max_length=256,
)
VOCABULARY = 30522
MEAN_WORDS, LONGEST = 31, 225


def masked_model(layers: int, hidden: int) -> LoadedModel:
    """A BERT of random weights with bert-base's vocabulary and the embedded English tokenizer, in training mode's defaults."""
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    torch.manual_seed(13)
    tokenizer = AutoTokenizer.from_pretrained(PRESETS / "models" / "tiny-en", trust_remote_code=False)
    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=hidden // 64, intermediate_size=4 * hidden
    )
    model = BertForMaskedLM(config).eval()
    return LoadedModel(model, tokenizer, family_of(model, "masked"), "masked", "bench", "bench", torch.device("cpu"))


def causal_model(layers: int, hidden: int) -> LoadedModel:
    """A Qwen2 of random weights with the tokenizer and the number of words of `masked_model`."""
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(13)
    tokenizer = AutoTokenizer.from_pretrained(PRESETS / "models" / "tiny-en", trust_remote_code=False)
    heads = hidden // 64
    model = Qwen2ForCausalLM(Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=hidden, intermediate_size=4 * hidden, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=heads, max_position_embeddings=512,
    )).eval()  # fmt: skip
    return LoadedModel(model, tokenizer, family_of(model, "causal"), "causal", "bench", "bench", torch.device("cpu"))


def copy_of(loaded: LoadedModel) -> LoadedModel:
    """The same weights for another side."""
    import copy

    model: Any = copy.deepcopy(loaded.model)
    return LoadedModel(model, loaded.tokenizer, loaded.family, loaded.kind, loaded.name, loaded.fingerprint, loaded.device)


def review_rows(count: int, seed: int = 13) -> list[InputExample]:
    """Real sentences joined and cut to lengths drawn from a log-normal distribution, as reviews have them."""
    with open(PRESETS / "data" / "en_movie_reviews.csv", encoding="utf-8", newline="") as stream:
        texts = [row["text"] for row in csv.DictReader(stream)]
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        words: list[str] = []
        length = max(6, min(LONGEST, round(chance.lognormvariate(0, 0.75) * MEAN_WORDS * 0.75)))
        while len(words) < length:
            words += chance.choice(texts).split()
        rows.append(InputExample(str(number), {"text": " ".join(words[:length])}, LABELS[number % 2]))
    return rows
