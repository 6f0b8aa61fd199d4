import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

from tests.prompts.tiny_tokenizers import qwen_like, wordpiece
from workbench.data.dataset import InputExample
from workbench.models.attention import attention_at
from workbench.models.families import family_of
from workbench.models.loading import LoadedModel
from workbench.prompts.soft import without_soft
from workbench.recipe import PromptPart
from workbench.serving.classifier import PromptClassifier
from workbench.serving.preview import preview

PROMPT = PromptPart(
    templates=["{text} it was [MASK] ."], verbalizer={"kind": "manual", "words": {"yes": ["great", "good"], "no": ["bad"]}}, max_length=10
)


@pytest.fixture(scope="module")
def bert():
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(wordpiece()), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    model = BertForMaskedLM(config).eval()
    return LoadedModel(model, wordpiece(), family_of(model, "masked"), "masked", "tiny", "", torch.device("cpu"), "none")


def test_a_row_shows_tokens_roles_cuts_and_probabilities(bert):
    examples = [InputExample("0", {"text": "the movie was great"}, "unseen label"), InputExample("1", {"text": "bad " * 9}, None)]
    rows = preview(bert, PROMPT, ("no", "yes"), examples, k=4)
    assert [(t.text, t.role) for t in rows[0].tokens] == [
        ("[CLS]", "special"), ("the", "text:text"), ("movie", "text:text"), ("was", "text:text"), ("great", "text:text"),
        ("it", "template"), ("was", "template"), ("[MASK]", "mask"), (".", "template"), ("[SEP]", "special"),
    ]
    assert [row.prompts[0].removed_tokens for row in rows] == [0, 5]
    assert rows[0].example is examples[0]
    for row in rows:
        (top,) = (top.tokens for top in row.top)
        assert len(top) == 4 and top == sorted(top, key=lambda pair: -pair[1])
        assert sum(row.class_probabilities.values()) == pytest.approx(1)
        assert {label: set(words) for label, words in row.label_words.items()} == {"no": {"bad"}, "yes": {"great", "good"}}
        assert all(0 < p < 1 for words in row.label_words.values() for p in words.values())
    assert preview(bert, PROMPT, ("no", "yes"), []) == []


def test_one_pass_says_what_the_classifier_says(bert):
    examples = [InputExample("0", {"text": "the movie was great"}, None), InputExample("1", {"text": "bad " * 9}, None)]
    classifier = PromptClassifier(bert, PROMPT, ("no", "yes"))
    rows = preview(bert, PROMPT, ("no", "yes"), examples, k=4)
    expected, words = classifier.predict(examples).tolist(), classifier.label_word_probabilities(examples)
    for row, classes, found in zip(rows, expected, words, strict=True):
        assert list(row.class_probabilities.values()) == pytest.approx(classes, abs=1e-6)
        assert {w: p for of in row.label_words.values() for w, p in of.items()} == pytest.approx(found, abs=1e-7)
        assert row.masses == {1: pytest.approx(sum(found.values()), abs=1e-7)}
        encoding = classifier.encoders[0].encode(row.example.fields)
        with torch.no_grad():
            logits = bert.model(torch.tensor([encoding.input_ids])).logits[0, encoding.mask_positions[0]]
        probabilities, ids = (found.tolist() for found in logits.softmax(dim=-1).topk(4))
        assert [word for word, _ in row.top[0].tokens] == [bert.tokenizer.decode([number]) for number in ids]
        assert [share for _, share in row.top[0].tokens] == pytest.approx(probabilities, abs=1e-6)


def test_words_of_several_tokens_show_a_top_for_each_mask_and_their_mass(bert):
    prompt = PROMPT.model_copy(update={"verbalizer": {"kind": "manual", "words": {"yes": ["满意"], "no": ["不满"]}}, "max_length": 20})
    (row,) = preview(bert, prompt, ("no", "yes"), [InputExample("0", {"text": "good"}, None)], k=3)
    assert [len(top.tokens) for top in row.top] == [3, 3] and sum(t.role == "mask" for t in row.tokens) == 2
    assert row.masses == {2: pytest.approx(sum(p for words in row.label_words.values() for p in words.values()))}


def test_words_of_mixed_lengths_show_every_mask_of_every_prompt(bert):
    words = {"yes": ["great", "满意"], "no": ["bad"]}
    prompt = PROMPT.model_copy(update={"verbalizer": {"kind": "manual", "words": words}, "max_length": 20})
    (row,) = preview(bert, prompt, ("no", "yes"), [InputExample("0", {"text": "good"}, None)], k=3)
    assert [(top.number, top.masks) for top in row.top] == [(1, 1), (1, 2), (2, 2)]
    found = {word: p for words in row.label_words.values() for word, p in words.items()}
    assert row.masses == {1: pytest.approx(found["great"] + found["bad"]), 2: pytest.approx(found["满意"])}
    classifier = PromptClassifier(bert, prompt, ("no", "yes"))
    encoding = classifier.encoders[0].encode({"text": "good"}, masks=2)
    with torch.no_grad():
        logits = bert.model(torch.tensor([encoding.input_ids])).logits[0, encoding.mask_positions]
    for top, likeliest in zip(row.top[1:], logits.softmax(dim=-1).topk(3).indices.tolist(), strict=True):
        assert [word for word, _ in top.tokens] == [bert.tokenizer.decode([number]) for number in likeliest]


def test_words_of_mixed_lengths_show_every_prompt_with_its_own_cut_and_attention(bert):
    prompt = PROMPT.model_copy(update={"verbalizer": {"kind": "manual", "words": {"yes": ["great", "满意"], "no": ["bad"]}}})
    (row,) = preview(bert, prompt, ("no", "yes"), [InputExample("0", {"text": "bad " * 9}, None)], attention=True)
    assert [(read.masks, read.removed_tokens) for read in row.prompts] == [(1, 5), (2, 6)] and row.tokens == row.prompts[0].tokens
    for read in row.prompts:
        assert sum(token.role == "mask" for token in read.tokens) == read.masks
        assert sum(token.cut for token in read.tokens) == read.removed_tokens
        assert sum(token.attention for token in read.tokens if not token.cut) == pytest.approx(1, abs=1e-5)


def test_a_causal_model_shows_what_it_would_write_behind_the_beginning_of_each_word():
    tokenizer = qwen_like()
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=64, n_embd=32, n_layer=2, n_head=4, bos_token_id=None, eos_token_id=tokenizer.eos_token_id
    )
    model = GPT2LMHeadModel(config).eval()
    gpt = LoadedModel(model, tokenizer, family_of(model, "causal"), "causal", "tiny", "", torch.device("cpu"), "none")
    prompt = PromptPart(templates=["{text} [MASK]"], verbalizer={"kind": "manual", "words": {"yes": ["great plot"], "no": ["bad plot"]}})
    (row,) = preview(gpt, prompt, ("no", "yes"), [InputExample("0", {"text": "good"}, None)], k=3)
    contexts = PromptClassifier(gpt, prompt, ("no", "yes")).verbalizer.contexts
    beginnings = {context[:length] for context in contexts for length in range(len(context) + 1)}
    assert len(contexts) == 2 and row.top[0].behind == ""
    assert sorted(top.behind for top in row.top) == sorted(map(tokenizer.decode, beginnings)), "what both begin with is shown once"
    long = InputExample("0", {"text": "good " * 9}, None)
    for most in (6, 128):
        (row,) = preview(gpt, prompt.model_copy(update={"max_length": most}), ("no", "yes"), [long])
        (encoded,) = PromptClassifier(gpt, prompt.model_copy(update={"max_length": most}), ("no", "yes")).encode([long])
        cut = {variant.removed_tokens for variant in encoded.variants}
        assert {shown.removed_tokens for shown in row.prompts} == cut, "what gives way to the beginning of a word is cut"


@pytest.mark.parametrize(("cut", "kept"), [("tail", [True, True, True, False, False]), ("head", [False, False, True, True, True]),
                                           ("middle", [True, True, False, False, True])])  # fmt: skip
def test_what_is_cut_stands_where_it_was(bert, cut, kept):
    prompt = PROMPT.model_copy(update={"templates": [f"{{text|{cut}}} [MASK]"], "max_length": 6})
    (row,) = preview(bert, prompt, ("no", "yes"), [InputExample("0", {"text": "the movie was really great"}, None)])
    text = [token for token in row.tokens if token.role == "text:text"]
    assert [token.text for token in text] == ["the", "movie", "was", "really", "great"]
    assert [not token.cut for token in text] == kept and row.prompts[0].removed_tokens == 2


def test_attention_of_the_mask_is_a_distribution_and_changes_nothing(bert):
    examples = [InputExample("0", {"text": "the movie was great"}, None), InputExample("1", {"text": "good"}, None)]
    implementation = bert.model.config._attn_implementation
    before = preview(bert, PROMPT, ("no", "yes"), examples)
    looked = preview(bert, PROMPT, ("no", "yes"), examples, attention=True)
    for row in looked:
        assert sum(token.attention for token in row.tokens if not token.cut) == pytest.approx(1, abs=1e-5)
    assert all(token.attention is None for row in before for token in row.tokens)
    for row, other in zip(preview(bert, PROMPT, ("no", "yes"), examples), before, strict=True):
        assert row.tokens == other.tokens and row.class_probabilities == pytest.approx(other.class_probabilities, abs=1e-6)
    assert bert.model.config._attn_implementation == implementation, "the model is as it was"
    assert not any(module._forward_hooks for module in bert.model.modules()), "nobody listens to its layers"
    inputs = torch.tensor([[2, 7, 8, 4, 3]])
    weights = attention_at(bert, inputs, torch.ones_like(inputs), torch.tensor([[3]]))
    eager = BertForMaskedLM(bert.model.config).eval()
    eager.load_state_dict(bert.model.state_dict())
    eager.set_attn_implementation("eager")
    whole = eager(input_ids=inputs, output_attentions=True).attentions[-1]
    assert torch.allclose(weights, whole.mean(1)[:, 3], atol=1e-6), "the mean over heads of the last layer, at the mask"


@pytest.mark.parametrize("text", ["the movie was great", "bad bad was bad great " * 9])
@pytest.mark.parametrize(
    "template", ["[SOFT*3]{text} it was [MASK] .", "{text|head} [SOFT*3] it was [MASK] .", "{text} [SOFT: it was] [MASK] ."]
)
def test_soft_tokens_move_no_attention_to_another_token(bert, template, text):
    """The untuned model reads the prompt without them, or their words, and with more of the text where that is cut."""

    def tokens(source):
        one = PROMPT.model_copy(update={"templates": [source], "max_length": 20})
        (row,) = preview(bert, one, ("no", "yes"), [InputExample("0", {"text": text}, None)], attention=True)
        return row.tokens

    looked, plain = tokens(template), tokens(without_soft(template))
    assert {token.attention for token in looked if token.role == "soft"} == {None}
    shown = [token for token in looked if token.role != "soft"]
    read = [token for token in plain if "SOFT:" not in template or token.role != "template" or token.text == "."]
    assert [token.text for token in shown] == [token.text for token in read]
    assert all(token.attention == same.attention for token, same in zip(shown, read, strict=True) if not token.cut)


def test_nothing_of_the_model_changes_while_its_attention_is_looked_at(bert, monkeypatch):
    """Another thread may be asking the model: a switch to eager attention and back made its passes fail."""
    bert.model.set_attn_implementation("sdpa")
    asked = []
    forward = type(bert.model.bert).forward

    def watched(module, *arguments, **options):
        asked.append((module is bert.model.bert, bert.model.config._attn_implementation))
        return forward(module, *arguments, **options)

    monkeypatch.setattr(type(bert.model.bert), "forward", watched)
    inputs = torch.tensor([[2, 7, 8, 4, 3]])
    attention_at(bert, inputs, torch.ones_like(inputs), torch.tensor([[3]]))
    assert asked == [(False, "sdpa")], "the twin was asked, and the model kept its attention"
