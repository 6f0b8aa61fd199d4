"""Estimates against what a run really holds: the loaded model, the optimizer, and everything that a step makes, for every method."""

from __future__ import annotations

from functools import partial, wraps
from pathlib import Path

import pytest
import torch
import transformers as hf

from workbench.errors import MethodError, ModelError
from workbench.methods import check_method, method_names
from workbench.methods.footprint import LiveBytes, estimate, footprint, step_bytes, step_of_many_layers, training_bytes
from workbench.models.card import configuration, model_card
from workbench.models.known import known_model
from workbench.models.loading import load_model
from workbench.models.pool import ModelPool
from workbench.recipe import ModelPart, PromptPart, Recipe, load_preset
from workbench.serving.generator import Sampling
from workbench.training.control import Control
from workbench.training.trainer import Trainer

PRESETS = {"classification": "zh-sentiment-hard-prompt", "generation": "zh-positive-reviews-lora"}
STEPS = 2  # the second meets the optimizer's state


@pytest.fixture(scope="module")
def tokenizer():
    return load_model(ModelPart(path="embedded:tiny-zh", device="cpu")).tokenizer


def held_bytes(trainer: Trainer) -> int:
    """Weights, and the most that anything else took at once in the first steps, optimizer included."""
    model = trainer.tuned.loaded.model
    parts = [p for module in (model, *trainer.tuned.modules) for p in (*module.parameters(), *module.buffers())]
    weights = {part.untyped_storage()._cdata: part.untyped_storage().nbytes() for part in parts}
    trainer.tuned.train()
    with LiveBytes(parts) as live:
        for number in range(STEPS):
            trainer.stepper.step(number, 10)
    return sum(weights.values()) + live.most


def longest(trainer: Trainer) -> int:
    """Tokens of the longest row in the first steps, a prefix included."""
    lengths, plan = trainer.stepper.objective.lengths, trainer.stepper.batches
    most = max(int(lengths[row]) for number in range(STEPS) for batch in plan.step(number) for row in batch)
    prefix = trainer.recipe.method["name"] in ("prefix_tuning", "p_tuning_v2")
    return most + (trainer.tuned.attached.positions if prefix else 0)


TRAINED = {"name": "p_tuning", "backbone": "trained"}
HALF = {"model.dtype": "bfloat16", "training.precision": "bfloat16"}
CELLS = [*((name, "none") for name in method_names()), *((name, bits) for name in ("lora", "prefix_tuning") for bits in ("int8", "nf4"))]


@pytest.mark.parametrize("task", PRESETS)
@pytest.mark.parametrize(("name", "bits"), CELLS)
def test_a_whole_run_takes_what_was_estimated(tmp_path, name: str, bits: str, task: str) -> None:
    compare(tmp_path, load_preset(PRESETS[task]).replace({"method": {"name": name}, "model.quantization": bits}))


@pytest.mark.parametrize(("method", "changes"), [(TRAINED, {}), ({"name": "full"}, HALF), ({"name": "head"}, HALF)], ids=str)
def test_the_models_own_weights_are_counted_once_and_in_float32_where_they_train(tmp_path, method: dict, changes: dict) -> None:
    compare(tmp_path, load_preset(PRESETS["classification"]).replace({"method": method, **changes}))


def compare(folder: Path, recipe: Recipe) -> None:
    """An estimate beside what the first steps of a run hold."""
    recipe = recipe.replace({"training.cache_features": "never"})
    trainer = Trainer(recipe, folder, Control(), ModelPool(), None)
    trainer.setup()
    measured, loaded = held_bytes(trainer), trainer.tuned.loaded
    card, config = model_card(recipe.model.path), configuration(recipe.model.path)[0]
    recipe = recipe.replace({"prompt.max_length": longest(trainer)})
    estimated, trainable = training_bytes(recipe, card, config, loaded.tokenizer, check_method(recipe.method))
    assert trainable == trainer.tuned.trainable_parameters
    assert abs(estimated.total / measured - 1) < 0.1, (estimated, measured)


def test_the_answers_that_an_evaluation_writes_are_estimated_with_their_keys_and_values(tmp_path: Path) -> None:
    """Where the batch is small and the answers are many, that is the run's fullest moment."""
    few = {"training.batch_size": 1, "training.answered_rows": 32, "prompt.max_new_tokens": 64, "method": {"name": "lora"}}
    trainer = Trainer(load_preset(PRESETS["generation"]).replace(few), tmp_path, Control(), ModelPool(), None)
    trainer.setup()
    writer, made = trainer.objective.generator, []
    prompts = [(trainer.loaded.tokenizer("这部电影", add_special_tokens=False).input_ids * 40)[:40]] * 32
    real = type(trainer.loaded.model).forward

    @wraps(real)  # generate() looks at its parameters
    def watched(model, *args, **kwargs):
        output = real(model, *args, **kwargs)
        made.append(sum(layer.keys.nbytes + layer.values.nbytes for layer in output.past_key_values.layers))
        return output

    model = trainer.tuned.loaded.model
    with pytest.MonkeyPatch.context() as patched, LiveBytes([*model.parameters(), *model.buffers()]) as live:
        patched.setattr(type(model), "forward", watched)
        patched.setattr(type(writer.encoder), "stop_ids", [])  # every answer is as long as it may be
        writer.continuations(prompts, Sampling(max_new_tokens=64), batch_size=trainer.read_rows)
    recipe = trainer.recipe.replace({"prompt.max_length": 40})
    taken, _ = estimate(recipe, known_model(recipe.model))
    # The last token that is written needs no keys and values any more.
    assert abs(taken.cache / max(made) - 1) < 0.02, (taken, max(made))
    assert abs(taken.writing / live.most - 1) < 0.1 and taken.writing > taken.step, (taken, live.most)
    assert taken.total == taken.weights + taken.optimizer + taken.writing


def test_what_lives_at_once_is_counted_once() -> None:
    weight = torch.ones(1000)
    with LiveBytes([weight]) as live:
        view = weight.view(10, 100)  # shares the storage of what was there
        made = view * 2
        other = made.t()
        assert (live.now, live.most) == (4000, 4000)
        del made, other
        assert live.now == 0
        _ = weight + 1
    assert live.most == 4000


def test_checkpointing_and_shorter_rows_take_less() -> None:
    recipe = Recipe(model={"path": "embedded:tiny-zh", "device": "cpu"}, method={"name": "full"})
    known = known_model(recipe.model)
    whole = estimate(recipe, known)[0]
    fewer = estimate(recipe.replace({"training.gradient_checkpointing": True}), known)[0]
    shorter = estimate(recipe.replace({"prompt.max_length": 64}), known)[0]
    assert fewer.activations < whole.activations / 2 and fewer.total < whole.total and shorter.total < whole.total
    assert fewer.weights == whole.weights


def test_what_would_fit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(model={"path": "embedded:tiny-zh", "device": "cpu"}, method={"name": "full"})
    known = known_model(recipe.model)
    whole = footprint(recipe, known)
    assert whole.fits and whole.advice == ()
    # Weights, gradients and AdamW's two moments of 4 bytes each; a full fine-tuning trains every parameter once.
    assert whole.estimate.gradients == 4 * whole.trainable and whole.estimate.optimizer == 8 * whole.trainable
    monkeypatch.setattr("workbench.methods.footprint.free_bytes", lambda device: whole.estimate.total - 1)
    short = footprint(recipe, known)
    assert not short.fits and short.advice[0][0] == {"training.gradient_checkpointing": True}
    assert all(total < whole.estimate.total for _, total in short.advice)
    assert {"model.quantization": "nf4"} not in [change for change, _ in short.advice], "full fine-tuning cannot train 4-bit weights"


def test_changes_that_do_not_do_alone_are_tried_together(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(model={"path": "embedded:tiny-zh", "device": "cpu"}, method={"name": "full"})
    known = known_model(recipe.model)
    both = {"method": {"name": "lora"}, "model.quantization": "nf4"}
    least = {"training.gradient_checkpointing": True, "training.batch_size": 1, **both}
    needed = estimate(recipe.replace(least), known)[0].total
    monkeypatch.setattr("workbench.methods.footprint.free_bytes", lambda device: needed)
    assert footprint(recipe, known).advice == ((least, needed),)
    monkeypatch.setattr("workbench.methods.footprint.free_bytes", lambda device: 1000)
    assert footprint(recipe, known).advice == ()


@pytest.mark.parametrize(
    ("name", "path", "checkpointing"),
    [
        ("full", "google-bert/bert-base-uncased", False), ("p_tuning_v2", "google-bert/bert-base-uncased", True),
        ("lora", "Qwen/Qwen2.5-0.5B-Instruct", True), ("prefix_tuning", "Qwen/Qwen2.5-0.5B-Instruct", False),
    ],
)  # fmt: skip
def test_few_layers_tell_what_all_of_them_take(name: str, path: str, checkpointing: bool) -> None:
    known = known_model(ModelPart(path=path))
    task = "generation" if known.kind == "causal" else "classification"
    known.config.num_hidden_layers = 7  # no multiple of those that are looked at
    ask = (known.config, known.kind, check_method({"name": name}), PromptPart(), known.tokenizer_for_sizes())
    conditions = {"task": task, "batch_size": 4, "length": 32, "checkpointing": checkpointing}
    told, counted = step_of_many_layers(*ask, **conditions), step_bytes(*ask, **conditions)
    assert told.trainable == counted.trainable
    assert abs(told.activations / counted.activations - 1) < 0.01
    # The fullest moment may move from one place to another as layers are added; the weights, which are the most of it, come on top.
    assert abs(told.peak / counted.peak - 1) < 0.05, (told, counted)


@pytest.mark.parametrize(("name", "path"), [("full", "embedded:tiny-qwen"), ("head", "embedded:tiny-en"), ("full", "embedded:tiny-en")])
def test_what_cannot_be_trained_in_few_bits_has_no_estimate(name: str, path: str) -> None:
    recipe = Recipe(model={"path": path, "device": "cpu", "quantization": "int8"}, method={"name": name})
    with pytest.raises(MethodError):
        estimate(recipe, known_model(recipe.model))


def test_a_model_that_cannot_checkpoint_is_refused_in_a_sentence(tokenizer) -> None:
    config = hf.AlbertConfig(hidden_size=32, embedding_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    ask = partial(step_bytes, config, "masked", check_method({"name": "lora"}), PromptPart(), tokenizer, batch_size=2, length=16)
    assert ask().peak > 0
    with pytest.raises(ModelError, match="cannot checkpoint"):
        ask(checkpointing=True)
