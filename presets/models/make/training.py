"""The training loop that every embedded model shares: batches, learning rate, state on disk, and what a maker has to bring."""

from __future__ import annotations

import argparse
import os
import random
import time
from pathlib import Path
from typing import Any, Protocol

import torch
from text import BUILD, HERE, corpus

LENGTH = 128
Lines = dict[str, list[str]]


class Maker(Protocol):
    """One kind of embedded model. `weights` says how often a line of each origin is seen in a pass; below one, every 1/n-th line."""

    name: str
    peak: float
    decay: float
    weights: dict[str, float]
    piece_length: int

    def build(self, kept: Lines, folder: Path) -> Any:
        """A fresh model; its tokenizer is left in `folder`."""

    def loss(self, model: Any, rows: list[list[int]], generator: torch.Generator, device: torch.device) -> tuple[torch.Tensor, int]:
        """Mean loss of one batch and the number of tokens that the model read."""

    def measure(self, model: Any, tokenizer: Any, measured_on: Lines, device: torch.device) -> dict[str, float]:
        """Figures on lines that were never trained on."""

    def show(self, model: Any, tokenizer: Any, device: torch.device) -> dict[str, str]:
        """What the model makes of some fixed prompts."""

    def publish(self, model: Any, tokenizer: Any, target: Path, made: Made) -> None:
        """Writes weights, tokenizer and card into `target`."""


class Made:
    """What the card says of a model: measured figures, samples, lines by origin, tokens and steps."""

    def __init__(self, figures: dict[str, float], shown: dict[str, str], kept: Lines, tokens: int, steps: int) -> None:
        self.figures, self.shown, self.tokens, self.steps = figures, shown, tokens, steps
        self.origins = ", ".join(f"{origin} {len(lines):,}" for origin, lines in kept.items())


def make_sequences(kept: Lines, tokenizer: Any, maker: Maker) -> list[list[int]]:
    """Token ids per line, cut into pieces of the maker's length, each line as often as its origin's weight says."""
    sequences = []
    for origin, lines in kept.items():
        weight = maker.weights[origin]
        if weight < 1:
            lines = lines[:: round(1 / weight)]
        for ids in tokenizer(lines, add_special_tokens=False)["input_ids"]:
            for start in range(0, len(ids), maker.piece_length):
                piece = ids[start : start + maker.piece_length]
                if len(piece) >= 4:
                    sequences += [piece] * max(1, round(weight))
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


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Warm-up over 300 steps, constant, then a linear fall over the last fifth."""
    fall = int(steps * 0.8)
    return peak * min((step + 1) / 300, 1.0) * (1.0 if step < fall else max(0.0, (steps - step) / (steps - fall)))


def save_state(path: Path, **state) -> None:
    torch.save(state, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def train(maker: Maker, args: argparse.Namespace) -> None:
    """Trains to `args.steps`, or goes on from what lies in the build folder, and publishes."""
    from transformers import AutoTokenizer

    torch.manual_seed(args.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    folder = BUILD / maker.name
    folder.mkdir(parents=True, exist_ok=True)
    kept, measured_on = corpus(maker.name, args.heldout)
    model = maker.build(kept, folder).to(device)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    sequences = make_sequences(kept, tokenizer, maker)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, vocabulary {model.config.vocab_size}, "
          f"{len(sequences)} sequences, {sum(map(len, sequences)):,} tokens a pass", flush=True)
    optimizer = make_optimizer(model, maker)
    step, tokens = resume(folder, args.steps, model, optimizer, device)
    started, average, cache, fall = time.time(), None, {}, int(args.steps * 0.8)
    while step < args.steps:
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        torch.manual_seed(args.seed * 1_000_003 + step)
        rows = batch_at(step, sequences, cache, args.batch_tokens, args.seed)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args.steps, maker.peak)
        loss, read = maker.loss(model, rows, generator, device)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        tokens += read
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        if step % 100 == 0:
            print(f"{maker.name} step {step} loss {average:.3f} tokens {tokens:,} seconds {time.time() - started:.0f}", flush=True)
        if step % 100 == 0 or step in (fall, args.steps):
            state = {"step": step, "steps": args.steps, "tokens": tokens, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
            save_state(folder / "state.pt", **state)
            if step == fall:
                save_state(folder / "before_fall.pt", **state)
        if step % 500 == 0 or step in (fall, args.steps):
            print(f"{maker.name} held-out {maker.measure(model, tokenizer, measured_on, device)}", flush=True)
            for prompt, answer in maker.show(model, tokenizer, device).items():
                print("   ", prompt, "|", answer, flush=True)
    target = HERE / maker.name
    target.mkdir(exist_ok=True)
    figures = maker.measure(model, tokenizer, measured_on, device)
    maker.publish(model, tokenizer, target, Made(figures, maker.show(model, tokenizer, device), kept, tokens, step))
    print((target / "README.md").read_text(encoding="utf-8"), flush=True)


def make_optimizer(model: Any, maker: Maker) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": maker.decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=maker.peak, betas=(0.9, 0.98), fused=True)


def resume(folder: Path, steps: int, model: Any, optimizer: torch.optim.Optimizer, device: torch.device) -> tuple[int, int]:
    """Step and tokens of the newest state that a run of `steps` steps could have passed through; (0, 0) where there is none."""
    for state_name in ("state.pt", "before_fall.pt"):
        path = folder / state_name
        if path.exists():
            state = torch.load(path, map_location=device, weights_only=True)
            if state["step"] > int(state["steps"] * 0.8) and state["steps"] != steps:
                continue
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            print(f"going on from step {state['step']} ({state_name})", flush=True)
            return state["step"], state["tokens"]
    return 0, 0
