"""The library: every entry parses, names its source, and works on the embedded models."""

import pytest

from workbench.errors import RecipeError
from workbench.prompts.encoding import PromptEncoder
from workbench.prompts.library import TASKS, library, library_entry
from workbench.prompts.template import parse_template
from workbench.prompts.tokenization import plain_tokenizer
from workbench.prompts.verbalizers import build_verbalizer
from workbench.recipe import PRESETS

ENTRIES = [entry.name for entry in library()]


@pytest.fixture(scope="module")
def tokenizers():
    from transformers import AutoTokenizer

    folder = PRESETS / "models"
    return {language: AutoTokenizer.from_pretrained(folder / f"tiny-{language}", trust_remote_code=False) for language in ("en", "zh")}


def test_every_task_of_the_library_is_there_in_english_and_the_chinese_ones_in_chinese():
    tasks = {(entry.task, entry.language) for entry in library()}
    assert {task for task, language in tasks if language == "en"} == set(TASKS) - {"similarity"}
    assert {task for task, language in tasks if language == "zh"} == {"sentiment", "topic", "inference", "similarity"}


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_encodes_and_its_words_are_valid(name, tokenizers):
    entry = library_entry(name)
    tokenizer = tokenizers[entry.language]
    assert len(entry.source) > 20 and set(entry.title) == {"en", "zh"}
    fields = {field: "很好的书" if entry.language == "zh" else "A good film." for field in entry.fields}
    labels = tuple(entry.labels)
    for card in entry.cards(entry.fields, labels):
        template = parse_template(card.template)
        encoding = PromptEncoder(template, tokenizer, max_length=96, causal=False).encode(fields)
        assert encoding.input_ids.count(tokenizer.mask_token_id) == 1
        verbalizer = build_verbalizer(card.verbalizer, labels, tokenizer, causal=False, leading_space=template.leading_space)
        assert all(plain_tokenizer(tokenizer).unknown_id not in word.token_ids for word in verbalizer.words)


def test_cards_fit_the_data_they_are_asked_for():
    cards = library_entry("pet-yelp-polarity").cards(("review",), ("neg", "pos"))
    assert cards[0].template == "It was [MASK] . {review}" and cards[0].source == "library:pet-yelp-polarity#0"
    assert cards[0].verbalizer == {"kind": "manual", "words": {"neg": ["bad"], "pos": ["good"]}}
    assert library_entry("zh-sentiment").cards(("text",), ("好评", "差评"))[0].verbalizer["words"]["好评"] == ["好", "棒"]
    assert library_entry("pet-yelp-polarity").cards(("text",), ("a", "b"))[0].verbalizer is None
    for name in ("pet-rte", "pet-cb"):
        card = library_entry(name).cards(("premise", "hypothesis"), tuple(library_entry(name).labels))[1]
        assert card.template == "{hypothesis|strip_punct} ? [SEP] [MASK] , {premise}", "PET asks for the hypothesis first"
    with pytest.raises(RecipeError, match="Did you mean 'pet-agnews'"):
        library_entry("pet-agnew")
