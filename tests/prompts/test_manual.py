import pytest
import torch

from tests.prompts.tiny_tokenizers import qwen_like, roberta_like, wordpiece
from workbench.errors import VerbalizerError
from workbench.prompts.verbalizers import build_verbalizer, verbalizer_info, verbalizer_kinds

LABELS = ("negative", "positive")


def manual(words, tokenizer=None, labels=LABELS, causal=False, leading_space=True):
    options = {"kind": "manual", "words": words}
    return build_verbalizer(options, labels, tokenizer or wordpiece(), causal=causal, leading_space=leading_space)


def test_manual_is_registered_and_an_unknown_kind_gets_the_nearest():
    assert "manual" in verbalizer_kinds()
    with pytest.raises(VerbalizerError, match="Did you mean 'manual'"):
        build_verbalizer({"kind": "manuel"}, LABELS, wordpiece(), causal=False, leading_space=True)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ({"positive": ["great"]}, "no words for label 'negative'"),
        ({"positive": ["great"], "negative": []}, "no words for label 'negative'"),
        ({}, "no words for 2 labels: 'negative', 'positive'"),
        ({"positive": ["great"], "negative": ["bad"], "negativ": ["awful"]}, "Did you mean 'negative'"),
        ({"positive": ["🙂"], "negative": ["bad"]}, "does not know the word '🙂'"),
        ({"positive": ["Great"], "negative": ["great"]}, "are the same tokens"),
        ({"positive": {"great": 0}, "negative": ["bad"]}, "The weight of 'great'"),
        ({"positive": {"great": "x"}, "negative": ["bad"]}, "The weight of 'great'"),
        (None, "no words"),
    ],
)
def test_words_that_cannot_work_are_refused(words, part):
    with pytest.raises(VerbalizerError) as caught:
        manual(words)
    assert part in str(caught.value) and caught.value.fix


def test_class_scores_are_the_weighted_mean_over_words():
    verbalizer = manual({"positive": {"great": 3, "good": 1}, "negative": "bad"})
    ids = verbalizer.token_ids
    logits = torch.randn(2, 1, len(ids))
    position = {word.text: ids.index(word.token_ids[0]) for word in verbalizer.words}
    great, good, bad = (logits[:, 0, position[w]] for w in ("great", "good", "bad"))
    expected = torch.stack([bad, 0.75 * great + 0.25 * good], dim=1)
    assert torch.allclose(verbalizer.class_scores({1: logits}, None), expected)
    assert not verbalizer.needs_normalizer


def test_words_of_several_tokens_are_sums_over_their_masks():
    verbalizer = manual({"positive": ["满意"], "negative": ["不满", "差"]})
    assert verbalizer.mask_counts == (1, 2) and verbalizer.needs_normalizer
    logits = {m: torch.randn(3, m, len(verbalizer.token_ids)) for m in (1, 2)}
    normalizers = {m: torch.randn(3, m) for m in (1, 2)}
    scores = verbalizer.word_scores(logits, normalizers)
    for i, word in enumerate(verbalizer.words):
        m = len(word.token_ids)
        columns = [verbalizer.token_ids.index(t) for t in word.token_ids]
        expected = sum(logits[m][:, j, column] - normalizers[m][:, j] for j, column in enumerate(columns))
        assert torch.allclose(scores[:, i], expected, atol=1e-6)
    assert any("2 tokens" in warning.message for warning in verbalizer.diagnose())


def test_byte_level_words_carry_the_blank_that_the_template_has():
    for tokenizer in (roberta_like(), qwen_like()):
        words = {"positive": ["great"], "negative": ["bad"]}
        spaced = manual(words, tokenizer, leading_space=True).words[1].token_ids
        glued = manual(words, tokenizer, leading_space=False).words[1].token_ids
        assert tokenizer.decode(spaced) == " great" and tokenizer.decode(glued) == "great"


def test_numbers_as_labels_and_words_are_read_as_text():
    assert [w.text for w in manual({0: ["bad"], 1: [5]}, labels=("0", "1")).words] == ["bad", "5"]


def test_warnings_name_shared_beginnings_and_equal_words():
    warnings = manual({"positive": ["Good", "good"], "negative": ["不满", "不好"]}).diagnose()
    assert any("the same to this model" in w.message for w in warnings)


@pytest.mark.parametrize("pooling", ["first", "max", "mean"])
def test_pooled_words_follow_the_formula_at_one_mask(pooling):
    # OpenPrompt's ManualVerbalizer: pool a word's token logits, log-softmax over all label words, mean over the words of a class.
    options = {"kind": "manual", "words": {"positive": ["满意", "good"], "negative": ["不满", "差"]}, "multi_token": pooling}
    verbalizer = build_verbalizer(options, LABELS, wordpiece(), causal=False, leading_space=True)
    assert verbalizer.mask_counts == verbalizer.contexts == (1,) and not verbalizer.needs_normalizer
    logits = torch.randn(4, 1, len(verbalizer.token_ids))
    pooled = []
    for word in verbalizer.words:
        values = logits[:, 0, [verbalizer.token_ids.index(token) for token in word.token_ids]]
        pooled.append({"first": values[:, 0], "max": values.max(dim=1).values, "mean": values.sum(dim=1) / len(word.token_ids)}[pooling])
    words = torch.log_softmax(torch.stack(pooled, dim=1), dim=1)
    classes = torch.stack([words[:, [w.label == i for w in verbalizer.words]].mean(dim=1) for i in range(2)], dim=1)
    found = verbalizer.class_scores({1: logits})
    assert torch.allclose(torch.softmax(found, dim=1), torch.softmax(classes, dim=1), atol=1e-6)
    assert {d.code for d in verbalizer.diagnose()} == {"pooled"}


def test_first_refuses_words_that_only_differ_later():
    words = {"positive": ["不好"], "negative": ["不满"]}
    assert {d.code for d in manual(words).diagnose()} >= {"pieces", "first_token"}
    options = {"kind": "manual", "words": words, "multi_token": "first"}
    with pytest.raises(VerbalizerError, match="same tokens"):
        build_verbalizer(options, LABELS, wordpiece(), causal=False, leading_space=True)


def test_every_mistake_is_said_at_once():
    with pytest.raises(VerbalizerError) as caught:
        build_verbalizer({"kind": "manual", "wrods": {}, "multi_token": "last"}, LABELS, wordpiece(), causal=False, leading_space=True)
    for part in ("Unknown option 'wrods'", "'words'", "'multi_token' is 'last'"):
        assert part in caught.value.message
    with pytest.raises(VerbalizerError) as caught:
        manual({"positive": {"great": 0, "🙂": 1}, "neutral": ["fine"]})
    for part in ("The weight of 'great'", "'🙂'", "'neutral'", "no words for label 'negative'"):
        assert part in caught.value.message
    for kind in verbalizer_kinds():
        info = verbalizer_info(kind)
        assert info.title and info.description and all(field.description for field in info.fields)
