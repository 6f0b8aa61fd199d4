"""P1 and P2: cloze fine-tuning and inference, next to the Trainer of transformers with and without grouping by length, and OpenPrompt
where it can be had.

Every side starts from the same weights, takes the same rows in the same batch size for one epoch of AdamW in float32, and reads the
same two label words' logits at the mask. A ratio says how many times less processor time ours takes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from workbench.bench.comparison import Row, Scale, comparison
from workbench.bench.measure import Figures, interleaved, ratio
from workbench.bench.openprompt import OPENPROMPT, environment, openprompt_sides
from workbench.bench.workload import LABELS, PROMPT, copy_of, masked_model, review_rows
from workbench.errors import WorkbenchError
from workbench.methods import attach
from workbench.models.loading import LoadedModel
from workbench.recipe import PromptPart, TrainingPart
from workbench.serving.classifier import PromptClassifier
from workbench.serving.reading import EncodedExample

BATCH, RATE = 16, 2e-5
OURS, DEFAULT, GROUPED = "workbench", "HF Trainer", "HF Trainer, grouped by length"


@comparison("P1", "cloze fine-tuning, bert-base's shape")
def base_shape(scale: Scale) -> list[Row]:
    """12 layers of 768; 16 rows when quick, else 256 in one round, which takes about half an hour on one core."""
    rows = 16 if scale.quick else 256
    loaded = masked_model(12, 768)
    other, why = openprompt(loaded, rows, scale)
    sides = training_sides(loaded, rows, scale.folder) | _side(other, "train")
    figures = interleaved(sides, rounds=1, warm_up=False)
    return _rows("P1", f"training, 12x768, {rows} rows", figures, {DEFAULT: 3.0, GROUPED: 1.9, OPENPROMPT: 6.0}, why)


@comparison("P2", "cloze fine-tuning and inference, a small shape")
def small_shape(scale: Scale) -> list[Row]:
    """4 layers of 256; 32 rows when quick, else 256."""
    rows = 32 if scale.quick else 256
    loaded = masked_model(4, 256)
    other, why = openprompt(loaded, rows, scale)
    training = interleaved(training_sides(loaded, rows, scale.folder) | _side(other, "train"), rounds=scale.rounds)
    inference = interleaved(inference_sides(loaded, rows, scale.folder) | _side(other, "predict"), rounds=scale.rounds)
    return [
        *_rows("P2", f"training, 4x256, {rows} rows", training, {DEFAULT: 10.0, GROUPED: 5.5, OPENPROMPT: 14.0}, why),
        *_rows("P2", f"inference, 4x256, {rows} rows", inference, {DEFAULT: 16.0, GROUPED: 9.0, OPENPROMPT: 22.0}, why),
    ]


def _rows(goal: str, work: str, figures: dict[str, Figures], goals: dict[str, float], why: str = "") -> list[Row]:
    """A row for each peer; one that is not among the figures says why."""
    rows = []
    for peer, wanted in goals.items():
        if peer not in figures:
            rows.append(Row(goal, work, peer, None, wanted, note=why))
            continue
        plain = {"ours": figures[OURS].to_json(), "theirs": figures[peer].to_json()}
        if figures[peer].flops:  # not counted in another process
            plain["flop_ratio"] = round(figures[peer].flops / max(1, figures[OURS].flops), 2)
        rows.append(Row(goal, work, peer, ratio(figures[OURS], figures[peer]), wanted, figures=plain))
    return rows


def openprompt(loaded: LoadedModel, rows: int, scale: Scale) -> tuple[dict[str, Callable[[], Figures]], str]:
    """OpenPrompt's sides on the same weights and rows; or none, and why it cannot be had."""
    try:
        python = environment(scale.say)
        words = PROMPT.verbalizer["words"]
        return openprompt_sides(loaded, words, review_rows(rows), scale.folder, python, batch=BATCH, rate=RATE), ""
    except WorkbenchError as error:
        return {}, error.message


def _side(sides: dict[str, Callable[[], Figures]], work: str) -> dict[str, Callable[[], Figures]]:
    return {OPENPROMPT: sides[work]} if sides else {}


def training_sides(loaded: LoadedModel, rows: int, folder: Path) -> dict[str, Callable[[], Any]]:
    """One epoch each; every call starts from a fresh copy of the weights."""
    examples = review_rows(rows)
    encoded = PromptClassifier(loaded, PROMPT, LABELS).encode(examples)

    def ours() -> None:
        own = copy_of(loaded)
        train_here(own, PROMPT, examples)

    return {
        OURS: ours,
        DEFAULT: lambda: hugging_face(copy_of(loaded), encoded, folder, grouped=False).train(),
        GROUPED: lambda: hugging_face(copy_of(loaded), encoded, folder, grouped=True).train(),
    }


def inference_sides(loaded: LoadedModel, rows: int, folder: Path) -> dict[str, Callable[[], Any]]:
    """Class log-probabilities of every row. The stock Trainer has no order of lengths for predicting without mixing up the rows, so
    its grouped side reads rows that were sorted by hand, which is the best that it can be given."""
    examples = review_rows(rows)
    classifier = PromptClassifier(loaded, PROMPT, LABELS)
    encoded = classifier.encode(examples)
    by_length = sorted(encoded, key=lambda example: example.length)
    stock, grouped = (hugging_face(loaded, rows, folder, grouped=False) for rows in (encoded, by_length))
    return {
        OURS: lambda: classifier.predict(examples, batch_size=2 * BATCH),
        DEFAULT: lambda: stock.predict(stock.train_dataset),
        GROUPED: lambda: grouped.predict(grouped.train_dataset),
    }


def train_here(loaded: LoadedModel, prompt: PromptPart, examples: list[Any]) -> list[float]:
    """One epoch as a run takes it, without its log and checkpoints; the loss of every step."""
    from workbench.training.batching import BatchPlan
    from workbench.training.optim import build_optimizer

    training = TrainingPart(epochs=1, batch_size=BATCH, learning_rate=RATE)
    attached = attach(loaded, {"name": "full"}, keep_original=False)
    classifier = PromptClassifier(loaded, prompt, LABELS)
    encoded = classifier.encode(examples)
    optimizer = build_optimizer(attached.parameters(), learning_rate=RATE, weight_decay=training.weight_decay)
    plan = BatchPlan([example.length for example in encoded], batch_size=BATCH, seed=13)
    loaded.model.train()
    losses = []
    for step in range(plan.steps_per_epoch):
        (batch,) = plan.step(step)
        scores = classifier.log_probabilities([encoded[row] for row in batch])
        loss = torch.nn.functional.nll_loss(scores, torch.tensor([encoded[row].label for row in batch]))
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for _, p in attached.parameters()], 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
    attached.detach()
    return losses


def hugging_face(loaded: LoadedModel, encoded: list[EncodedExample], folder: Path, *, grouped: bool) -> Any:
    """The stock Trainer on the same prompts: dynamic padding, labels at the mask, logits of every word at every position."""
    from transformers import DataCollatorForTokenClassification, Trainer, TrainingArguments
    from transformers.utils import logging

    logging.set_verbosity_error()
    words = PromptClassifier(loaded, PROMPT, LABELS).verbalizer.token_ids
    rows = [_row(example, words) for example in encoded]
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"), per_device_train_batch_size=BATCH, per_device_eval_batch_size=2 * BATCH, num_train_epochs=1,
        learning_rate=RATE, train_sampling_strategy="group_by_length" if grouped else "random", use_cpu=True, seed=13, report_to=[],
        save_strategy="no", logging_strategy="no", disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    return Trainer(
        model=loaded.model, args=arguments, train_dataset=rows, data_collator=DataCollatorForTokenClassification(loaded.tokenizer),
        preprocess_logits_for_metrics=lambda logits, labels: logits[labels != -100][:, words],
    )  # fmt: skip


def _row(example: EncodedExample, words: Any) -> dict[str, list[int]]:
    (encoding,) = example.variants
    labels = [-100] * len(encoding.input_ids)
    labels[encoding.mask_positions[0]] = int(words[2 * int(example.label or 0)])
    return {"input_ids": encoding.input_ids, "attention_mask": [1] * len(encoding.input_ids), "labels": labels}
