"""The sides of P1 and P2 do the same work: equal logits from equal weights, and rows in their order."""

from __future__ import annotations

from pathlib import Path

import torch

from workbench.bench.cloze_training import DEFAULT, GROUPED, OURS, hugging_face, inference_sides, training_sides
from workbench.bench.measure import interleaved
from workbench.bench.workload import LABELS, PROMPT, masked_model, review_rows
from workbench.models.cloze import cloze_logits
from workbench.serving.classifier import PromptClassifier


def test_rows_are_as_long_as_reviews() -> None:
    lengths = [len(example.fields["text"].split()) for example in review_rows(256)]
    assert 25 < sum(lengths) / 256 < 45 and 120 < max(lengths) <= 225 and review_rows(3) == review_rows(3)


def test_both_sides_read_the_same_logits_and_ours_counts_fewer_operations(tmp_path: Path) -> None:
    loaded = masked_model(1, 64)
    sides = inference_sides(loaded, 8, tmp_path)
    classifier = PromptClassifier(loaded, PROMPT, LABELS)
    words = classifier.verbalizer.token_ids
    predicted = torch.tensor(sides[DEFAULT]().predictions)
    stock = hugging_face(loaded, classifier.encode(review_rows(8)), tmp_path, grouped=False)
    batch = stock.data_collator([stock.train_dataset[row] for row in range(8)])
    positions = (batch["labels"] != -100).int().argmax(dim=1, keepdim=True)
    with torch.no_grad():
        ours, _ = cloze_logits(loaded, batch["input_ids"], batch["attention_mask"], positions, torch.tensor(words))
    assert predicted.shape == (8, len(words)) and (ours[:, 0] - predicted).abs().max() < 1e-5
    figures = interleaved(training_sides(loaded, 8, tmp_path), rounds=1)
    assert 3 * figures[OURS].flops < figures[GROUPED].flops <= 1.5 * figures[DEFAULT].flops
