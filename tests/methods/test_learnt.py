"""What a method learnt: nearest words, update norms, activations and attention, each against its definition."""

from __future__ import annotations

import pytest
import torch

from tests.methods.tuned import IDS, disturb, load, logits
from workbench.methods import attach
from workbench.methods.learnt import Learnt, split_layer


def test_soft_tokens_that_are_words_are_nearest_to_those_words() -> None:
    loaded = load("bert")
    learnt = attach(loaded, {"name": "soft_prompt", "length": 2, "init": "words", "words": "great was"}).learnt(lambda: None)
    assert [(row.part, row.words[0][0]) for row in learnt.rows] == [("1", "great"), ("2", "was")]
    assert all(row.value == pytest.approx(1.0, abs=1e-5) and len(row.words) == 5 for row in learnt.rows)
    assert not {"[CLS]", "[MASK]", "[PAD]"} & {word for row in learnt.rows for word, _ in row.words}


def test_updates_adapters_and_prefixes_by_layer() -> None:
    loaded = load("qwen2")
    lora = attach(loaded, {"name": "lora"})
    disturb(lora)
    rows = lora.learnt(lambda: None).rows
    assert [(row.layer, row.part) for row in rows] == [(1, "q_proj"), (1, "v_proj"), (2, "q_proj"), (2, "v_proj")]
    assert all(row.value > 0 for row in rows)
    lora.detach()
    adapter = attach(loaded, {"name": "adapter"})
    assert all(row.value == 0 for row in adapter.learnt(lambda: logits(loaded)).rows)  # identity at the start
    disturb(adapter)
    rows = adapter.learnt(lambda: logits(loaded)).rows
    assert [(row.layer, row.part) for row in rows] == [(n, part) for n in (1, 2) for part in ("attention", "feed forward")]
    assert all(row.value > 0 for row in rows)


@pytest.mark.parametrize("family", ["bert", "albert", "qwen2"])
def test_attention_to_a_prefix_is_the_softmax_mass_on_it(family: str) -> None:
    loaded = load(family)
    attached = attach(loaded, {"name": "p_tuning_v2", "length": 3})
    disturb(attached, 0.5)
    learnt = attached.learnt(lambda: logits(loaded))
    assert [row.layer for row in learnt.rows] == [1, 2] and all(0 < row.value < 1 for row in learnt.rows)
    # Keys of zero get every query's score 0: with a layer's words masked by hand the share is what a softmax over zeros gives.
    with torch.no_grad():
        attached.deep.prompt.pairs.mul_(0)
    flat = attached.learnt(lambda: logits(loaded))
    padded = torch.tensor([[1, 1, 1, 0, 0]])
    right = attached.learnt(lambda: logits(loaded, [[*IDS[0][:3], 0, 0]], attention_mask=padded))
    alone = attached.learnt(lambda: logits(loaded, [IDS[0][:3]]))
    assert [row.value for row in right.rows] == pytest.approx([row.value for row in alone.rows], abs=1e-5)
    assert flat.rows != learnt.rows


def test_it_survives_json_and_names_are_taken_apart() -> None:
    attached = attach(load("bert"), {"name": "soft_prompt", "length": 2})
    learnt = attached.learnt(lambda: None)
    assert Learnt.from_json(learnt.to_json()).rows[0].words[0][0] == learnt.rows[0].words[0][0]
    assert split_layer("bert.encoder.layer.3.attention.self.query") == ("query", 4)
    assert split_layer("11_feed_forward") == ("feed forward", 12)
    assert attach(load("bert"), {"name": "bias"}).learnt(lambda: None) is None
