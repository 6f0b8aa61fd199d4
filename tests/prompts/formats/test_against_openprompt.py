"""Imported templates give the very tokens that OpenPrompt itself gave.

recorded/openprompt.json holds what MixedTemplate and MLMTokenizerWrapper of OpenPrompt 1.0.1 answered (beside transformers 4.30.2, which
it needs and which cannot stand beside the version used here) for the templates of its `scripts` folder and its tutorial, with the
WordPiece tokenizer of tiny-en and a byte-level BPE of 420 pieces (recorded/byte_level.json). On SentencePiece tokenizers the two differ
on purpose: OpenPrompt tokenizes "." by itself, which puts a blank in front of it.
"""

import json
from functools import cache
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from workbench.prompts.encoding import PromptEncoder
from workbench.prompts.formats import notation, read_prompt
from workbench.prompts.soft import SoftSlots
from workbench.prompts.template import parse_template
from workbench.recipe import PRESETS

RECORDED = Path(__file__).parent / "recorded"
REFERENCE = json.loads((RECORDED / "openprompt.json").read_text(encoding="utf-8"))
CASES = REFERENCE["cases"]


@cache
def tokenizer(name: str) -> PreTrainedTokenizerFast:
    if name == "tiny-en":
        names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]", "unk_token": "[UNK]"}
        return PreTrainedTokenizerFast(tokenizer_file=str(PRESETS / "models" / "tiny-en" / "tokenizer.json"), **names)
    names = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "mask_token": "<mask>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_file=str(RECORDED / "byte_level.json"), bos_token="<s>", eos_token="</s>", **names)


def encoded(source: str, case: dict) -> tuple[list[int], list[int], list[int] | None]:
    """Ids with 0 at soft tokens, mask positions, and the number of each soft token from 1, as OpenPrompt writes them."""
    tok = tokenizer(case["tokenizer"])
    example = REFERENCE["examples"][case["example"]] if "example" in case else {"text_a": case["text_a"]}
    soft_tokens = SoftSlots(tok, start=len(tok), length=1, templates=[source]) if "[SOFT" in source else None
    encoder = PromptEncoder(parse_template(source), tok, max_length=case.get("max_length", 96), causal=False, soft=soft_tokens)
    found = encoder.encode(example)
    soft = [max(0, i - len(tok) + 1) for i in found.input_ids]
    return [0 if s else i for i, s in zip(found.input_ids, soft, strict=True)], found.mask_positions, soft if any(soft) else None


@pytest.mark.parametrize("template", sorted({case["template"] for case in CASES}))
def test_an_imported_template_gives_openprompts_tokens(template):
    (source,) = read_prompt(template).templates
    again = read_prompt(notation("openprompt").write(parse_template(source)), name="openprompt").templates[0]
    for case in (case for case in CASES if case["template"] == template):
        expected = (case["ids"], case["masks"], case["soft"])
        assert encoded(source, case) == expected, (source, case["tokenizer"])
        assert encoded(again, case) == expected, "written back and read again"
