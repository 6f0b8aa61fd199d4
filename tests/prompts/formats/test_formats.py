"""Other tools' notations, read and written: every form, every refusal, and the tokens of LM-BFF and PET by their own rules."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.prompts.tiny_tokenizers import roberta_like, wordpiece
from workbench.errors import TemplateError, WorkbenchError
from workbench.prompts.encoding import PromptEncoder
from workbench.prompts.formats import notation, notation_names, read_prompt
from workbench.prompts.library import library_entry
from workbench.prompts.soft import SoftSlots
from workbench.prompts.template import parse_template

A, B = "The movie was great.", "It was really wonderful !"


def ids(source: str, tokenizer, **fields: str) -> list[int]:
    return PromptEncoder(parse_template(source), tokenizer, max_length=96, causal=False).encode(fields).input_ids


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ('{"placeholder": "text_a", "shortenable": False} {"mask"}', "{text_a|fixed} [MASK]"),
        ('{"meta": "word"}? {"meta":"more", "shortenable": True} {"mask"}', "{word|fixed}? {more} [MASK]"),
        ("{'placeholder': 'text_a', 'post_processing': lambda s: s.rstrip(string.punctuation)} {'mask'}", "{text_a|strip_punct} [MASK]"),
        ('{"placeholder": "text_a", "post_processing": "lambda x:x.lower()"}{"mask"}', "{text_a|lower}[MASK]"),
        ('{"soft": None, "duplicate": 2, "same": True}{"placeholder": "text_a"}{"mask"}', "[SOFT#at0][SOFT#at0]{text_a}[MASK]"),
        ('{"soft": "it", "soft_id": 1} {"soft_id": 1} {"placeholder": "text_a"} {"mask"}', "[SOFT#id1: it] [SOFT#id1] {text_a} [MASK]"),
        ('{"special": "<cls>"}{"text": "a"} {"placeholder": "text_a"}{"special": "<sep>"}{"mask"}', "a {text_a}[SEP][MASK]"),
        ('[x] {"placeholder": "text_a"}{"mask"}', "[[x]] {text_a}[MASK]"),
    ],
)
def test_openprompts_parts_have_their_counterparts(text, source):
    assert read_prompt(text).templates == (source,)


@pytest.mark.parametrize(
    ("first", "second", "tokens"),
    [
        ('{"soft": None, "duplicate": 3, "same": True, "soft_id": 1}', '{"soft_id": 1}', [0, 0, 0, 0, 0, 0]),
        ('{"soft": None, "duplicate": 3, "soft_id": 1}', '{"soft_id": 1}', [0, 1, 2, 0, 1, 2]),
        ('{"soft": "the movie", "soft_id": 1}', '{"soft_id": 1}', [0, 1, 0, 1]),
        ('{"soft_id": 1}', '{"soft": None, "duplicate": 3, "same": True, "soft_id": 1}', [0, 0]),
    ],
)
def test_a_soft_id_is_as_many_tokens_as_its_first_use_made(first, second, tokens):
    """OpenPrompt keeps the first use's list of tokens and puts it wherever the number stands again (mixed_template.py, prepare)."""
    (source,) = read_prompt(first + '{"placeholder": "text_a"}' + second + '{"mask"}').templates
    soft = SoftSlots(wordpiece(), start=1000, length=1, templates=[source])
    prompt = PromptEncoder(parse_template(source), wordpiece(), max_length=96, causal=False, soft=soft)
    assert [i - 1000 for i in prompt.encode({"text_a": A}).input_ids if i >= 1000] == tokens


@pytest.mark.parametrize("source", ['[SOFT: say "x"] {text_a} [MASK]', r'[SOFT#id1: a\b "c] {say "it"} [MASK]', "[SOFT: it's]{a}[MASK]"])
def test_what_openprompt_is_written_with_quotes_is_read_again(source):
    written = notation("openprompt").write(parse_template(source))
    assert read_prompt(written).templates == (source,)


def test_where_openprompt_cuts():
    text = '{"placeholder": "text_a"} {"meta": "w"} {"mask"}'
    sources = {t: read_prompt(text, truncation=t).templates[0] for t in ("tail", "head", "balanced")}
    assert sources == {
        "tail": "{text_a} {w|fixed} [MASK]",
        "head": "{text_a|head} {w|fixed} [MASK]",
        "balanced": "{text_a} {w|fixed} [MASK]",
    }
    with pytest.raises(TemplateError, match="Did you mean 'head'"):
        read_prompt(text, truncation="haed")
    told = [any("the longest is cut first" in note for note in read_prompt(t).notes) for t in (text, text.replace("meta", "placeholder"))]
    assert told == [False, True], "with one field to cut, OpenPrompt's ways of sharing the cut are all the same"


def test_a_blank_that_opens_our_own_notation_stays():
    assert read_prompt(" {text} it was [MASK] \n\n[MASK] {text}").templates == (" {text} it was [MASK]", "[MASK] {text}")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"placeholder": "text_a"} {"mask"', "not closed"),
        ('{"placeholdr": "text_a"} {"mask"}', "Did you mean 'placeholder'"),
        ('{"placeholder": __import__("os").system("true")} {"mask"}', "not a part"),
        ('{"placeholder": "text_a", "post_processing": lambda x: __import__("os")} {"mask"}', "not one that is known"),
        ('{"placeholder": "text_a", "post_processing": "exec(1)"} {"mask"}', "not one that is known"),
        ('{"soft_id": 0} {"placeholder": "text_a"} {"mask"}', "whole number above 0"),
        ('{"placeholder": "text_a"} {"special": "<what>"} {"mask"}', "not known here"),
        ('{"placeholder": "text_a"} {"mask"} {"mask"}', "second [MASK]"),
        ("*cls**sent_0*_It_was*mask*.*label_1**sep+*", "demonstrations"),
        ("agnews 9", "0 to 5"),
        ("copa 0", "among spans"),
        ("no notation at all", "no [MASK]"),
        ("", "no template"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(text, part):
    with pytest.raises(TemplateError) as caught:
        read_prompt(text)
    assert part in str(caught.value) and caught.value.fix


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="{}[]*_\"':,msoftakpelcd \n\t0123", max_size=60), st.sampled_from([None, *notation_names()]))
def test_reading_anything_raises_only_sentences(text, name):
    try:
        read_prompt(text, name=name)
    except WorkbenchError as error:
        assert error.message


def test_fields_and_numbered_classes_are_fitted_to_the_data():
    found = read_prompt("*cls**sent_0*_It_was*mask*.*sep+*\t{'0':'terrible','1':'great'}", fields=("review",), labels=("neg", "pos"))
    assert found.templates == ("{review} It was [MASK].",)
    assert found.verbalizers == ({"neg": ["terrible"], "pos": ["great"]},)
    assert any("{text_a} is now {review}" in note for note in found.notes) and any("0 = neg" in note for note in found.notes)
    named = read_prompt('{"POS": ["great"], "neg": {"bad": 1, "awful": 0.5}}', labels=("neg", "pos"))
    assert named.verbalizers == ({"pos": ["great"], "neg": {"bad": 1.0, "awful": 0.5}},)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("pet rte 1", "{hypothesis|strip_punct} ? [SEP] [MASK] , {premise}"),
        ("pet mnli 1", "{premise|strip_punct} ? [SEP] [MASK] , {hypothesis}"),
        ("*cls**sent_1*_?*mask*,*+sent_0**sep+*", "{hypothesis} ? [MASK], {premise}"),
        ('{"placeholder": "text_b"} ? {"mask"} , {"placeholder": "text_a"}', "{hypothesis} ? [MASK] , {premise}"),
        ("*cls**sent_1*_?*mask**sep+*", "{hypothesis} ? [MASK]"),
        ('{"meta": "why"} {"placeholder": "text_a"} {"mask"}', "{hypothesis|fixed} {premise} [MASK]"),
    ],
)
def test_text_a_is_the_datas_first_field_wherever_a_template_has_it(text, source):
    """PET and LM-BFF number an example's texts; RTE's patterns put the second in front (pet/pvp.py, RtePVP)."""
    found = read_prompt(text, fields=("premise", "hypothesis"))
    assert found.templates == (source,)
    assert read_prompt(text, fields=("hypothesis", "premise")).templates == (
        source.replace("premise", "\0").replace("hypothesis", "premise").replace("\0", "hypothesis"),
    )


def test_a_second_text_alone_takes_the_only_field_there_is_and_known_names_stay():
    assert read_prompt("{text_b} [MASK]", fields=("review",)).templates == ("{review} [MASK]",)
    assert read_prompt("{text_b} [MASK] {text_a}", fields=("text_a", "other")).templates == ("{other} [MASK] {text_a}",)
    assert read_prompt("{text_b} [MASK] {text_a}", fields=("other",)).templates == ("{text_b} [MASK] {text_a}",)


def test_verbalizer_files_of_every_kind():
    assert read_prompt("great,good\nterrible, bad\n\nyes\nno\n").verbalizers == (
        {"0": ["great", "good"], "1": ["terrible", "bad"]}, {"0": ["yes"], "1": ["no"]},
    )  # fmt: skip
    lines = '{"a": ["x"], "b": ["y"]}\n{"a": ["z"], "b": ["<!>w"]}'
    assert read_prompt(lines).verbalizers == ({"a": ["x"], "b": ["y"]}, {"a": ["z"], "b": ["w"]})
    assert read_prompt('[["great", "good"], ["bad"]]').verbalizers == ({"0": ["great", "good"], "1": ["bad"]},)
    words = {"a": {"x": 1.0, "y": 0.5}, "b": ["z"]}
    assert read_prompt(notation("openprompt-words").write_words(words)).verbalizers == (words,)
    assert read_prompt(notation("pet").write_words({"a": ["x", "y"], "b": ["z"]})).verbalizers == ({"a": ["x", "y"], "b": ["z"]},)
    assert read_prompt(notation("lm-bff").write_words({"a": ["x"], "b": ["z"]})).verbalizers == ({"a": ["x"], "b": ["z"]},)


def starred_ids(template: str, tokenizer, sentences: list[str]) -> list[int]:
    """What LM-BFF's own rules give (Gao et al. 2021, template notation in their repository): parts between stars, one after another."""
    special = {
        "cls": tokenizer.cls_token_id,
        "mask": tokenizer.mask_token_id,
        "sep": tokenizer.sep_token_id,
        "sep+": tokenizer.sep_token_id,
    }
    found: list[int] = []
    for part in template.split("*"):
        if part in special:
            found.append(special[part])
            continue
        text = part.replace("_", " ")
        if "sent" in part:
            kind, _, number = part.lstrip("+").partition("_")
            text = sentences[int(number)]
            text = text[:1].lower() + text[1:] if "l" in kind[4:] else text
            text = (" " if part[0] == "+" else "") + (text[:-1] if kind.endswith("-") else text)
        found += tokenizer.encode(text, add_special_tokens=False)
    return found


# The manual templates of LM-BFF's Table 1 and its run_experiment.sh.
STARRED = [
    "*cls**sent_0*_It_was*mask*.*sep+*", "*cls**sent_0*_This_is*mask*.*sep+*", "*cls**mask*:*+sent_0**sep+*",
    "*cls**sent-_0*?*mask*,*+sentl_1**sep+*", "*cls**sent_0**mask*,*+sentl_1**sep+*",
    # Not theirs: a blank at the start and behind the separator, which its notation can say.
    "*cls*_It_was*mask*.*+sent_0**sep+*", "*cls**+sent_0*_It_was*mask*.*sep+*",
    "*cls**sent_0*_It_was*mask*.*sep+**+sent_1**sep+*", "*cls**sent_0**sep+*_It_was*mask*.*+sent_1**sep+*",
]  # fmt: skip


@pytest.mark.parametrize("tokenizer", [wordpiece, roberta_like])
@pytest.mark.parametrize("template", STARRED)
def test_lm_bffs_published_templates_give_its_tokens(template, tokenizer):
    (source,) = read_prompt(template).templates
    assert notation("lm-bff").write(parse_template(source)) == template
    assert ids(source, tokenizer(), text_a=A, text_b=B) == starred_ids(template, tokenizer(), [A, B])
    assert parse_template(source).leading_space, "LM-BFF scores ' great'"


BARE_A, BARE_B, MASK = A.rstrip(string.punctuation), B.rstrip(string.punctuation), "\0"
# What PET's pattern of a task and number gives for A and B, in its two parts (pet/pvp.py of timoschick/pet).
PET = {
    ("agnews", 4): (["[ Category:", MASK, "]", A, B], []),
    ("yahoo", 1): ([MASK, "Question:", A, B], []),
    ("yelp-polarity", 1): ([A, ". All in all, it was", MASK, "."], []),
    ("yelp-full", 2): (["Just", MASK, "!"], [A]),
    ("yelp-full", 3): ([A], ["In summary, the restaurant is", MASK, "."]),
    ("mnli", 0): (['"', BARE_A, '" ?'], [MASK, ', "', B, '"']),
    ("rte", 3): ([BARE_B, "?"], [MASK, ".", A]),
    ("cb", 4): ([A, " question: ", B, " true, false or neither? answer:", MASK], []),
    ("boolq", 4): (["Based on the following passage, ", B, "?", MASK, ".", A], []),
    ("multirc", 0): ([A, ". Question: ", B, "? Is it ", "a film", "?", MASK, "."], []),
    ("multirc", 1): ([A, ". Question: ", B, '? Is the correct answer "', "a film", '"?', MASK, "."], []),
    ("multirc", 2): ([A, ". Based on the previous passage, ", B, '? Is "', "a film", '" a correct answer?', MASK, "."], []),
    ("multirc", 3): ([A, B, "- [", MASK, "]", "a film"], []),
    ("wic", 0): (['"', A, '" / "', B, '" Similar sense of "movie"?', MASK, "."], []),
    ("xstance", 2): (['"', A, '"'], [MASK, '. "', B, '"']),
}


@pytest.mark.parametrize(("task", "number"), PET)
def test_pet_pattern_ids_give_pets_tokens(task, number):
    tokenizer = wordpiece()
    (source,) = read_prompt(f"pet {task} {number}").templates

    def encode(parts: list[str]) -> list[int]:
        return [i for p in parts for i in ([tokenizer.mask_token_id] if p == MASK else tokenizer.encode(p, add_special_tokens=False))]

    first, second = map(encode, PET[task, number])
    expected = [tokenizer.cls_token_id, *first, tokenizer.sep_token_id, *([*second, tokenizer.sep_token_id] if second else [])]
    assert ids(source, tokenizer, text_a=A, text_b=B, text=A, word="movie", answer="a film") == expected


# B without its "!" ends with a blank, which PET keeps and a field never has.
@pytest.mark.parametrize(("task", "number"), sorted(PET.keys() - {("rte", 3)}))
def test_blanks_give_pets_tokens_for_roberta(task, number):
    """PET encodes each part with add_prefix_space for RoBERTa, and RoBERTa's pairs have two separators (pet/pvp.py, encode)."""
    tokenizer = roberta_like()
    found = read_prompt(f"pet {task} {number}")
    assert any("begin the template with a blank" in note for note in found.notes)
    source = " " + found.templates[0].replace("[SEP]", "[SEP][SEP]")
    for part in PET[task, number][0]:
        if part.endswith(" "):  # a token of its own in PET
            source = source.replace(part.lstrip() + "{", part.lstrip() + " {")

    def encode(parts: list[str]) -> list[int]:
        texts = [part if part == MASK else " " + part.lstrip(" ") for part in parts]
        return [i for t in texts for i in ([tokenizer.mask_token_id] if t == MASK else tokenizer.encode(t, add_special_tokens=False))]

    first, second = map(encode, PET[task, number])
    separator = tokenizer.sep_token_id
    expected = [tokenizer.cls_token_id, *first, separator, *([separator, *second, separator] if second else [])]
    assert ids(source, tokenizer, text_a=A, text_b=B, text=A, word="movie", answer="a film") == expected


def test_pet_words_follow_the_pattern():
    assert read_prompt("mnli 3").verbalizers == ({"contradiction": ["No"], "entailment": ["Yes"], "neutral": ["Maybe"]},)
    assert read_prompt("multirc 3").verbalizers == ({"0": ["False"], "1": ["True"]},)
    assert read_prompt("multirc 0").verbalizers == ({"0": ["No"], "1": ["Yes"]},)
    assert len(read_prompt("PET: rte").templates) == 5 and len(library_entry("pet-rte").patterns) == 5


def test_what_a_notation_cannot_say_is_refused():
    cases = [
        ("{a|middle} [MASK]", "openprompt"),
        ("{{x}} {a} [MASK]", "openprompt"),
        ("[SOFT]{a}[MASK]", "lm-bff"),
        ("a_b {a} [MASK]", "lm-bff"),
        ("{a|lower} [MASK]", "lm-bff"),
        ("{a} [MASK]", "pet"),
    ]
    for source, name in cases:
        with pytest.raises(TemplateError) as caught:
            notation(name).write(parse_template(source))
        assert caught.value.fix
    with pytest.raises(TemplateError, match="Did you mean 'openprompt'"):
        notation("openpromt")
