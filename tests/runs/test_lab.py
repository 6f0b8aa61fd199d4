"""Cards on the server: kept per data set and person, measured per model, and newer requests in place of older ones."""

import pytest

from tests.tiny_runs import make_recipe
from workbench.access import Places, Principal, Role, acting_as
from workbench.errors import AccessError
from workbench.prompts.cards import Card
from workbench.runs.service import RunService


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def recipe(place):
    return make_recipe(place)


@pytest.fixture
def service(tmp_path):
    service = RunService(tmp_path)
    yield service
    service.close()


ONE, TWO = Card("{text} it was [MASK] .", source="library:x#0"), Card("[MASK] : {text}", source="search")


def test_cards_outlive_the_process_and_rank_by_their_scores(service, recipe, tmp_path):
    service.lab.keep(recipe, [ONE, TWO])
    service.lab.keep(recipe, [TWO.scored(correct=9, rows=10, loss=0.1)])
    service.close()
    again = RunService(tmp_path)
    cards = again.lab.cards(recipe)
    assert [(card.template, card.source, card.rows) for card in cards] == [(TWO.template, "search", 10), (ONE.template, "library:x#0", 0)]
    assert [card.template for card in again.lab.remove(recipe, [TWO.key])] == [ONE.template]
    again.close()


def test_another_model_takes_the_scores_away_and_another_file_the_cards(service, recipe):
    service.lab.keep(recipe, [ONE.scored(correct=9, rows=10, loss=0.1)])
    other = recipe.replace({"model.path": "embedded:tiny-en"})
    assert [card.score for card in service.lab.cards(other)] == [None]
    service.lab.keep(other, [ONE.scored(correct=5, rows=10, loss=0.1)])
    assert service.lab.cards(recipe)[0].score == 0.9 and service.lab.cards(other)[0].score == 0.5
    assert service.lab.cards(recipe.replace({"data.train": "other.csv"})) == []


def test_cards_belong_to_whoever_made_them(service, recipe):
    with acting_as(Principal("ada", Role.USER)):
        service.lab.keep(recipe, [ONE])
    with acting_as(Principal("bob", Role.USER)):
        assert service.lab.cards(recipe) == []


def test_a_damaged_book_is_an_empty_one(service, recipe, tmp_path):
    service.lab.keep(recipe, [ONE])
    (file,) = (tmp_path / "lab").glob("*.json")
    file.write_text('{"cards": 3', encoding="utf-8")
    assert service.lab.cards(recipe) == []
    assert [card.template for card in service.lab.keep(recipe, [TWO])] == [TWO.template]


def test_only_the_newest_request_of_a_page_goes_on(service):
    first, other = service.lab.newest("a"), service.lab.newest("b")
    assert not first()
    second = service.lab.newest("a")
    assert first() and not second() and not other()


def test_a_request_is_overtaken_by_what_asks_for_something_else_and_by_nothing_that_asks_for_the_same(service):
    running = service.lab.newest("a", "one template")
    service.lab.overtake("a", "one template")
    service.lab.overtake("b", "another")
    assert not running()
    service.lab.overtake("a", "another")
    assert running()


def test_a_scorer_is_kept_and_follows_the_recipes_words(service, recipe):
    scorer = service.lab.scorer(recipe)
    assert service.lab.scorer(recipe) is scorer
    words = {"kind": "manual", "words": {"pos": ["nice"], "neg": ["bad"]}}
    changed = service.lab.scorer(recipe.replace({"prompt.verbalizer": words}))
    assert changed.score(ONE, 12).loss == scorer.score(Card(ONE.template, words), 12).loss != scorer.score(ONE, 12).loss
    assert len(scorer.examples) == 12, "the validation rows"
    with acting_as(Principal("eve", Role.USER, Places())), pytest.raises(AccessError):
        service.lab.scorer(recipe)
