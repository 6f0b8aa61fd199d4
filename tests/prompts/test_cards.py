import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.prompts.cards import Card, card_from, merged, ranked, wilson


@pytest.mark.parametrize(
    ("correct", "rows", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, Table I, method 3 (Wilson's score without continuity correction).
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_the_published_one(correct, rows, low, high):
    assert wilson(correct, rows) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda rows: st.tuples(st.integers(0, rows), st.just(rows))))
def test_an_interval_holds_its_share_and_stays_within_bounds(case):
    correct, rows = case
    low, high = wilson(correct, rows)
    assert 0 <= low <= correct / rows + 1e-12 and correct / rows - 1e-12 <= high <= 1


def test_cards_are_ranked_by_score_then_loss_and_unmeasured_ones_come_last():
    a, b, c = (Card(name).scored(correct=8, rows=10, loss=loss) for name, loss in (("a", 0.5), ("b", 0.4), ("c", 0.3)))
    best, none = Card("d").scored(correct=9, rows=10, loss=2.0), Card("e")
    assert [card.template for card in ranked([none, a, best, b, c])] == ["d", "c", "b", "a", "e"]


def test_a_card_survives_json_and_merging_keeps_one_of_each():
    card = Card("{text} [MASK]", {"kind": "manual", "words": {"a": ["x"]}}, "library:x#1").scored(correct=3, rows=4, loss=0.1)
    assert card_from(json.loads(json.dumps({**card.to_plain(), "later": 1}))) == card
    assert merged([card.unscored(), Card("y")], [Card(card.template, card.verbalizer), Card("z")]) == [
        card.unscored(),
        Card("y"),
        Card("z"),
    ]
    (kept,) = merged([card.unscored()], [Card(card.template, card.verbalizer, "search").scored(correct=1, rows=2, loss=0.2)])
    assert kept.score == 0.5 and kept.source == "library:x#1"
