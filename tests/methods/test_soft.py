"""Soft tokens in a model: equal to the same vectors given as embeddings, trained alone, saved in peft's format where it has one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.methods.tuned import digest, disturb, load, logits, prompt
from tests.training.small_run import make_recipe
from workbench.data.dataset import load_splits
from workbench.errors import MethodError
from workbench.methods import attach, check_method
from workbench.methods.p_tuning import PromptEncoder, encoder_parameters
from workbench.methods.soft import label_words
from workbench.models.cloze import cloze_logits
from workbench.models.pool import ModelPool
from workbench.recipe import Recipe
from workbench.serving.classifier import PromptClassifier
from workbench.serving.predictor import Predictor
from workbench.serving.tuned import tune
from workbench.training.trainer import Control, train_run

FAMILIES = ["bert", "roberta", "albert", "distilbert", "electra", "qwen2", "qwen3", "llama", "gpt2", "gemma3_text"]
METHODS = [{"name": "soft_prompt", "length": 3}, {"name": "p_tuning", "length": 3}, {"name": "p_tuning", "length": 3, "encoder": "mlp"}]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [True, False])
def test_soft_ids_are_the_same_vectors_given_as_embeddings(family: str, tied: bool) -> None:
    loaded = load(family, tied=tied)
    plain = logits(loaded)
    attached = attach(loaded, {"name": "soft_prompt", "length": 3})
    disturb(attached)
    start = attached.soft.start
    ids = torch.tensor([[2, start, 7, start + 2, 8, start + 1]])
    table = attached.embedding.table
    with torch.no_grad():
        words = table(torch.tensor([[2, 0, 7, 0, 8, 0]]))
        for place, row in ((1, 0), (3, 2), (5, 1)):
            words[0, place] = attached.vectors()[row]
        ours = loaded.model(input_ids=ids).logits
        theirs = loaded.model(inputs_embeds=words).logits
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert torch.equal(logits(loaded), plain)  # words are untouched
    if tied:
        assert loaded.model.get_output_embeddings().weight is table.weight


@pytest.mark.parametrize("options", METHODS, ids=str)
@pytest.mark.parametrize("family", ["bert", "qwen2"])
def test_only_the_soft_tokens_move_and_the_vectors_alone_are_kept(options: dict, family: str, tmp_path: Path) -> None:
    loaded = load(family)
    before = digest(loaded.model)
    template = "{text} it was [MASK]"
    attached = attach(loaded, options, prompt=prompt(template))
    ids = [[2, attached.soft.start, attached.soft.start + 1, attached.soft.start + 2, 7, 8]]
    loaded.model(input_ids=torch.tensor(ids)).logits.logsumexp(-1).sum().backward()
    assert all(p.grad is not None for _, p in attached.parameters())
    assert sum(p.numel() for p in loaded.model.parameters() if p.grad is not None) == attached.trainable_parameters
    disturb(attached)
    tuned = logits(loaded, ids)
    attached.save_final(tmp_path)
    attached.detach()
    assert digest(loaded.model) == before
    again = attach(loaded, options, prompt=prompt(template))
    again.restore(tmp_path)
    assert torch.allclose(logits(loaded, ids), tuned, atol=1e-6)
    assert again.trainable_parameters == 3 * 32  # nothing but the vectors
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) < 3000


def test_a_checkpoint_keeps_the_encoder_and_so_does_a_run_that_is_told_to(tmp_path: Path) -> None:
    loaded = load("bert")
    options = {"name": "p_tuning", "length": 3, "keep_encoder": True}
    attached = attach(loaded, options)
    disturb(attached)
    expected, state = attached.vectors(), attached.state()
    attached.save_final(tmp_path)
    attached.detach()
    again = attach(loaded, options)
    again.restore(tmp_path)
    assert torch.equal(again.vectors(), expected)
    assert all(torch.equal(value, again.state()[name]) for name, value in state.items())


@pytest.mark.parametrize("lstm", [True, False])
def test_the_encoder_is_a_plain_lstm_and_mlp_with_the_papers_count(lstm: bool) -> None:
    torch.manual_seed(1)
    start = torch.randn(4, 32)
    encoder = PromptEncoder(start, lstm=lstm)
    assert sum(p.numel() for p in encoder.parameters()) == encoder_parameters(4, 32, lstm=lstm)
    mlp = torch.nn.Sequential(torch.nn.Linear(32, 32), torch.nn.ReLU(), torch.nn.Linear(32, 32))
    mlp.load_state_dict(encoder.mlp.state_dict())
    hidden = start[None]
    if lstm:
        recurrent = torch.nn.LSTM(32, 16, num_layers=2, bidirectional=True, batch_first=True)
        recurrent.load_state_dict(encoder.lstm.state_dict())
        hidden, _ = recurrent(hidden)
    assert torch.allclose(encoder(), mlp(hidden)[0], atol=1e-6)


def test_a_trained_backbone_has_its_own_rate_and_comes_back(tmp_path: Path) -> None:
    loaded = load("bert")
    before = digest(loaded.model)
    options = {"name": "p_tuning", "backbone": "trained", "backbone_rate": 1e-4}
    attached = attach(loaded, options)
    rates = {attached.rate_of(name, 0.5) for name, _ in attached.parameters()}
    assert rates == {0.5, 1e-4}
    disturb(attached)
    ids = [[2, attached.soft.start, 7, 4]]
    tuned = logits(loaded, ids)
    attached.save_final(tmp_path)
    attached.detach()
    assert digest(loaded.model) == before
    again = attach(loaded, options)
    again.restore(tmp_path)
    assert torch.equal(logits(loaded, ids), tuned)


def test_starting_points() -> None:
    loaded = load("bert")
    table = loaded.model.get_input_embeddings().weight.detach().clone()
    words = attach(loaded, {"name": "soft_prompt", "length": 3, "init": "words", "words": "it was"})
    assert torch.equal(words.vectors(), table[[7, 8, 7]])
    words.detach()
    labels = attach(loaded, {"name": "soft_prompt", "length": 4, "init": "label_words"}, prompt=prompt())
    assert torch.equal(labels.vectors(), table[[5, 6, 5, 6]])
    labels.detach()
    template = attach(loaded, {"name": "soft_prompt", "init": "random"}, prompt=prompt("{text} [SOFT: it was][SOFT*2] [MASK]"))
    assert torch.equal(template.vectors()[:2], table[[7, 8]]) and template.soft.count == 4
    template.detach()
    vocabulary = attach(loaded, {"name": "soft_prompt", "length": 5, "init": "vocabulary"}).vectors()
    assert all(any(torch.equal(row, word) for word in table) for row in vocabulary)
    with pytest.raises(MethodError, match="needs the option 'words'"):
        check_method({"name": "soft_prompt", "init": "words"})
    loaded = load("bert")
    with pytest.raises(MethodError, match="no label words"):
        attach(loaded, {"name": "soft_prompt", "init": "label_words"})
    attach(loaded, {"name": "soft_prompt"}).detach()


def test_merging_is_refused_with_the_reason() -> None:
    attached = attach(load("bert"), {"name": "soft_prompt"})
    with pytest.raises(MethodError, match="part of the prompt"):
        attached.merge()


def test_soft_token_gradients_against_finite_differences() -> None:
    loaded = load("bert")
    loaded.model.double()
    attached = attach(loaded, {"name": "soft_prompt", "length": 2})
    weight = attached.embedding.prompt.weight
    weight.data = weight.data.double()
    ids = torch.tensor([[2, attached.soft.start, 7, attached.soft.start + 1, 4]])

    def loss() -> torch.Tensor:
        scores, _ = cloze_logits(loaded, ids, torch.ones_like(ids), torch.tensor([[4]]), torch.tensor([5, 6]))
        return torch.nn.functional.cross_entropy(scores[:, 0].double(), torch.tensor([1]))

    # cloze_logits answers in float32, which finite differences cannot use: the model's own double logits are differentiated.
    def exact() -> torch.Tensor:
        return torch.nn.functional.cross_entropy(loaded.model(input_ids=ids).logits[:, 4, 5:7], torch.tensor([1]))

    assert abs(loss().item() - exact().item()) < 1e-6
    exact().backward()
    step = 1e-6
    for row, column in ((0, 0), (0, 17), (1, 3), (1, 31)):
        with torch.no_grad():
            weight[row, column] += step
            above = exact().item()
            weight[row, column] -= 2 * step
            below = exact().item()
            weight[row, column] += step
        assert weight.grad[row, column].item() == pytest.approx((above - below) / (2 * step), rel=1e-5, abs=1e-9)


def test_generate_with_soft_tokens_in_front_and_a_repetition_penalty() -> None:
    loaded = load("qwen2")
    attached = attach(loaded, {"name": "soft_prompt", "length": 3})
    disturb(attached)
    start = attached.soft.start
    ids = torch.tensor([[start, start + 1, start + 2, 7, 8]])
    settings = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    ours = loaded.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **settings)[:, 5:]
    grown = ids
    for _ in range(4):
        with torch.no_grad():
            grown = torch.cat([grown, loaded.model(input_ids=grown, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(ours, grown[:, 5:])


@pytest.mark.parametrize("name", ["soft_prompt", "p_tuning"])
def test_peft_opens_a_prompt_in_front_of_a_causal_model_and_gives_our_logits(name: str, tmp_path: Path) -> None:
    from peft import PeftModel
    from tokenizers import processors

    loaded = load("qwen2")
    # The tiny tokenizer puts [CLS] in front, as Qwen's does not; without it the soft tokens stand first.
    loaded.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing("$A", None, [])
    attached = attach(loaded, {"name": name, "length": 3}, prompt=prompt("{text} it was [MASK]"))
    disturb(attached)
    start = attached.soft.start
    ours = logits(loaded, [[start, start + 1, start + 2, 7, 4, 8]])
    attached.save_final(tmp_path)
    attached.detach()
    assert json.loads((tmp_path / "adapter_config.json").read_text())["num_virtual_tokens"] == 3
    other = PeftModel.from_pretrained(load("qwen2").model, tmp_path).eval()
    with torch.no_grad():
        ids = torch.tensor([[7, 4, 8]])
        theirs = other(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    assert torch.allclose(ours[:, -3:], theirs[:, -3:], atol=1e-5)
    again = attach(loaded, {"name": name, "length": 3}, prompt=prompt("{text} it was [MASK]"))
    again.restore(tmp_path)
    assert torch.equal(logits(loaded, [[start, start + 1, start + 2, 7, 4, 8]]), ours)


def test_soft_tokens_may_start_from_the_words_of_every_template() -> None:
    asked = prompt("{text} [MASK]").model_copy(update={"template_words": [{"a": ["fine"], "b": {"poor": 2}}]})
    assert label_words(asked) == [*label_words(prompt("{text} [MASK]")), "fine", "poor"]


def test_a_predictor_asks_with_soft_tokens_and_without_a_method_in_words() -> None:
    recipe = Recipe(prompt=prompt("{text} [SOFT: it was] [MASK] ."), method={"name": "soft_prompt"})
    plain = recipe.replace({"prompt.templates": ["{text} it was [MASK] ."]})
    rows, labels = [{"text": "w20 w21"}], ("positive", "negative")
    loaded = load("bert")
    base = Predictor(loaded, None, recipe, labels).probabilities(rows)
    assert base == Predictor(loaded, None, plain, labels).probabilities(rows)
    held = tune(loaded, recipe, labels)
    tuned = Predictor(loaded, held, recipe, labels)
    assert torch.allclose(torch.tensor(tuned.probabilities(rows)), torch.tensor(base), atol=1e-6)  # starts from the words
    disturb(held.attached, 1.0)
    assert not torch.allclose(torch.tensor(tuned.probabilities(rows)), torch.tensor(base), atol=1e-3)


def test_a_run_keeps_the_vectors_and_drops_the_encoder(tmp_path: Path) -> None:
    changes = {"prompt.templates": ["{text} [SOFT*2] [MASK] .", "[SOFT: it was] {text} [MASK]"], "method": {"name": "p_tuning"}}
    recipe = make_recipe(tmp_path, {**changes, "training.epochs": 3})
    result = train_run(recipe, tmp_path / "run", Control(), ModelPool())
    loaded = ModelPool().fresh(recipe.model)
    assert result["trainable_parameters"] == encoder_parameters(4, 32, lstm=True)
    attached = attach(loaded, recipe.method, prompt=recipe.prompt)
    attached.restore(tmp_path / "run" / "final")
    assert attached.trainable_parameters == 4 * 32
    # the best evaluation of the run, asked again
    examples = load_splits(recipe.data).validation.examples
    classifier = PromptClassifier(loaded, recipe.prompt, ("positive", "negative"), attached)
    labels = [["positive", "negative"].index(example.label) for example in examples]
    loss = torch.nn.functional.nll_loss(classifier.predict(examples).log(), torch.tensor(labels)).item()
    assert loss == pytest.approx(result["metrics"]["loss"], abs=1e-5)
