"""Soft tokens of several templates: whose row is whose, where the front ones stand, and what is left without them."""

from __future__ import annotations

import pytest

from tests.prompts.tiny_tokenizers import qwen_like, roberta_like, wordpiece
from workbench.prompts.encoding import PromptEncoder
from workbench.prompts.soft import SoftSlots, without_soft
from workbench.prompts.template import parse_template


def offsets(source: str, slots: SoftSlots, tokenizer) -> list[int]:
    encoder = PromptEncoder(parse_template(source), tokenizer, max_length=64, causal=False, soft=slots)
    return [i - slots.start for i in encoder.encode({"text": "good movie"}).input_ids if i >= slots.start]


def test_templates_share_no_row_unless_they_name_it() -> None:
    templates = ["{text} [MASK]", "[SOFT*3]{text} [SOFT#a*2] [MASK]", "{text} [SOFT#a*2] [SOFT] [MASK]"]
    slots = SoftSlots(wordpiece(), start=500, length=2, templates=templates)
    first, second, third = (offsets(source, slots, wordpiece()) for source in templates)
    assert (first, second, third) == ([0, 1], [2, 3, 4, 5, 6], [5, 6, 7])
    assert slots.count == 8


def test_front_tokens_stand_behind_the_start_token_and_leave_the_rest_as_it_was() -> None:
    for tokenizer in (wordpiece(), roberta_like()):
        source = "{text} it was [MASK] ."
        slots = SoftSlots(tokenizer, start=900, length=3, templates=[source])
        plain = PromptEncoder(parse_template(source), tokenizer, max_length=64, causal=False).encode({"text": "good movie"})
        soft = PromptEncoder(parse_template(source), tokenizer, max_length=64, causal=False, soft=slots).encode({"text": "good movie"})
        assert soft.input_ids == [plain.input_ids[0], 900, 901, 902, *plain.input_ids[1:]]
        assert soft.mask_positions == [plain.mask_positions[0] + 3]
        assert not slots.all_in_front  # a start token stands before them


def test_in_front_of_everything_only_without_a_start_token() -> None:
    assert SoftSlots(qwen_like(), start=900, length=3, templates=["{text} it was [MASK]"]).all_in_front
    assert SoftSlots(qwen_like(), start=900, length=3, templates=["[SOFT*4]{text} it was [MASK]"]).all_in_front
    assert not SoftSlots(qwen_like(), start=900, length=3, templates=["{text} [SOFT] [MASK]"]).all_in_front
    assert not SoftSlots(qwen_like(), start=900, length=3, templates=["{text} a [MASK]", "{text} b [MASK]"]).all_in_front


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        ("[SOFT*5]{text} It was [MASK] .", "{text} It was [MASK] ."),
        ("{text} [SOFT: it was] [MASK]", "{text} it was [MASK]"),
        ("{text}[SOFT] [SOFT#a*2] [MASK] .", "{text} [MASK] ."),
        ("{text} [[x]] [MASK]", "{text} [[x]] [MASK]"),
    ],
)
def test_without_soft_tokens_a_template_reads_as_words(source: str, plain: str) -> None:
    assert without_soft(source) == plain
