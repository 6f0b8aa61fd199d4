"""Cards scored together: the figures of one prompt at a time, work that is shared, and requests that are dropped."""

import math
from types import SimpleNamespace

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from tests.prompts.tiny_tokenizers import qwen_like
from tests.tiny_runs import make_recipe
from workbench.data.dataset import InputExample, load_splits
from workbench.errors import DataError
from workbench.models.families import family_of
from workbench.models.loading import LoadedModel, load_model
from workbench.models.packing import packed_states
from workbench.prompts.cards import Card
from workbench.recipe import PromptPart
from workbench.runs.files import evaluate_examples
from workbench.serving.classifier import PromptClassifier
from workbench.serving.predictor import Predictor
from workbench.serving.reading import TemplateReading
from workbench.serving.scoring import CardScorer, Dropped, compare, ensemble_of, stages

TEMPLATES = ["{text} it was [MASK] .", "the [MASK] film {text}", "[MASK] : {text}", "{text} the food was [MASK]"]
SENTENCES = ["the movie was great", "a bad film", "这本书很好", "it was", "good film and a bad book"]
ENDINGS = ["{text} it was [MASK]", "{text} it is [MASK]", "{text} was it really [MASK]", "it is : {text} [MASK]", "{text} [MASK] ."]
WORDS_OF_ONE = {"yes": ["great"], "no": ["bad"]}
WORDS_OF_SEVERAL = {"yes": ["很好", "good"], "no": ["不满意", "bad"]}
NOTHING_SHARED = SimpleNamespace(at=lambda place: None)
OTHER_WORDS = {"kind": "manual", "words": {"pos": ["nice"], "neg": ["bad"]}}


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    recipe = make_recipe(tmp_path_factory.mktemp("scoring"), data__split={"validation": 40})
    return recipe, load_splits(recipe.data), load_model(recipe.model)


@pytest.fixture
def scorer(setting):
    recipe, splits, loaded = setting
    return CardScorer(loaded, recipe.prompt, splits.labels, splits.train.examples + splits.validation.examples, batch_size=8)


@pytest.fixture
def calls(monkeypatch):
    """How many rows went through the model."""
    seen: list[int] = []
    monkeypatch.setattr("workbench.serving.batches.FULL_TOKENS", 0)
    ask = PromptClassifier.template_log_probabilities
    monkeypatch.setattr(
        PromptClassifier, "template_log_probabilities", lambda self, batch, *more: seen.append(len(batch)) or ask(self, batch, *more)
    )
    return seen


@pytest.mark.parametrize("verbalizer", [None, OTHER_WORDS])
def test_a_card_gets_the_figures_of_its_prompt_alone(scorer, setting, verbalizer):
    recipe, splits, loaded = setting
    for template in TEMPLATES:
        card = scorer.score(Card(template, verbalizer), 48)
        alone = recipe.replace({"prompt.templates": [template], "prompt.verbalizer": verbalizer or recipe.prompt.verbalizer})
        metrics = evaluate_examples(Predictor(loaded, None, alone, splits.labels), scorer.examples)["metrics"]
        assert (card.score, card.rows) == (metrics["accuracy"], 48)
        assert card.loss == pytest.approx(metrics["loss"], abs=1e-6)
        assert scorer.confusion(card, 48) == metrics["confusion"]
        assert card.interval[0] <= card.score <= card.interval[1]


def test_more_rows_cost_only_the_new_ones(scorer, calls):
    card = Card(TEMPLATES[0])
    first = scorer.probabilities(card, 10)
    more = scorer.probabilities(card, 30)
    assert torch.equal(first, more[:10]) and sum(calls) == 30
    assert torch.equal(scorer.probabilities(card, 20), more[:20]) and sum(calls) == 30
    assert scorer.probabilities(card, 500).shape == (48, 2) and sum(calls) == 48


def test_a_dropped_request_stops_between_two_batches(scorer, calls):
    with pytest.raises(Dropped):
        scorer.probabilities(Card(TEMPLATES[0]), 48, stop=lambda: len(calls) == 2)
    assert calls == [8, 8]


def test_a_card_that_cannot_work_says_why_and_keeps_the_others_going(scorer):
    cards = [
        Card("{text} [MASC]"),
        Card(TEMPLATES[0]),
        Card("{title} [MASK]"),
        Card("{text} [MASK]", {"kind": "manual", "words": {"pos": ["x"]}}),
    ]
    *_, last = compare(scorer, cards, 20)
    assert last[0].template == TEMPLATES[0] and last[0].rows == 20
    assert all(card.problem.count(".") >= 1 and card.score is None for card in last[1:])


@pytest.mark.parametrize(
    ("cards", "rows", "expected"),
    [
        (4, 200, [(4, 25), (4, 50), (4, 100), (4, 200)]),
        (64, 100, [(64, 25), (32, 50), (16, 100)]),
        (3, 20, [(3, 20)]),
        (20, 60, [(20, 25), (12, 50), (12, 60)]),
    ],
)
def test_halving_ends_on_all_rows(cards, rows, expected):
    assert stages(cards, rows) == expected


def test_halving_spends_its_rows_on_the_better_half(scorer, calls):
    cards = [Card(TEMPLATES[i % 4], {"kind": "manual", "words": {"pos": [a], "neg": [b]}}) for i, (a, b) in enumerate(WORD_PAIRS)]
    *_, last = compare(scorer, cards, 48)
    full = [card for card in last if card.rows == 48]
    assert len(last) == len(cards) == 20 and len(full) == 12
    assert sum(calls) == 20 * 25 + 12 * 23
    bounds = [card.interval[0] for card in last]
    assert bounds == sorted(bounds, reverse=True)


WORD_PAIRS = [(a, b) for a in ("great", "lovely", "nice", "film", "food") for b in ("terrible", "awful", "bad", "was")]


def test_disagreements_are_the_rows_with_two_answers(scorer):
    first, second = Card(TEMPLATES[1]), Card(TEMPLATES[2], OTHER_WORDS)
    one, two = (scorer.probabilities(card, 48).argmax(1).tolist() for card in (first, second))
    found = scorer.disagreements(first, second, 48)
    assert sorted(item.row for item in found) == [i for i in range(48) if one[i] != two[i]]
    assert all(item.first != item.second and item.example is scorer.examples[item.row] for item in found)


def test_an_ensemble_holds_cards_of_the_bests_kind_whatever_their_words():
    best, same, other, none = (Card(str(i)).scored(correct=9 - i, rows=10, loss=1.0) for i in range(4))
    worded = Card("2", OTHER_WORDS).scored(correct=7, rows=10, loss=1.0)
    other = Card("4", {**OTHER_WORDS, "calibration": "pmi"}).scored(correct=8, rows=10, loss=1.0)
    together, apart = ensemble_of([worded, other, none, same, best], {"kind": "manual", "words": {"pos": ["great"], "neg": ["bad"]}})
    assert [card.template for card in together] == ["0", "1", "2", "3"] and apart == [other]
    assert ensemble_of([], {}) == ([], [])


def test_without_rows_there_is_nothing_to_score(setting):
    recipe, splits, loaded = setting
    with pytest.raises(DataError, match="no labelled rows"):
        CardScorer(loaded, recipe.prompt, splits.labels, [])
    assert math.isfinite(CardScorer(loaded, recipe.prompt, splits.labels, splits.train.examples).score(Card(TEMPLATES[0]), 4).loss)


@pytest.mark.parametrize("words", [WORDS_OF_ONE, WORDS_OF_SEVERAL], ids=["one token", "several tokens"])
def test_cards_read_together_by_a_causal_model_get_the_figures_of_each_alone(words, monkeypatch):
    loaded = causal_model()
    prompt = PromptPart(templates=["{text} [MASK]"], verbalizer={"kind": "manual", "words": words}, max_length=32)
    examples = [InputExample(str(n), {"text": text}, ("yes", "no")[n % 2]) for n, text in enumerate(SENTENCES)]
    cards = [Card(template) for template in ENDINGS]
    alone = [PromptClassifier(loaded, prompt.model_copy(update={"templates": [c.template]}), ("no", "yes")) for c in cards[:-1]]
    for classifier in alone:
        monkeypatch.setattr(classifier, "read", lambda batch, own=classifier: [TemplateReading(own, batch, 0, NOTHING_SHARED)])
    seen: list[int] = []
    monkeypatch.setattr("workbench.serving.batches.FULL_TOKENS", 0)
    monkeypatch.setattr("workbench.serving.reading.packed_states", lambda *given: seen.append(1) or packed_states(*given))
    scorer = CardScorer(loaded, prompt, ("no", "yes"), examples, batch_size=3)
    scorer.read(cards, 5)
    assert len(seen) == 2  # two batches for all cards
    for card, classifier in zip(cards, alone, strict=False):
        assert (scorer.probabilities(card, 5) - classifier.predict(examples[:5])).abs().max() < 1e-5
    assert len(seen) == 2 and "behind" in scorer.score(cards[-1], 5).problem


def causal_model() -> LoadedModel:
    torch.manual_seed(2)
    config = Qwen2Config(
        vocab_size=len(qwen_like()), num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.2, pad_token_id=0,
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config).eval()
    return LoadedModel(model, qwen_like(), family_of(model, "causal"), "causal", "tiny", "", torch.device("cpu"))
