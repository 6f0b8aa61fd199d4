"""P4: LoRA on a causal model with a large vocabulary, against HF Trainer with peft on the same batch, targets and rank."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.bench.comparison import Row, Scale, comparison
from workbench.bench.measure import Figures, interleaved, ratio

STEPS = 2
RANK = 8


@dataclass(frozen=True)
class Shape:
    """A Qwen2 shape and one batch. `answers` of the tokens of each row are learnt."""

    layers: int
    width: int
    vocabulary: int
    rows: int
    longest: int

    def __str__(self) -> str:
        return f"{self.layers}x{self.width}, vocabulary {self.vocabulary:,}, {self.rows} rows"


FULL = Shape(layers=8, width=512, vocabulary=151_936, rows=16, longest=160)
QUICK = Shape(layers=4, width=256, vocabulary=32_000, rows=8, longest=96)


@comparison("P4", "LoRA on a causal model with a large vocabulary")
def causal_lora(scale: Scale) -> list[Row]:
    """Tokens a second and memory above the weights, without and with gradient checkpointing."""
    shape = QUICK if scale.quick else FULL
    model, batch = make_model(shape), make_batch(shape)
    sides = {
        "HF Trainer + peft": hf_side(model, batch, scale.folder),
        "ours": our_side(model, batch, checkpointing=False),
        "ours, checkpointing": our_side(model, batch, checkpointing=True),
    }
    figures = interleaved(sides, rounds=scale.rounds, flops=not scale.quick)
    tokens, answers = sum(len(ids) for ids, _ in batch), sum(label != -100 for _, labels in batch for label in labels)
    work = f"LoRA, {shape}, {tokens:,} tokens of which {answers} are learnt"
    note = "a reduced vocabulary" if scale.quick else ""
    rows: list[Row] = []
    for side, faster, smaller in (("ours", 2.2, 0.35), ("ours, checkpointing", 1.6, 0.24)):
        rows += _rows(work, side, figures, faster, smaller, note)
    return rows


def _rows(work: str, side: str, figures: dict[str, Figures], faster: float, smaller: float, note: str) -> list[Row]:
    ours, theirs = figures[side], figures["HF Trainer + peft"]
    plain = {"ours": ours.to_json(), "theirs": theirs.to_json(), "steps": STEPS}
    label = work + (" (checkpointing)" if "checkpointing" in side else "")
    share = round(ours.peak_bytes / max(theirs.peak_bytes, 1), 3)
    return [
        Row("P4", label, "HF Trainer + peft", ratio(ours, theirs), faster, figures=plain, note=note),
        Row("P4", f"{label}: memory", "HF Trainer + peft", share, smaller, unit="", at_most=True, figures=plain, note=note),
    ]


def make_model(shape: Shape) -> Any:
    """A random Qwen2 with one key/value head for four query heads."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    heads = max(4, shape.width // 64)
    return Qwen2ForCausalLM(Qwen2Config(
        vocab_size=shape.vocabulary, hidden_size=shape.width, intermediate_size=shape.width * 4, num_hidden_layers=shape.layers,
        num_attention_heads=heads, num_key_value_heads=heads // 4, tie_word_embeddings=True, max_position_embeddings=512,
    ))  # fmt: skip


def make_batch(shape: Shape) -> list[tuple[list[int], list[int]]]:
    """Rows of instruction lengths, the last 44 % of each learnt (730 of 1,663 tokens in the measurement that set the goal)."""
    generator = random.Random(7)
    rows = []
    for _ in range(shape.rows):
        length = generator.randint(shape.longest // 3, shape.longest)
        ids = [generator.randrange(10, shape.vocabulary) for _ in range(length)]
        start = int(length * 0.56)
        rows.append((ids, [-100] * start + ids[start:]))
    return rows


def hf_side(model: Any, batch: list[tuple[list[int], list[int]]], folder: Path) -> Callable[[], None]:
    """STEPS steps of a stock Trainer over a peft model: logits and their softmax at every position."""
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainingArguments

    tuned = get_peft_model(copy.deepcopy(model), LoraConfig(r=RANK, lora_alpha=16, target_modules=["q_proj", "v_proj"]))
    rows = [{"input_ids": ids, "labels": labels} for ids, labels in batch] * STEPS

    def run() -> None:
        arguments = TrainingArguments(
            output_dir=str(folder / "hf"), per_device_train_batch_size=len(batch), num_train_epochs=1, report_to=[], save_strategy="no",
            disable_tqdm=True, use_cpu=True, logging_strategy="no",
        )  # fmt: skip
        Trainer(model=tuned, args=arguments, train_dataset=rows, data_collator=_collate).train()

    return run


def our_side(model: Any, batch: list[tuple[list[int], list[int]]], *, checkpointing: bool) -> Callable[[], None]:
    """The same steps by the workbench's own loss, method and optimizer."""
    import torch

    from workbench.methods import attach, check_method
    from workbench.models.families import family_of
    from workbench.models.loading import LoadedModel
    from workbench.models.next_token import next_token_loss
    from workbench.training.optim import build_optimizer

    own = copy.deepcopy(model)
    loaded = LoadedModel(own, None, family_of(own, "causal"), "causal", "bench", "", torch.device("cpu"))
    attached = attach(loaded, check_method({"name": "lora", "r": RANK, "alpha": 16}), keep_original=False)
    if checkpointing:
        own.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    own.train()
    tensors = _collate([{"input_ids": ids, "labels": labels} for ids, labels in batch])
    learnt = int((tensors["labels"][:, 1:] != -100).sum())
    parameters = [parameter for _, parameter in attached.parameters()]

    def run() -> None:
        optimizer = build_optimizer(attached.parameters(), learning_rate=1e-4, weight_decay=0.0)
        for _ in range(STEPS):
            loss = next_token_loss(loaded, tensors["input_ids"], tensors["attention_mask"], tensors["labels"]) / learnt
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return run


def _collate(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
    import torch

    longest = max(len(row["input_ids"]) for row in rows)

    def padded(name: str, filler: int) -> Any:
        return torch.tensor([row[name] + [filler] * (longest - len(row[name])) for row in rows])

    mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows])
    return {"input_ids": padded("input_ids", 0), "attention_mask": mask, "labels": padded("labels", -100)}
