import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from tests.prompts.tiny_tokenizers import wordpiece
from tests.serving.test_tuned import load
from workbench.data.dataset import InputExample
from workbench.errors import VerbalizerError
from workbench.models.families import family_of
from workbench.models.loading import LoadedModel
from workbench.recipe import PromptPart
from workbench.serving.classifier import PromptClassifier
from workbench.serving.label_words import search_label_words

LABELS = ("no", "yes")
EXAMPLES = [InputExample(str(i), {"text": f"w{20 + i} w{30 + i % 3}"}, LABELS[i % 2]) for i in range(8)]


@pytest.mark.parametrize("family", ["bert", "qwen2", "mpnet"])
def test_ranked_words_of_masked_and_causal_models(family):
    prompt = PromptPart(templates=["{text} it was [MASK]"], verbalizer={"kind": "manual", "words": {}}, max_length=32)
    found = search_label_words(load(family), prompt, LABELS, EXAMPLES, words_per_label=2)
    # This tokenizer knows four words of letters alone: great, bad, it and was.
    assert sorted(word for ranked in found.values() for word, _ in ranked) == ["bad", "great", "it", "was"]
    assert all(ranked == sorted(ranked, key=lambda item: -item[1]) for ranked in found.values())
    assert not {word for word, _ in found["no"]} & {word for word, _ in found["yes"]}
    with pytest.raises(VerbalizerError, match="Unknown option 'words'"):
        search_label_words(load(family), prompt, LABELS, EXAMPLES, words=3)


def test_a_chinese_character_that_separates_is_found():
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(wordpiece()), hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64)
    model = BertForMaskedLM(config).eval()
    loaded = LoadedModel(model, wordpiece(), family_of(model, "masked"), "masked", "tiny", "", torch.device("cpu"), "none")
    rows = [InputExample(str(i), {"text": ("这本书很好", "这部电影很差")[i % 2]}, ("差评", "好评")[(i + 1) % 2]) for i in range(6)]
    prompt = PromptPart(templates=["{text}很[MASK]。", "[MASK]，{text}"], max_length=32)
    # A short training makes the mask follow the text, so that the search has something to find.
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    words = {"好评": ["好"], "差评": ["差"]}
    classifier = PromptClassifier(loaded, prompt.model_copy(update={"verbalizer": {"kind": "manual", "words": words}}), ("好评", "差评"))
    encoded = classifier.encode(rows)
    for _ in range(20):
        optimizer.zero_grad()
        scores = classifier.log_probabilities(encoded)
        torch.nn.functional.nll_loss(scores, torch.tensor([e.label for e in encoded])).backward()
        optimizer.step()
    found = search_label_words(loaded, prompt, ("好评", "差评"), rows, words_per_label=3)
    assert "好" in [word for word, _ in found["好评"]] and "差" in [word for word, _ in found["差评"]]
