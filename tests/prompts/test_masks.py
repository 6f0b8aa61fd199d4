"""Exactly the masks a template asks for are in every encoding, or the template is refused with a sentence: random templates of the
whole notation, texts of 0 to 10 times the maximum, Chinese and English, WordPiece, byte-level BPE and Unigram, masked and causal."""

import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.prompts.tiny_tokenizers import albert_like, qwen_like, roberta_like, wordpiece
from workbench.errors import TemplateError
from workbench.prompts.encoding import PromptEncoder
from workbench.prompts.filters import FILTERS
from workbench.prompts.soft import SoftSlots
from workbench.prompts.template import CUTS, literal, parse_template

TOKENIZERS = {"wordpiece": wordpiece, "roberta": roberta_like, "albert": albert_like, "qwen": qwen_like}
TEMPLATES = 5_000
MAX_LENGTH = 32
FIELDS = ("text", "title", "正文")
WORDS = [
    "the",
    "movie",
    "was",
    "great",
    "unknown🙂",
    "[MASK]",
    "[SEP]",
    "<mask>",
    "<|endoftext|>",
    "</s>",
    "\x00",
    "é",
    "很好",
    "这本书",
    "，",
    "!",
    "[",
    "}",
]
LITERALS = [" It was ", " ", "。", "总之很", ": ", "?", " a [b] {c} ", "\n", "“", ". In short , "]


def field(draw) -> str:
    modifiers = draw(st.lists(st.sampled_from(list(FILTERS)), max_size=2)) + draw(st.lists(st.sampled_from(CUTS), max_size=1))
    return "{" + "|".join([draw(st.sampled_from(FIELDS)), *modifiers]) + "}"


def soft(draw) -> str:
    name = draw(st.sampled_from(["", "#a", "#b"]))
    count = draw(st.sampled_from(["", "*2", "*5"]))
    words = draw(st.sampled_from(["", ": it was", ":很好"]))
    return f"[SOFT{name}{count}{words}]"


@st.composite
def templates(draw) -> str:
    """Sources of any quality: mostly valid, with a missing or second mask and no field now and then."""
    parts = [draw(st.sampled_from(["[MASK]"] * 12 + ["", "[MASK] and [MASK]", "[MSAK]"]))]
    if draw(st.integers(0, 9)):
        parts.append(field(draw))
    for kind in draw(st.lists(st.sampled_from(["field", "field", "literal", "literal", "soft", "sep"]), min_size=1, max_size=6)):
        part = {"field": lambda: field(draw), "soft": lambda: soft(draw), "sep": lambda: "[SEP]"}.get(kind)
        parts.insert(draw(st.integers(0, len(parts))), part() if part else literal(draw(st.sampled_from(LITERALS))))
    return "".join(parts)


def text_of(length: int, seed: int) -> str:
    """About `length` tokens or more of words that try to be special tokens."""
    words = random.Random(seed)
    return " ".join(words.choice(WORDS) for _ in range(length))


def encoder_of(source: str, tokenizer, causal: bool) -> PromptEncoder:
    """With soft tokens of its own when the template asks for some."""
    soft_tokens = SoftSlots(tokenizer, start=len(tokenizer), length=1, templates=[source]) if "[SOFT" in source else None
    return PromptEncoder(parse_template(source), tokenizer, max_length=MAX_LENGTH, causal=causal, soft=soft_tokens)


def with_the_mask_last(source: str) -> str:
    """A template that a causal model can read, unless it has a mask too few or too many."""
    return source.replace("[MASK]", "") + "[MASK]" if source.count("[MASK]") == 1 else source


def check(source: str, name: str, length: int, seed: int, masks: int) -> bool:
    """Whether the template was encoded, as it has to be, and not refused with a sentence."""
    tokenizer = TOKENIZERS[name]()
    causal = tokenizer.mask_token_id is None
    if causal and seed % 10:  # one in ten keeps its mask where it was drawn, mostly to be refused
        source = with_the_mask_last(source)
    start = len(tokenizer)
    fields = {key: text_of(length if key == "text" else length // 3, seed) for key in FIELDS}
    try:
        template = parse_template(source)
        encoder = encoder_of(source, tokenizer, causal)
        encoding = encoder.encode(fields, masks=masks)
    except TemplateError as error:
        assert error.message.endswith(".") and error.fix
        return False
    ids = encoding.input_ids
    assert len(ids) <= MAX_LENGTH - (masks - 1 if causal else 0)
    assert [i for span in encoding.spans for i in range(span.start, span.end)] == list(range(len(ids)))
    kinds = [piece.kind for piece in template.pieces]
    if causal:
        assert encoding.mask_positions == [len(ids) - 1] and "mask" not in [span.role for span in encoding.spans]
        assert template.pieces.index(next(p for p in template.pieces if p.kind == "mask")) >= len(kinds) - 2
    else:
        assert [i for i, token in enumerate(ids) if token == tokenizer.mask_token_id] == encoding.mask_positions
        assert len(encoding.mask_positions) == masks
        assert ids.count(tokenizer.sep_token_id) == kinds.count("special") + 1 and ids.count(tokenizer.cls_token_id) == 1
    assert sum(i >= start for i in ids) == sum(s.end - s.start for s in encoding.spans if s.role == "soft")
    for number in encoder.soft_tokens.values():
        assert all(start + number.offset + i in ids for i in range(number.count))
    return True


CASE = (templates(), st.sampled_from(list(TOKENIZERS)), st.integers(0, 10 * MAX_LENGTH), st.integers(0, 2**16), st.integers(1, 3))


def check_many(examples: int, **how) -> dict[str, float]:
    """The share of random templates that each tokenizer's encoder took; all others were refused with a sentence."""
    drawn, encoded = Counter(), Counter()

    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow], **how)
    @given(*CASE)
    def one(source, name, length, seed, masks):
        drawn[name] += 1
        encoded[name] += check(source, name, length, seed, masks)

    one()
    return {name: encoded[name] / drawn[name] for name in TOKENIZERS}


def test_every_encoding_has_the_masks_or_the_template_is_refused():
    shares = check_many(300)
    assert min(shares.values()) > 0.1, shares


@pytest.mark.slow
def test_five_thousand_random_templates():
    shares = check_many(TEMPLATES, database=None)
    assert min(shares.values()) > 0.25, f"{shares}: a property of templates that are all refused says nothing"


@settings(max_examples=150, deadline=None)
@given(templates())
def test_the_fix_for_a_causal_template_is_a_template_that_works(source):
    try:
        template = parse_template(source)
        encoder_of(source, qwen_like(), True)
    except TemplateError as error:
        if "for instance: " not in error.fix:
            return
        encoder = encoder_of(error.fix.partition("for instance: ")[2], qwen_like(), True)
        assert encoder.template.fields and set(encoder.template.fields) == set(template.fields)


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("length", range(0, 10 * MAX_LENGTH + 1, 40))
def test_a_pair_of_any_length_keeps_its_mask(name, length):
    causal = TOKENIZERS[name]().mask_token_id is None
    source = "{text|middle} ? {title|head} : [MASK]" if causal else "{text|middle} ? [MASK] , {title|head} [SEP] {正文}"
    assert check(source, name, length, length, 2)
