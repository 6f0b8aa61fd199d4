"""What trains and is saved beside the model: heads and label vectors, under every method's hold on the model."""

import json

import pytest
import torch

from tests.models.tiny import CAUSAL, make_model, make_tokenizer
from workbench.data.dataset import InputExample
from workbench.errors import MethodError, TemplateError, VerbalizerError
from workbench.methods import method_names
from workbench.models.families import family_of
from workbench.models.loading import LoadedModel
from workbench.recipe import Recipe
from workbench.serving.tuned import tune

LABELS = ("no", "yes")
WORDS = {"yes": {"great": 3, "w11": 1}, "no": ["bad"]}
EXAMPLES = [InputExample(str(i), {"text": text}, LABELS[i % 2]) for i, text in enumerate(["w20 w21 w22 w23", "w24", "w25 w26 w27"])]
FAMILIES = ["bert", "roberta", "albert", "distilbert", "electra", "qwen2", "qwen3", "llama", "gpt2", "mpnet", "phi"]


def load(name: str, tied: bool = True) -> LoadedModel:
    model = make_model(name, tied=tied)
    kind = "causal" if name in CAUSAL else "masked"
    return LoadedModel(model, make_tokenizer(), family_of(model, kind), kind, f"tiny-{name}", "0" * 64, torch.device("cpu"))


def recipe(verbalizer, template="{text} it was [MASK]", method="full"):
    return Recipe().replace({"prompt.templates": [template], "prompt.verbalizer": verbalizer, "method": {"name": method}})


def tuned(name, verbalizer, template="{text} it was [MASK]", method="full", labels=LABELS, tied=True):
    torch.manual_seed(5)
    return tune(load(name, tied), recipe(verbalizer, template, method), labels)


def last_hidden(model, ids):
    """The last layer's states of one row as the model itself gives them; of some decoders only the base model's output has the norm."""
    with torch.no_grad():
        return getattr(model, model.base_model_prefix)(input_ids=torch.tensor([ids])).last_hidden_state[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_soft_vectors_begin_with_the_scores_of_their_words(family):
    soft = tuned(family, {"kind": "soft", "words": WORDS}).classifier
    manual = tuned(family, {"kind": "manual", "words": WORDS}).classifier
    # The manual score is the weighted mean of w_i . h + b_i, the soft one the weighted mean of w_i and b_i applied to h.
    assert torch.allclose(soft.predict(EXAMPLES), manual.predict(EXAMPLES), atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "qwen2"])
def test_soft_is_a_linear_map_of_what_the_vocabulary_product_takes(family):
    classifier = tuned(family, {"kind": "soft"}).classifier
    loaded, caught = classifier.loaded, []
    loaded.model.get_output_embeddings().register_forward_pre_hook(lambda module, given: caught.append(given[0]))
    plain = torch.nn.Linear(32, 2)
    plain.load_state_dict(classifier.verbalizer.module.state_dict())
    for example in EXAMPLES:
        encoding = classifier.encoders[0].encode(example.fields)
        loaded.model(input_ids=torch.tensor([encoding.input_ids]))
        expected = torch.softmax(plain(caught[-1][0, encoding.mask_positions[0]]), dim=-1)
        assert torch.allclose(classifier.predict([example])[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("family", "position", "template", "index"),
    [
        ("bert", "auto", "{text}", 0), ("bert", "auto", "{text} it was [MASK]", -2), ("bert", "first", "{text} it was [MASK]", 0),
        ("bert", "last", "{text}", -1), ("roberta", "mask", "[MASK] w9 : {text}", 1), ("qwen2", "auto", "{text}", -1),
        ("gpt2", "last", "{text} it was [MASK]", -1), ("llama", "mask", "{text} it was [MASK]", -1),
    ],
)  # fmt: skip
def test_a_head_is_a_linear_map_of_the_last_layer(family, position, template, index):
    classifier = tuned(family, {"kind": "head", "position": position}, template).classifier
    linear = classifier.verbalizer.module.linear
    together = classifier.predict(EXAMPLES)
    for example, probabilities in zip(EXAMPLES, together, strict=True):
        hidden = last_hidden(classifier.loaded.model, classifier.encoders[0].encode(example.fields).input_ids)
        assert torch.allclose(probabilities, torch.softmax(linear.weight @ hidden[index] + linear.bias, dim=-1), atol=1e-6)
    assert linear.bias.abs().sum() == 0 and linear.weight.std() < 0.04


def test_dropout_is_on_in_training_only():
    whole = tuned("bert", {"kind": "head", "dropout": 0.5}, "{text}")
    encoded = whole.classifier.encode(EXAMPLES)
    assert torch.equal(whole.classifier.predict(EXAMPLES), whole.classifier.predict(EXAMPLES))
    whole.train()
    assert not torch.equal(whole.classifier.log_probabilities(encoded), whole.classifier.log_probabilities(encoded))
    whole.classifier.predict(EXAMPLES)
    assert whole.classifier.verbalizer.module.training and whole.loaded.model.training


@pytest.mark.parametrize("method", method_names())
@pytest.mark.parametrize("kind", ["head", "soft", "prototypical"])
def test_every_method_trains_beside_a_verbalizer_and_comes_back(kind, method, tmp_path):
    template = "{text}" if kind == "head" else "{text} it was [MASK]"
    whole = tuned("bert", {"kind": kind}, template, method=method)
    names = [name for name, _ in whole.parameters()]
    assert len(set(names)) == len(names) and sum(name.startswith("verbalizer.") for name in names) == 2
    loss = -whole.classifier.log_probabilities(whole.classifier.encode(EXAMPLES))[:, 0].sum()
    loss.backward()
    assert [name for name, p in whole.parameters() if p.grad is None] == [], "what trains is what the loss depends on"
    with torch.no_grad():
        for _, parameter in whole.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    expected = whole.classifier.predict(EXAMPLES)
    whole.save(tmp_path)
    again = tuned("bert", {"kind": kind}, template, method=method)
    assert not torch.equal(again.classifier.predict(EXAMPLES), expected)
    again.restore(tmp_path)
    assert torch.equal(again.classifier.predict(EXAMPLES), expected)


@pytest.mark.parametrize("family", ["bert", "qwen3", "llama"])
def test_linear_probing_trains_the_linear_map_alone(family):
    whole = tuned(family, {"kind": "head"}, "{text}", method="head", tied=False)
    assert [name for name, _ in whole.parameters()] == ["verbalizer.0.linear.weight", "verbalizer.0.linear.bias"]
    assert whole.trainable_parameters == 2 * 32 + 2
    assert not any(p.requires_grad for p in whole.loaded.model.parameters())
    assert "linear probing" in whole.notes[0] and "66" in whole.notes[0]
    assert whole.learning_rate == 5e-3


def test_the_language_head_rests_when_nothing_reads_it():
    names = {name for name, _ in tuned("bert", {"kind": "head"}, "{text}", tied=False).parameters()}
    assert not any(name.startswith("cls.") for name in names) and "bert.embeddings.word_embeddings.weight" in names
    soft = {name for name, _ in tuned("bert", {"kind": "soft"}).parameters()}
    assert {name for name in soft if name.startswith("cls.")} == {
        f"cls.predictions.transform.{part}" for part in ("dense.weight", "dense.bias", "LayerNorm.weight", "LayerNorm.bias")
    }


def test_rates_are_the_verbalizers_own_then_the_recipes_then_tried_ones():
    own = tuned("bert", {"kind": "soft", "learning_rate": 0.25}, method="lora")
    name = own.parameters()[-1][0]
    assert [own.rate_of(name, 0.5), own.rate_of(name, 0.5, auto=True), own.rate_of("other", 0.5)] == [0.25, 0.25, 0.5]
    plain = tuned("bert", {"kind": "head"}, method="lora")
    assert [plain.rate_of(name, 0.5), plain.rate_of(name, 0.5, auto=True), plain.rate_of("other", 0.5, auto=True)] == [0.5, 5e-3, 0.5]
    assert plain.learning_rate == plain.attached.learning_rate


def test_saved_verbalizers_of_others_are_refused(tmp_path):
    tuned("bert", {"kind": "head"}).save(tmp_path)
    with pytest.raises(VerbalizerError, match="kind 'head'"):
        tuned("bert", {"kind": "soft"}).restore(tmp_path)
    with pytest.raises(VerbalizerError, match="labels"):
        tuned("bert", {"kind": "head"}, labels=("a", "b")).restore(tmp_path)
    facts = json.loads((tmp_path / "verbalizer.json").read_text())
    (tmp_path / "verbalizer.json").write_text(json.dumps(facts | {"labels": ["a", "b", "c"]}))
    with pytest.raises(VerbalizerError, match="does not fit"):
        tuned("bert", {"kind": "head"}, labels=("a", "b", "c")).restore(tmp_path)
    (tmp_path / "verbalizer.safetensors").unlink()
    with pytest.raises(VerbalizerError, match="missing or damaged"):
        tuned("bert", {"kind": "head"}).restore(tmp_path)


def test_words_by_hand_leave_no_file_of_their_own(tmp_path):
    tuned("bert", {"kind": "manual", "words": WORDS}, method="lora").save(tmp_path)
    assert not any(p.name.startswith("verbalizer") for p in tmp_path.iterdir())


def test_only_a_head_does_without_a_mask():
    with pytest.raises(TemplateError, match="no \\[MASK\\]"):
        tuned("bert", {"kind": "soft"}, "{text}")
    with pytest.raises(TemplateError, match="no \\[MASK\\]"):
        tuned("bert", {"kind": "head", "position": "mask"}, "{text}")
    with pytest.raises(VerbalizerError, match="first token of a causal model"):
        tuned("qwen2", {"kind": "head", "position": "first"}, "{text}")
    tuned("bert", {"kind": "head"}, "{text}")


def test_a_refused_prompt_leaves_the_model_free():
    loaded = load("bert")
    with pytest.raises(TemplateError):
        tune(loaded, recipe({"kind": "head"}, "{text"), LABELS)
    with pytest.raises(MethodError, match="no tuning method"):
        tune(loaded, recipe({"kind": "head"}, method="fulll"), LABELS)
    tune(loaded, recipe({"kind": "head"}), LABELS)


def test_several_templates_share_one_head():
    both = Recipe().replace({"prompt.templates": ["{text}", "w9 {text} [MASK]"], "prompt.verbalizer": {"kind": "head"}})
    whole = tune(load("bert"), both, LABELS)
    assert len(whole.verbalizers) == 1 and len(whole.classifier.verbalizers) == 2
    assert whole.classifier.predict(EXAMPLES).shape == (3, 2)
