"""Trigger search against exhaustive search and finite differences, on masked and causal models."""

import itertools
import random
from types import SimpleNamespace

import pytest
import torch

from tests.models.tiny import CAUSAL, make_model, make_tokenizer
from workbench.data.dataset import InputExample
from workbench.models.families import family_of
from workbench.models.loading import LoadedModel, load_model
from workbench.prompts.search.trigger import Trigger, TriggerSearch
from workbench.prompts.search.vocabulary import Vocabulary
from workbench.recipe import ModelPart, Recipe, recipe_from
from workbench.runs.search import _place_of, _TriggerJudge

ROWS = [InputExample(str(n), {"text": f"w{20 + n} w{30 + n} w5"}, ["pos", "neg"][n % 2]) for n in range(6)]


@pytest.fixture(scope="module", params=["bert", "qwen2"])
def judged(request):
    """A judge over a tiny model, with the vocabulary of a search."""
    model, kind = make_model(request.param), "causal" if request.param in CAUSAL else "masked"
    loaded = LoadedModel(model, make_tokenizer(), family_of(model, kind), kind, "tiny", "", torch.device("cpu"), "none")
    words = {"pos": ["great"], "neg": ["bad"]}
    prompt = {"templates": ["{text} [MASK]"], "verbalizer": {"kind": "manual", "words": words}, "max_length": 24}
    recipe: Recipe = recipe_from({"prompt": prompt}, source="test")
    vocabulary = Vocabulary(loaded.tokenizer, [loaded.tokenizer.convert_tokens_to_ids(word) for word in ("great", "bad")])
    search = SimpleNamespace(loaded=loaded, recipe=recipe, vocabulary=vocabulary, rows=ROWS, labels=("neg", "pos"))
    judge = _TriggerJudge(search, "{text} [T] [MASK]")
    vectors = loaded.family.word_embeddings(loaded.model).weight.detach()[torch.tensor(vocabulary.ids)]
    return judge, vocabulary, vectors


def test_a_step_over_the_whole_vocabulary_finds_what_exhaustive_search_finds(judged):
    judge, vocabulary, vectors = judged
    ids = vocabulary.ids
    search = TriggerSearch(judge.gradient, judge.score, ids, vectors, len(ROWS), batch=6, candidates=len(ids))
    start = Trigger((ids[3], ids[7]), 0.0)
    position = random.Random("seed").randrange(2)
    found = search.step(start, "seed")
    tries = {}
    for token in ids:
        tokens = (token, ids[7]) if position == 0 else (ids[3], token)
        tries[tokens] = judge.score(tokens, range(6))
    best = max(tries, key=tries.__getitem__)
    assert found.tokens == best and found.score == pytest.approx(tries[best], abs=1e-6)
    assert search.step(start, "seed") == found, "a step is a function of its seed"


def test_searches_from_every_first_token_find_the_best_of_all_pairs(judged):
    """Coordinate steps climb and a whole vocabulary of candidates misses nothing at a position, so the search whose first token is the best
    pair's has that pair at its first step at the second position: with one start per token the optimum cannot be missed."""
    judge, vocabulary, vectors = judged
    few = random.Random("small vocabulary").sample(range(len(vocabulary.ids)), 14)
    ids = [vocabulary.ids[i] for i in few]
    pairs = {pair: judge.score(pair, range(len(ROWS))) for pair in itertools.product(ids, repeat=2)}
    best = max(pairs, key=pairs.__getitem__)
    search = TriggerSearch(judge.gradient, judge.score, ids, vectors[few], len(ROWS), batch=len(ROWS), candidates=len(ids))
    seeds = [f"step-{number}" for number in range(20)]
    second = next(seed for seed in seeds if random.Random(seed).randrange(2) == 1)
    first = next(seed for seed in seeds if random.Random(seed).randrange(2) == 0)
    found = [Trigger((token, ids[0]), pairs[token, ids[0]]) for token in ids]
    for seed in (second, first):
        climbed = [search.step(trigger, seed) for trigger in found]
        assert all(after.score >= before.score - 1e-6 for before, after in zip(found, climbed, strict=True))
        found = climbed
    winner = max(found, key=lambda trigger: trigger.score)
    assert winner.tokens == best and winner.score == pytest.approx(pairs[best], abs=1e-6)


def test_the_first_order_gain_is_the_slope(judged):
    judge, vocabulary, vectors = judged
    tokens = (vocabulary.ids[3], vocabulary.ids[7])
    gradient = judge.gradient(tokens, range(6))
    table = judge.embeddings.weight
    for other in (vocabulary.ids[20], vocabulary.ids[50]):
        direction = (table[other] - table[tokens[0]]).detach()
        values = []
        for step in (1e-2, -1e-2):
            def nudge(module, inputs, output, direction=direction, step=step):
                moved = output.clone()
                for row, (ids,) in enumerate(zip(inputs[0].tolist(), strict=True)):
                    place = next(i for i in range(len(ids) - 1) if ids[i : i + 2] == list(tokens))
                    moved[row, place] += step * direction
                return moved

            handle = judge.embeddings.register_forward_hook(nudge)
            values.append(judge.score(tokens, range(6)))
            handle.remove()
        slope = (values[0] - values[1]) / 2e-2
        assert float(gradient[0] @ direction) == pytest.approx(slope, rel=0.05, abs=2e-4)


def test_the_most_promising_tokens_are_those_with_the_largest_product(judged):
    judge, vocabulary, vectors = judged
    search = TriggerSearch(judge.gradient, judge.score, vocabulary.ids, vectors, len(ROWS), candidates=4)
    gradient = torch.randn(vectors.shape[1], generator=torch.Generator().manual_seed(3))
    products = {token: float(vectors[i] @ gradient) for i, token in enumerate(vocabulary.ids)}
    assert search.promising(gradient) == sorted(products, key=lambda token: -products[token])[:4]


def test_the_model_is_left_as_it_was(judged):
    judge, vocabulary, _ = judged
    judge.gradient((vocabulary.ids[0], vocabulary.ids[1]), range(2))
    assert all(p.grad is None for p in judge.search.loaded.model.parameters()) and not judge.embeddings._forward_hooks


def test_candidates_stand_alone_and_come_back_as_the_same_tokens():
    tokenizer = make_tokenizer()
    barred = tokenizer.convert_tokens_to_ids("great")
    vocabulary = Vocabulary(tokenizer, [barred])
    assert barred not in vocabulary.ids and not set(vocabulary.ids) & set(tokenizer.all_special_ids)
    draw = random.Random(5)
    for _ in range(300):
        tokens = [draw.choice(vocabulary.ids) for _ in range(draw.randrange(1, 5))]
        words = vocabulary.words(tokens)
        assert words == "" or vocabulary.plain.encode(f" {words}") == tokens


def test_chinese_characters_are_written_without_blanks():
    vocabulary = Vocabulary(load_model(ModelPart(path="embedded:tiny-zh", device="cpu")).tokenizer)
    tokens = vocabulary.plain.encode("总之很好")
    assert vocabulary.words(tokens) == "总之很好"


def test_the_trigger_is_found_in_the_template_and_not_in_the_text(judged):
    judge, vocabulary, _ = judged
    tokens = vocabulary.plain.encode(" w21 w31")  # stand in the text of the second row as well
    classifier = judge._classifier(vocabulary.words(tokens))
    encoding = classifier.encode([ROWS[1]])[0].variants[0]
    place = _place_of(tokens, encoding)
    assert encoding.input_ids[place : place + 2] == tokens and place > encoding.input_ids.index(tokens[0])
