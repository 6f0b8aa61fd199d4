import math
from types import SimpleNamespace

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, Qwen2Config, Qwen2ForCausalLM, RobertaConfig, RobertaForMaskedLM

from tests.prompts.tiny_tokenizers import qwen_like, roberta_like, wordpiece
from workbench.data.dataset import InputExample
from workbench.errors import DataError, TemplateError
from workbench.models.families import family_of
from workbench.models.loading import LoadedModel
from workbench.recipe import PromptPart
from workbench.serving.classifier import PromptClassifier, model_max_length

TEXTS = ["the movie was great", "a bad film", "这本书很好", "", "it is [MASK] good " * 40]
EXAMPLES = [InputExample(str(i), {"text": text}, ("yes", "no")[i % 2], i + 2) for i, text in enumerate(TEXTS)]
LABELS = ("no", "yes")
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
SINGLE = {"kind": "manual", "words": {"yes": {"great": 2, "good": 1}, "no": ["bad"]}}
MIXED = {"kind": "manual", "words": {"yes": ["很好", "good"], "no": ["不满意", "bad"]}}


def loaded(model, tokenizer, kind="masked"):
    return LoadedModel(model.eval(), tokenizer, family_of(model, kind), kind, "tiny", "", torch.device("cpu"), "none")


@pytest.fixture(scope="module")
def bert():
    torch.manual_seed(0)
    # Weights five times the usual, so that probabilities differ visibly.
    config = BertConfig(vocab_size=len(wordpiece()), max_position_embeddings=64, pad_token_id=0, initializer_range=0.1, **SIZE)
    return loaded(BertForMaskedLM(config), wordpiece())


@pytest.fixture(scope="module")
def roberta():
    torch.manual_seed(1)
    config = RobertaConfig(vocab_size=len(roberta_like()), max_position_embeddings=50, pad_token_id=1, initializer_range=0.1, **SIZE)
    return loaded(RobertaForMaskedLM(config), roberta_like())


@pytest.fixture(scope="module")
def qwen():
    torch.manual_seed(2)
    config = Qwen2Config(
        vocab_size=len(qwen_like()), num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.1, pad_token_id=0, **SIZE
    )
    return loaded(Qwen2ForCausalLM(config), qwen_like(), "causal")


def prompt(*templates, verbalizer=SINGLE, max_length=32):
    return PromptPart(templates=list(templates), verbalizer=verbalizer, max_length=max_length)


def full_log_softmax(model, ids):
    with torch.no_grad():
        return torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0], dim=-1)


def slow_masked(classifier, row, template=0):
    """Class log-probabilities of one row from the model's full logits, word by word, as the definition reads."""
    model, verbalizer, encoder = classifier.loaded.model, classifier.verbalizers[template], classifier.encoders[template]
    scores = torch.zeros(len(classifier.labels))
    weights = torch.zeros(len(classifier.labels))
    for word in verbalizer.words:
        encoding = encoder.encode(row, masks=len(word.token_ids))
        log_probs = full_log_softmax(model, encoding.input_ids)
        score = sum(log_probs[p, t] for p, t in zip(encoding.mask_positions, word.token_ids, strict=True))
        scores[word.label] += word.weight * score
        weights[word.label] += word.weight
    return torch.log_softmax(scores / weights, dim=-1)


def slow_causal(classifier, row):
    """As `slow_masked`, by the chain rule: each token of a word given the prompt and the word's earlier tokens."""
    scores = torch.zeros(len(classifier.labels))
    weights = torch.zeros(len(classifier.labels))
    for word in classifier.verbalizer.words:
        ids = classifier.encoders[0].encode(row, masks=max(classifier.verbalizer.mask_counts)).input_ids
        score = 0.0
        for i, token in enumerate(word.token_ids):
            score += full_log_softmax(classifier.loaded.model, ids + list(word.token_ids[:i]))[-1, token]
        scores[word.label] += word.weight * score
        weights[word.label] += word.weight
    return torch.log_softmax(scores / weights, dim=-1)


@pytest.mark.parametrize("verbalizer", [SINGLE, MIXED], ids=["single", "mixed"])
@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_masked_probabilities_equal_one_row_at_a_time_with_full_logits(name, verbalizer, request):
    part = prompt("{text} it was [MASK] .", verbalizer=verbalizer, max_length=40)
    classifier = PromptClassifier(request.getfixturevalue(name), part, LABELS)
    expected = torch.stack([slow_masked(classifier, {"text": text}) for text in TEXTS]).exp()
    assert torch.allclose(classifier.predict(EXAMPLES, batch_size=2), expected, atol=1e-5)
    assert expected.std(dim=0).max() > 1e-4


@pytest.mark.parametrize("verbalizer", [SINGLE, MIXED], ids=["single", "mixed"])
def test_causal_probabilities_follow_the_chain_rule(qwen, verbalizer):
    # Blank and Chinese words alike; 40 tokens leave room for words of many bytes, and the long text is cut.
    short = EXAMPLES[:4]
    classifier = PromptClassifier(qwen, prompt("{text} it was [MASK]", verbalizer=verbalizer, max_length=60), LABELS)
    expected = torch.stack([slow_causal(classifier, e.fields) for e in short]).exp()
    assert torch.allclose(classifier.predict(short, batch_size=3), expected, atol=1e-5)


def test_several_templates_are_the_mean_of_their_probabilities(bert):
    templates = ["{text} it was [MASK] .", "[MASK] : {text}"]
    single = [PromptClassifier(bert, prompt(t), LABELS).predict(EXAMPLES) for t in templates]
    both = PromptClassifier(bert, prompt(*templates), LABELS).predict(EXAMPLES)
    assert torch.allclose(both, (single[0] + single[1]) / 2, atol=1e-6)
    assert torch.allclose(both.sum(dim=1), torch.ones(len(TEXTS)), atol=1e-5)


@pytest.mark.parametrize("verbalizer", [SINGLE, {**SINGLE, "calibration": "contextual"}, {"kind": "soft", "words": SINGLE["words"]}])
@pytest.mark.parametrize("name", ["bert", "roberta", "qwen"])
def test_pairs_are_the_mean_of_each_template_in_its_own_words(name, verbalizer, request):
    """Published pairs (PET's for BoolQ) ask one template twice, with other words; the mean is that of the paper's uniform ensemble."""
    own = {"yes": ["it"], "no": ["film"]}
    third = "{text} : [MASK]" if verbalizer["kind"] == "soft" else "{text} :[MASK]"  # vectors are one for all templates of the same words
    sources = ["{text} it was [MASK]", "{text} it was [MASK]", third]
    pairs = prompt(*sources, verbalizer=verbalizer).model_copy(update={"template_words": [None, own, own]})
    ensemble = PromptClassifier(request.getfixturevalue(name), pairs, LABELS)
    singles = [
        PromptClassifier(request.getfixturevalue(name), prompt(source, verbalizer={**verbalizer, "words": words}), LABELS).predict(EXAMPLES)
        for source, words in zip(sources, (SINGLE["words"], own, own), strict=True)
    ]
    assert (singles[0] - singles[1]).abs().max() > 1e-3
    assert (ensemble.predict(EXAMPLES) - torch.stack(singles).mean(dim=0)).abs().max() < 1e-5
    assert (ensemble.predict_each(EXAMPLES) - torch.stack(singles)).abs().max() < 1e-5


def test_warnings_are_about_the_words_of_every_template(bert):
    pairs = prompt("{text} it was [MASK]", "{text} [MASK]").model_copy(update={"template_words": [None, {"yes": ["很好"], "no": ["bad"]}]})
    codes = [{found.code for found in PromptClassifier(bert, asked, LABELS).diagnose()} for asked in (pairs.alone(0), pairs)]
    assert "pieces" not in codes[0] and "pieces" in codes[1]


def test_batches_change_nothing_and_the_order_is_kept(bert):
    classifier = PromptClassifier(bert, prompt("{text} it was [MASK] .", verbalizer=MIXED), LABELS)
    assert torch.allclose(classifier.predict(EXAMPLES, batch_size=1), classifier.predict(EXAMPLES, batch_size=5), atol=1e-6)
    assert classifier.predict([]).shape == (0, 2)


def test_log_probabilities_carry_gradients_and_prediction_restores_the_mode(bert):
    classifier = PromptClassifier(bert, prompt("{text} it was [MASK] ."), LABELS)
    encoded = classifier.encode(EXAMPLES)
    assert [e.label for e in encoded] == [1, 0, 1, 0, 1]
    assert encoded[4].length == 32 and encoded[4].variants[0].removed_tokens > 0
    bert.model.train()
    bert.model.bert.embeddings.eval()
    loss = -classifier.log_probabilities(encoded)[:, 0].mean()
    loss.backward()
    assert bert.model.bert.encoder.layer[0].attention.self.query.weight.grad.abs().sum() > 0
    classifier.predict(EXAMPLES)
    assert bert.model.training and not bert.model.bert.embeddings.training
    bert.model.zero_grad()
    bert.model.eval()


def test_label_words_are_probabilities_over_the_vocabulary(bert):
    classifier = PromptClassifier(bert, prompt("{text} it was [MASK] .", verbalizer=MIXED), LABELS)
    row = classifier.encoders[0].encode(EXAMPLES[0].fields, masks=2)
    log_probs = full_log_softmax(bert.model, row.input_ids)
    word = next(w for w in classifier.verbalizer.words if w.text == "很好")
    expected = math.exp(sum(log_probs[p, t] for p, t in zip(row.mask_positions, word.token_ids, strict=True)))
    words = classifier.label_word_probabilities(EXAMPLES)
    assert words[0]["很好"] == pytest.approx(expected, rel=1e-4)


def test_words_found_under_templates_with_and_without_a_blank_are_added_up_by_word(bert, roberta):
    rows = [InputExample(str(i), {"text": text}, ("yes", "no")[i % 2], i + 2) for i, text in enumerate(["good film", "bad book"] * 4)]
    for model in (bert, roberta):
        found = {"kind": "automatic", "words_per_label": 3}
        classifier = PromptClassifier(model, prompt("{text} it was [MASK] .", "{text}[MASK]", verbalizer=found), LABELS)
        classifier.fit(rows)
        assert len(classifier.distinct_verbalizers) == 2
        # By itself, each template is a classifier of its own with the words that it found.
        expected: dict[str, list[float]] = {}
        for encoder, verbalizer in zip(classifier.encoders, classifier.verbalizers, strict=True):
            words = {label: [w.text for w in verbalizer.words if classifier.labels[w.label] == label] for label in LABELS}
            alone = PromptClassifier(model, prompt(encoder.template.source, verbalizer={"kind": "manual", "words": words}), LABELS)
            for word, share in alone.label_word_probabilities(rows[:1])[0].items():
                expected.setdefault(word, []).append(share)
        (shares,) = classifier.label_word_probabilities(rows[:1])
        assert shares == pytest.approx({word: sum(one) / len(one) for word, one in expected.items()}, rel=1e-4)


def test_the_models_own_length_bounds_the_prompt(bert, roberta):
    assert model_max_length(bert) == 64
    assert model_max_length(roberta) == 48  # 50 positions, of which the first padding_idx + 1 = 2 are never used
    classifier = PromptClassifier(roberta, prompt("{text} it was [MASK] .", max_length=512), LABELS)
    assert classifier.encode(EXAMPLES)[4].length == 48
    assert torch.isfinite(classifier.predict(EXAMPLES)).all()


def test_what_cannot_work_is_said_before_any_row_is_read(bert, qwen):
    with pytest.raises(TemplateError, match="The template alone"):
        PromptClassifier(bert, prompt("{text} it was really really a good film [MASK] .", max_length=8), LABELS)
    with pytest.raises(TemplateError, match="behind"):
        PromptClassifier(qwen, prompt("{text} it was [MASK] ."), LABELS)
    classifier = PromptClassifier(bert, prompt("{text} it was [MASK] ."), LABELS)
    with pytest.raises(DataError, match="line 7"):
        classifier.encode([InputExample("0", {"text": "x"}, "maybe", 7)])


def test_only_label_word_rows_are_asked_for(bert, monkeypatch):
    asked = []

    def spy(loaded, input_ids, attention_mask, mask_positions, token_ids, *, normalizer=False):
        asked.append(SimpleNamespace(words=token_ids.tolist(), normalizer=normalizer, shape=mask_positions.shape))
        return torch.zeros(*mask_positions.shape, len(token_ids)), None

    monkeypatch.setattr("workbench.serving.reading.cloze_logits", spy)
    classifier = PromptClassifier(bert, prompt("{text} it was [MASK] ."), LABELS)
    classifier.predict(EXAMPLES)
    assert [(call.words, call.normalizer, call.shape) for call in asked] == [(classifier.verbalizer.token_ids, False, (5, 1))]


@pytest.mark.parametrize("name", ["bert", "qwen"])
def test_a_model_that_is_loaded_in_another_thread_disturbs_no_answer(name, request):
    """transformers makes a checkpoint's dtype the default of the whole process while it builds a model."""
    classifier = PromptClassifier(request.getfixturevalue(name), prompt("{text} it is [MASK]"), LABELS)
    expected = classifier.predict(EXAMPLES)
    torch.set_default_dtype(torch.float16)
    try:
        assert torch.equal(classifier.predict(EXAMPLES), expected)
        assert classifier.label_word_probabilities(EXAMPLES[:1])
    finally:
        torch.set_default_dtype(torch.float32)
