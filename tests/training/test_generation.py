"""A generation run from recipe to answers: a random two-layer Qwen2 that learns to answer with one of two words."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

from tests.prompts.test_chat import CHATML
from tests.prompts.tiny_tokenizers import qwen_like
from workbench.data.conversations import Turn
from workbench.errors import RunError, WorkbenchError
from workbench.models.pool import ModelPool
from workbench.recipe import Recipe, recipe_from
from workbench.runs.service import RunService
from workbench.serving.generator import Generator, Sampling, draw
from workbench.training.control import Control
from workbench.training.text_metrics import text_metrics
from workbench.training.trainer import train_run


def save_qwen(folder: Path) -> Path:
    tokenizer = copy.deepcopy(qwen_like())
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = hf.Qwen2Config(
        vocab_size=len(tokenizer) + 5, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=64, eos_token_id=0, bos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    hf.Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generation")
    save_qwen(folder / "model")
    rows = [{"instruction": word, "output": {"good": "great", "bad": "awful"}[word]} for word in ("good", "bad") * 16]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


def recipe_for(home: Path, changes: dict[str, Any] | None = None) -> Recipe:
    content = {
        "task": "generation",
        "model": {"path": str(home / "model"), "device": "cpu"},
        "data": {"train": str(home / "rows.jsonl"), "validation": str(home / "few.jsonl"), "columns": {}},
        "prompt": {"templates": ["{instruction} [MASK]"], "max_new_tokens": 8},
        "method": {"name": "full"},
        "training": {"epochs": 12, "batch_size": 8, "learning_rate": 0.01, "evaluate_every": 24},
    }
    (home / "few.jsonl").write_text('{"instruction": "good ", "output": "great"}\n{"instruction": "bad ", "output": "awful"}\n')
    return recipe_from(content, source="test").replace(changes or {})


@pytest.mark.parametrize("chat", ["chat", "plain"])
def test_a_run_learns_to_answer(home: Path, tmp_path: Path, chat: str) -> None:
    recipe = recipe_for(home, {"prompt.chat": chat})
    service = RunService(tmp_path)
    try:
        run = service.submit(recipe)
        service.wait(run, 120)
        view = service.read(run)
        assert view.status == "finished", view.error
        first, *_, last = (e for e in view.events if e["kind"] == "evaluation")
        assert last["perplexity"] < 1.5 < first["perplexity"] and last["rouge_l"] == 1.0
        assert set(view.metrics) == {"loss", "perplexity", "bleu", "rouge_l"}
        shown = [e for e in view.events if e["kind"] == "samples"][-1]["samples"]
        assert [sample["answer"] for sample in shown] == ["great", "awful"]
        tuned = service.generator(run)
        assert tuned.answers([{"instruction": "bad"}, {"instruction": "good"}], Sampling(max_new_tokens=8)) == ["awful", "great"]
        streamed = list(tuned.stream({"instruction": "bad"}, [], Sampling(max_new_tokens=8)))
        assert streamed[-1] == "awful" and torch.is_grad_enabled()
        base = service.generator(run, base=True)
        assert base.answers([{"instruction": "bad"}], Sampling(max_new_tokens=4)) != ["awful"]
        with pytest.raises(RunError, match="no classes"):
            service.predictor(run)
    finally:
        service.close()


@pytest.mark.parametrize("method", [{"name": "soft_prompt"}, {"name": "prefix_tuning"}, {"name": "lora"}])
def test_other_methods_lower_the_loss(home: Path, tmp_path: Path, method: dict[str, Any]) -> None:
    changes = {"method": method, "training.epochs": 4, "training.evaluate_every": 16, "training.gradient_checkpointing": True}
    train_run(recipe_for(home, changes), tmp_path / "run", Control(), ModelPool())
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    losses = [event["loss"] for event in events if event["kind"] == "evaluation"]
    assert losses[-1] < losses[0]


def test_the_stream_equals_generate_and_follows_a_conversation(home: Path) -> None:
    loaded = ModelPool().get(recipe_for(home).model)
    generator = Generator(loaded, None, recipe_for(home))
    fields, turns = {"instruction": "good"}, [Turn("assistant", "great"), Turn("user", "bad")]
    streamed = list(generator.stream(fields, turns, Sampling(max_new_tokens=6)))
    ids = torch.tensor([generator.encoder.question(fields, turns)])
    options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": generator.encoder.stop_ids}
    whole = loaded.model.generate(ids, attention_mask=torch.ones_like(ids), **options)
    assert streamed[-1] == loaded.tokenizer.decode(whole[0, ids.shape[1] :], skip_special_tokens=True).strip()


def test_sampling_keeps_within_top_p() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
    generator = torch.Generator().manual_seed(0)
    drawn = {draw(logits, Sampling(temperature=1.0, top_p=0.7), generator) for _ in range(200)}
    assert drawn == {0, 1}  # the smallest set that holds 0.7
    assert draw(logits, Sampling(temperature=0.0), generator) == 0


def test_text_metrics_of_both_scripts() -> None:
    # Four words in a row are needed for a BLEU above zero; five of five give 100.
    assert text_metrics(["the film was very good"], ["the film was very good"]) == {"bleu": pytest.approx(100), "rouge_l": 1.0}
    chinese = text_metrics(["这家酒店很好"], ["这家酒店不好"])
    assert chinese["rouge_l"] == pytest.approx(5 / 6)  # five of six characters in order
    assert text_metrics(["x"], ["这"])["rouge_l"] == 0


def test_a_masked_model_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="masked model"):
        recipe = recipe_for(home, {"model.path": "embedded:tiny-zh"})
        train_run(recipe, tmp_path / "run", Control(), ModelPool())
