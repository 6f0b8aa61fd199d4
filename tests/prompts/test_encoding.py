import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.prompts.tiny_tokenizers import albert_like, qwen_like, roberta_like, wordpiece
from workbench.errors import TemplateError
from workbench.prompts.encoding import PromptEncoder, balanced_lengths
from workbench.prompts.soft import SoftSlots
from workbench.prompts.template import parse_template

MASKED = {"wordpiece": wordpiece, "roberta": roberta_like, "albert": albert_like}
HOSTILE = ["[MASK]", "[SEP]", "[CLS]", "[PAD]", "<s>", "</s>", "<mask>", "<pad>", "<|endoftext|>"]
WORDS = st.sampled_from([*HOSTILE, "the", "movie", "was", "great", "很好", "!", "[", "é\u0301", "\ud83d", "\x00", "unknown🙂"])


def encoder(source, tokenizer, max_length=32, causal=False, **more):
    return PromptEncoder(parse_template(source), tokenizer, max_length=max_length, causal=causal, **more)


def tokens(encoding, tokenizer):
    return tokenizer.convert_ids_to_tokens(encoding.input_ids)


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.parametrize("source", ["{text} It was [MASK] .", "[MASK] : {text|head}", "{text|middle} [SEP] [MASK], {other}"])
@settings(max_examples=40, deadline=None)
@given(st.lists(WORDS, max_size=60), st.integers(1, 320), st.lists(WORDS, max_size=40), st.integers(1, 3))
@example(["[MASK]"], 320, ["</s>"], 2)
def test_the_masks_survive_every_length_and_user_text_stays_text(name, source, words, length, others, masks):
    tokenizer = MASKED[name]()
    text = " ".join((words or [""]) * (length // max(len(words), 1) + 1))[: length * 6]
    encoding = encoder(source, tokenizer).encode({"text": text, "other": " ".join(others)}, masks=masks)
    assert len(encoding.input_ids) <= 32
    found = [i for i, token in enumerate(encoding.input_ids) if token == tokenizer.mask_token_id]
    assert found == encoding.mask_positions and len(found) == masks
    separators = source.count("[SEP]") + 1
    assert encoding.input_ids.count(tokenizer.sep_token_id) == separators
    assert encoding.input_ids.count(tokenizer.cls_token_id) == 1
    assert tokenizer.pad_token_id not in encoding.input_ids
    # The spans cover every token exactly once, in order.
    assert [i for span in encoding.spans for i in range(span.start, span.end)] == list(range(len(encoding.input_ids)))


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS, max_size=400))
def test_a_causal_prompt_always_ends_before_the_mask(words):
    tokenizer = qwen_like()
    encoding = encoder("{text} It was [MASK]", tokenizer, causal=True).encode({"text": " ".join(words)})
    assert encoding.mask_positions == [len(encoding.input_ids) - 1]
    assert len(encoding.input_ids) <= 32
    assert tokenizer.eos_token_id not in encoding.input_ids
    assert tokenizer.decode(encoding.input_ids).endswith("It was")


def test_wordpiece_matches_the_tokenizers_own_encoding_of_the_filled_prompt():
    tokenizer = wordpiece()
    encoding = encoder("{text} it was [MASK] .", tokenizer).encode({"text": "the movie 这本书很好"})
    assert encoding.input_ids == tokenizer("the movie 这本书很好 it was [MASK] .").input_ids


def test_chinese_gets_no_blanks():
    for tokenizer in (roberta_like(), qwen_like()):
        causal = tokenizer.mask_token_id is None
        encoding = encoder("{text}很[MASK]", tokenizer, causal=causal).encode({"text": "这本书"})
        assert " " not in tokenizer.decode(encoding.input_ids, skip_special_tokens=True)
    albert = albert_like()
    encoding = encoder("{text}，很[MASK]。", albert, max_length=40).encode({"text": "这本书"})
    assert [t for t in tokens(encoding, albert) if "▁" in t] == ["▁"]


def test_byte_level_keeps_the_blank_with_the_following_piece():
    tokenizer = roberta_like()
    encoding = encoder("a review : {text} it was [MASK] .", tokenizer).encode({"text": "great"})
    expected = tokenizer("a review : great it was", add_special_tokens=False).input_ids
    full_stop = tokenizer.encode(" .", add_special_tokens=False)
    assert encoding.input_ids == [tokenizer.cls_token_id, *expected, tokenizer.mask_token_id, *full_stop, tokenizer.sep_token_id]


@pytest.mark.parametrize(
    ("source", "text", "read"),
    [
        (" {text} it was [MASK]", "great", " great it was"),
        (" it was {text} [MASK]", "great", " it was great"),
        (" {text} it was [MASK]", "", " it was"),
        ("{text} it was [MASK]", "", "it was"),
        (" {text} [MASK]", "great", " great"),
    ],
)
def test_a_blank_that_opens_the_template_counts_where_tokens_hold_blanks(source, text, read):
    roberta, soft = roberta_like(), SoftSlots(roberta_like(), start=1000, length=2, templates=[source])
    expected = roberta.encode(read, add_special_tokens=False)
    assert encoder(source, roberta).encode({"text": text}).input_ids[1:-2] == expected
    assert encoder(source, roberta, soft=soft).encode({"text": text}).input_ids[3:-2] == expected, "behind soft tokens put in front"
    for tokenizer in (wordpiece(), albert_like()):
        assert encoder(source, tokenizer).encode({"text": text}) == encoder(source.strip(), tokenizer).encode({"text": text})


@pytest.mark.parametrize(
    ("source", "text"), [("[SEP] {b}", " bad"), ("[SEP]{b}", "bad"), ("[SEP] it {b}", " it bad"), ("[SEP][SEP] {b}", " bad")]
)
def test_a_blank_behind_a_separator_counts_where_tokens_hold_blanks(source, text):
    roberta = roberta_like()
    behind = encoder("[MASK] {a} " + source, roberta).encode({"a": "good", "b": "bad"}).input_ids[:-1]
    assert behind[len(behind) - behind[::-1].index(roberta.sep_token_id) :] == roberta.encode(text, add_special_tokens=False)


def test_an_empty_field_leaves_no_double_blank():
    tokenizer = qwen_like()
    encoding = encoder("{text} It was [MASK]", tokenizer, causal=True).encode({"text": ""})
    assert tokenizer.decode(encoding.input_ids) == "It was"
    assert encoder("{text}[MASK]", tokenizer, causal=True).encode({"text": ""}).mask_positions == [0]


@pytest.mark.parametrize(
    ("cut", "kept"), [("tail", "a b c d"), ("head", "e f g h"), ("middle", "a b g h")]
)
def test_each_modifier_cuts_its_end(cut, kept):
    tokenizer = wordpiece()
    encoding = encoder(f"{{text|{cut}}} [MASK]", tokenizer, max_length=7).encode({"text": "a b c d e f g h"})
    assert tokens(encoding, tokenizer)[1:-2] == kept.split()
    assert encoding.removed_tokens == 4


@given(st.lists(st.integers(0, 50), max_size=5), st.integers(0, 120))
def test_balancing_uses_the_whole_budget_and_takes_from_the_longest(lengths, budget):
    kept = balanced_lengths(lengths, budget)
    assert sum(kept) == min(sum(lengths), budget)
    cut = [k for k, length in zip(kept, lengths, strict=True) if k < length]
    assert all(0 <= k <= length for k, length in zip(kept, lengths, strict=True))
    assert not cut or max(kept) - min(cut) <= 1


def test_what_does_not_fit_is_refused_and_named():
    tokenizer = wordpiece()
    with pytest.raises(TemplateError, match="The template alone takes"):
        encoder("{text} the movie was really really [MASK]", tokenizer, max_length=8).encode({"text": "good"}, masks=2)
    with pytest.raises(TemplateError, match="fixed field {text}"):
        encoder("{text|fixed} [MASK]", tokenizer, max_length=8).encode({"text": "good " * 9})


def test_text_behind_the_mask_of_a_causal_model_is_refused_with_a_template_that_works():
    with pytest.raises(TemplateError, match=r"for instance: \{text\} It was \[MASK\]$"):
        encoder("{text} It was [MASK] .", qwen_like(), causal=True)
    with pytest.raises(TemplateError, match=r"for instance: : \{text\} Verdict \[MASK\]$"):
        encoder("Verdict [MASK] : {text}", qwen_like(), causal=True)
    with pytest.raises(TemplateError, match="no mask token"):
        encoder("{text} [MASK]", qwen_like())


def test_the_separator_is_the_models_own_or_a_new_line():
    assert tokens(encoder("{a} [SEP] {b} [MASK]", roberta_like()).encode({"a": "good", "b": "bad"}), roberta_like()).count("</s>") == 2
    encoding = encoder("{a} [SEP] {b} [MASK]", qwen_like(), causal=True).encode({"a": "good", "b": "bad"})
    assert qwen_like().decode(encoding.input_ids) == "good\nbad"


def test_soft_tokens_are_ids_beyond_the_vocabulary_and_need_a_method():
    with pytest.raises(TemplateError, match="SOFT"):
        encoder("[SOFT]{text} [MASK]", wordpiece())
    source = "[SOFT#a*2]{text} [SOFT: it was] [SOFT#a*2] [MASK]"
    soft = SoftSlots(wordpiece(), start=1000, length=4, templates=[source])
    encoding = encoder(source, wordpiece(), soft=soft).encode({"text": "good"})
    assert [i - 1000 for i in encoding.input_ids if i >= 1000] == [0, 1, 2, 3, 0, 1]
    with pytest.raises(TemplateError, match="other templates"):
        encoder("{text} [MASK]", wordpiece(), soft=soft)


def test_many_rows_are_encoded_as_one_at_a_time():
    rows = [{"text": "the movie " * n} for n in range(5)]
    prompt = encoder("{text} it was [MASK] .", roberta_like())
    assert prompt.encode_many(rows, labels=[0, 1, None, 0, 1]) == [
        prompt.encode(row, label=label) for row, label in zip(rows, [0, 1, None, 0, 1], strict=True)
    ]


@pytest.mark.parametrize("name", ["[MASK]", "[UNK]"])
def test_a_special_name_in_user_text_is_read_letter_by_letter(name):
    tokenizer = wordpiece()
    encoding = encoder("{text} [MASK]", tokenizer).encode({"text": name})
    assert "".join(tokens(encoding, tokenizer)[1:-2]).replace("##", "") == name.lower()


def test_a_causal_prompt_leaves_room_for_a_word_of_several_tokens():
    prompt = encoder("{text} it was [MASK]", qwen_like(), max_length=16, causal=True)
    row = {"text": "the movie was great " * 20}
    assert len(prompt.encode(row, masks=3).input_ids) == 14
    encoding = prompt.encode(row, continuation=(5, 6))
    assert encoding.input_ids[-2:] == [5, 6] and encoding.mask_positions == [13, 14, 15]
