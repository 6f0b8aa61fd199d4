import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from tests.prompts.tiny_tokenizers import wordpiece
from workbench.data.dataset import InputExample
from workbench.models.families import family_of
from workbench.models.loading import LoadedModel
from workbench.recipe import PromptPart
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
    assert [row.removed_tokens for row in rows] == [0, 5]
    assert rows[0].example is examples[0]
    for row in rows:
        assert len(row.top) == 4 and row.top == sorted(row.top, key=lambda pair: -pair[1])
        assert sum(row.class_probabilities.values()) == pytest.approx(1)
        assert {label: set(words) for label, words in row.label_words.items()} == {"no": {"bad"}, "yes": {"great", "good"}}
        assert all(0 < p < 1 for words in row.label_words.values() for p in words.values())
    assert preview(bert, PROMPT, ("no", "yes"), []) == []
