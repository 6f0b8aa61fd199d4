"""Calibration against closed forms computed from the model's full logits, on masked and causal models."""

import math

import pytest
import torch

from tests.models.tiny import CAUSAL, make_model, make_tokenizer
from workbench.data.dataset import InputExample
from workbench.models.families import family_of
from workbench.models.loading import LoadedModel
from workbench.recipe import PromptPart
from workbench.serving.calibration import skew
from workbench.serving.classifier import PromptClassifier

LABELS = ("no", "yes")
WORDS = {"yes": {"great": 3, "w11": 1}, "no": ["bad", "w12"]}
EXAMPLES = [InputExample(str(i), {"text": text}, LABELS[i % 2]) for i, text in enumerate(["w20 w21 w22 w23", "w24", "w25 w26"])]
TEMPLATE = "{text} it was [MASK]"


def classifier(name="bert", templates=(TEMPLATE,), words=WORDS, **options):
    model = make_model(name)
    kind = "causal" if name in CAUSAL else "masked"
    loaded = LoadedModel(model, make_tokenizer(), family_of(model, kind), kind, name, "0" * 64, torch.device("cpu"))
    part = PromptPart(templates=list(templates), verbalizer={"kind": "manual", "words": words, **options}, max_length=32)
    return PromptClassifier(loaded, part, LABELS)


def log_p(model, encoder, text):
    """Log-probabilities over the vocabulary at the mask of one prompt, from the model's own logits."""
    encoding = encoder.encode({"text": text})
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([encoding.input_ids])).logits[0, encoding.mask_positions[0]]
    return torch.log_softmax(logits.double(), dim=-1)


def by_hand(found, text, minus=None):
    """Class scores: the weighted mean over words of log P(word | prompt), less log P(word | domain prompt) where one is given."""
    model, encoder = found.loaded.model, found.encoders[0]
    values = log_p(model, encoder, text) - (0 if minus is None else log_p(model, encoder, minus))
    word = {w.text: values[w.token_ids[0]] for w in found.verbalizer.words}
    return torch.stack([(word["bad"] + word["w12"]) / 2, (3 * word["great"] + word["w11"]) / 4])


@pytest.mark.parametrize("name", ["bert", "qwen2"])
def test_pmi_is_the_difference_of_log_probabilities_word_by_word(name):
    found = classifier(name, calibration="pmi")
    for example, probabilities in zip(EXAMPLES, found.predict(EXAMPLES), strict=True):
        expected = torch.softmax(by_hand(found, example.fields["text"], minus=""), dim=0)
        assert torch.allclose(probabilities.double(), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "qwen2"])
def test_contextual_calibration_divides_by_the_content_free_mean(name):
    free = ["w9", "", "[MASK]"]
    found = classifier(name, calibration="contextual", content_free=free)
    p_cf = torch.stack([torch.softmax(by_hand(found, text), dim=0) for text in free]).mean(dim=0)
    for example, probabilities in zip(EXAMPLES, found.predict(EXAMPLES), strict=True):
        divided = torch.softmax(by_hand(found, example.fields["text"]), dim=0) / p_cf
        assert torch.allclose(probabilities.double(), divided / divided.sum(), atol=1e-5)
    assert list(found.prior().values()) == pytest.approx(p_cf.tolist(), abs=1e-5)
    # What says nothing is answered with nothing: calibrated on one input, that input gives equal shares.
    single = classifier(name, calibration="contextual", content_free=["w9"])
    assert single.predict([InputExample("0", {"text": "w9"}, None)])[0].tolist() == pytest.approx([0.5, 0.5], abs=1e-6)


def test_each_template_of_an_ensemble_is_calibrated_by_itself():
    templates = [TEMPLATE, "w9 [MASK] {text}"]
    both = classifier(templates=templates, calibration="contextual").predict(EXAMPLES)
    single = [classifier(templates=[t], calibration="contextual").predict(EXAMPLES) for t in templates]
    assert torch.allclose(both, (single[0] + single[1]) / 2, atol=1e-6)


def test_words_of_several_tokens_are_calibrated_too():
    words = {"yes": ["great w11"], "no": ["bad"]}
    for name in ("bert", "qwen2"):
        plain, pmi = classifier(name, words=words), classifier(name, words=words, calibration="pmi")
        shares = plain.predict([InputExample("", {"text": ""}, None), *EXAMPLES]).log()
        assert torch.allclose(pmi.predict(EXAMPLES), torch.softmax(shares[1:] - shares[0], dim=1), atol=1e-5)


def test_the_offsets_are_kept_until_a_weight_changes(monkeypatch):
    found = classifier(calibration="contextual")
    calls = []
    real = PromptClassifier.template_log_probabilities
    monkeypatch.setattr(PromptClassifier, "template_log_probabilities", lambda self, *a: calls.append(len(a[0])) or real(self, *a))
    first = found.predict(EXAMPLES)
    assert calls == [3, 3] and torch.equal(found.predict(EXAMPLES), first) and calls == [3, 3, 3]
    optimizer = torch.optim.AdamW(found.loaded.model.parameters(), lr=0.1, fused=True)
    found.log_probabilities(found.encode(EXAMPLES)).sum().backward()
    optimizer.step()
    calls.clear()
    found.predict(EXAMPLES)
    assert calls == [3, 3]
    fresh = classifier(calibration="contextual")
    fresh.loaded.model.load_state_dict(found.loaded.model.state_dict())
    assert torch.equal(fresh.predict(EXAMPLES), found.predict(EXAMPLES))


def test_training_is_not_calibrated():
    plain, calibrated = classifier(), classifier(calibration="contextual")
    encoded = plain.encode(EXAMPLES)
    assert torch.equal(plain.log_probabilities(encoded), calibrated.log_probabilities(encoded))


def test_a_skewed_prior_is_said_with_its_share():
    assert skew({"no": 0.5, "yes": 0.5}) is None and skew({"no": 0.8, "yes": 0.2}) is None
    found = skew({"no": 0.05, "yes": 0.95})
    assert found.code == "skew" and found.values == {"label": "yes", "share": "95%"}
    # Half of the greatest entropy of four classes is one bit: two equal classes and two empty ones.
    assert skew({"a": 0.51, "b": 0.49, "c": 0.0, "d": 0.0}) is not None and skew({"a": 0.7, "b": 0.1, "c": 0.1, "d": 0.1}) is None
    found = classifier()
    weight = found.loaded.model.get_output_embeddings().bias
    with torch.no_grad():
        weight[next(w.token_ids[0] for w in found.verbalizer.words if w.text == "great")] += 40
    assert [d.code for d in found.diagnose()] == ["skew"] and math.isclose(sum(found.prior().values()), 1, rel_tol=1e-6)
    assert not classifier(calibration="contextual").diagnose()
