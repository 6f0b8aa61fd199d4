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
from tests.tiny_runs import make_recipe
from workbench.data.conversations import Turn
from workbench.errors import RecipeError, RunError, WorkbenchError
from workbench.methods import attach, check_method
from workbench.models.pool import ModelPool
from workbench.recipe import Recipe, recipe_from
from workbench.runs.answers import check_trainable
from workbench.runs.service import RunService
from workbench.serving.classifier import model_max_length
from workbench.serving.generator import Generator, Sampling, draw
from workbench.training.control import Control
from workbench.training.generation import GenerationObjective
from workbench.training.progress import Progress
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


def test_a_file_is_answered_as_a_chat_is_whatever_the_checkpoint_asks_for_besides(home: Path) -> None:
    loaded = ModelPool().get(recipe_for(home).model)
    generator = Generator(loaded, None, recipe_for(home))
    plain = generator.answers([{"instruction": "good"}], Sampling(max_new_tokens=12))
    first = int(loaded.model(torch.tensor([generator.encoder.question({"instruction": "good"})])).logits[0, -1].argmax())
    own = loaded.model.generation_config
    own.update(repetition_penalty=5.0, no_repeat_ngram_size=1, suppress_tokens=[first], min_new_tokens=12, num_beams=3, max_length=64)
    own.chat_format = "chatml"  # as Qwen's first checkpoints have it, and generate() knows no such thing
    assert loaded.model.generate(torch.tensor([[first]]), max_new_tokens=1)[0, -1] != first
    streamed = list(generator.stream({"instruction": "good"}, [], Sampling(max_new_tokens=12)))
    assert generator.answers([{"instruction": "good"}], Sampling(max_new_tokens=12)) == plain == streamed[-1:]
    assert loaded.model.generation_config is own and own.repetition_penalty == 5.0  # an export still has it


def test_a_chat_without_a_seed_does_not_say_the_same_every_time(home: Path) -> None:
    generator = Generator(ModelPool().get(recipe_for(home).model), None, recipe_for(home))

    def said(seed: int | None) -> str:
        return [*generator.stream({"instruction": "good"}, [], Sampling(temperature=1.5, max_new_tokens=12, seed=seed)), ""][-2]

    assert said(3) == said(3) and len({said(None) for _ in range(4)}) > 1


def test_a_file_is_answered_with_numbers_of_its_own_and_not_those_of_a_training(home: Path) -> None:
    generator = Generator(ModelPool().get(recipe_for(home).model), None, recipe_for(home))
    before = torch.get_rng_state()

    def said(seed: int | None) -> str:
        return generator.answers([{"instruction": "good"}], Sampling(temperature=1.5, max_new_tokens=12, seed=seed))[0]

    assert said(3) == said(3) and len({said(seed) for seed in range(4)}) > 1 and len({said(None) for _ in range(4)}) > 1
    assert torch.equal(before, torch.get_rng_state())


def test_a_row_is_answered_under_its_own_system_message_and_within_the_model_s_positions(home: Path) -> None:
    recipe = recipe_for(home)
    generator = Generator(ModelPool().get(recipe.model), None, recipe)
    asked: list[list[int]] = []
    generator._left_padded = lambda prompts: asked.extend(prompts) or Generator._left_padded(generator, prompts)  # type: ignore[method-assign]
    generator.answers([{"instruction": "good"}] * 2, Sampling(max_new_tokens=1), systems=["be great", ""])
    assert sorted(asked) == sorted(generator.encoder.question({"instruction": "good"}, system=said) for said in ("be great", ""))
    longest = torch.zeros(1, model_max_length(generator.loaded) - 2, dtype=torch.long)
    assert generator._room(longest) == 2


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


@pytest.mark.parametrize(("metric", "better"), [("perplexity", 9.0), ("bleu", 30.0), ("rouge_l", 0.5), ("accuracy", 2.0)])
def test_early_stopping_keeps_what_is_best_by_its_own_figure(home: Path, metric: str, better: float) -> None:
    recipe = recipe_for(home, {"training.early_stopping": {"metric": metric, "patience": 2}})
    progress = Progress(step=1)
    first = {"loss": 2.5, "perplexity": 10.0, "bleu": 20.0, "rouge_l": 0.4}
    name = recipe.deciding
    assert name == ("loss" if metric == "accuracy" else metric)
    worse = {key: value + 1 for key, value in first.items()} if name in ("loss", "perplexity") else dict.fromkeys(first, 0.1)
    assert progress.record(first, recipe)
    assert not progress.record({**first, name: worse[name]}, recipe) and not progress.stopped_early
    assert progress.record({**first, "loss": 3.0, name: better}, recipe) and progress.without_improvement == 0
    assert not progress.record(first, recipe) and not progress.record(first, recipe) and progress.stopped_early


def test_a_figure_of_classes_gives_way_to_the_loss_and_is_told(home: Path, tmp_path: Path) -> None:
    stopping = {"metric": "accuracy", "patience": 1}
    changes = {"training.early_stopping": stopping, "training.epochs": 1, "training.answered_rows": 1, "prompt.max_new_tokens": 2}
    train_run(recipe_for(home, changes), tmp_path / "run", Control(), ModelPool())
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    (plan,) = (event for event in events if event["kind"] == "plan")
    assert any("looks at the loss" in note for note in plan["notes"])
    assert {len(event["samples"]) for event in events if event["kind"] == "samples"} == {1}


def test_as_many_rows_are_answered_as_the_recipe_says(home: Path) -> None:
    recipe = recipe_for(home, {"training.answered_rows": 1})
    objective = GenerationObjective(recipe)
    loaded = ModelPool().get(recipe.model)
    objective.bind(loaded, attach(loaded, check_method({"name": "lora"}), keep_original=True, prompt=recipe.prompt))
    objective.evaluate(8)
    assert objective.validation_rows == 2 and len(objective._answers) == len(objective.samples()) == 1
    assert Recipe().training.answered_rows == 16


def test_classes_have_no_figure_of_text(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, training__early_stopping={"metric": "bleu", "patience": 2})
    with pytest.raises(RecipeError, match="bleu, which is only measured where text is written"):
        check_trainable(recipe)
