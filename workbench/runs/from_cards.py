"""What ranked cards become: the recipe with the best of them, with all that can answer together, or with those trained as PET.

The page's buttons and `score` on the command line send cards on through here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workbench.data.dataset import load_splits
from workbench.errors import RunError
from workbench.prompts.cards import Card
from workbench.recipe import PROJECT, PetPart, Recipe, anchor
from workbench.runs.demo import check_demo
from workbench.runs.jobs.pet import check_pet, pool_of


@dataclass(frozen=True)
class Gathered:
    """A recipe made of several cards.

    Args:
        cards: how many answer together.
        apart: how many scored ones have other label words and stay out.
        unlabelled: rows that PET's ensemble will label; 0 without PET.
    """

    recipe: Recipe
    cards: int
    apart: int
    unlabelled: int = 0


def cards_of(recipe: Recipe, source: str = "hand") -> list[Card]:
    """The recipe's own templates as cards, with its label words."""
    return [Card(template, recipe.prompt.verbalizer, source=source) for template in recipe.prompt.templates if template.strip()]


def with_card(recipe: Recipe, card: Card) -> Recipe:
    """The recipe with this card's template and label words."""
    return recipe.replace({"prompt.templates": [card.template], "prompt.verbalizer": card.verbalizer or recipe.prompt.verbalizer})


def together(recipe: Recipe, cards: Iterable[Card]) -> Gathered:
    """The recipe in which all scored cards that share the best one's label words answer together, one model trained on the mean of their
    probabilities.

    Raises:
        RunError: no card was scored yet.
    """
    found = _gathered(recipe, cards)
    return Gathered(found.recipe.replace({"pet": None}), found.cards, found.apart)


def as_pet(recipe: Recipe, cards: Iterable[Card]) -> Gathered:
    """The recipe in which the same cards are trained as PET, its options kept where it has some.

    Raises:
        RunError: fewer than two cards can be scored together.
        WorkbenchError: PET cannot train on this data: there are no rows without a label, or none with one.
    """
    found = _gathered(recipe, cards)
    if found.cards < 2:
        raise RunError("PET needs two templates or more that share their label words.", fix="Add another template and compare again.")
    options = recipe.pet or PetPart()
    made = found.recipe.replace({"pet": options.model_dump()})
    wanted = anchor(made, PROJECT)
    check_demo(wanted)
    check_pet(wanted, options)
    return Gathered(made, found.cards, found.apart, len(pool_of(load_splits(wanted.data), wanted, options)))


def _gathered(recipe: Recipe, cards: Iterable[Card]) -> Gathered:
    from workbench.serving.scoring import ensemble_of

    scored = [card for card in cards if card.score is not None]
    if not scored:
        raise RunError("No card has a score yet.", fix="Compare them first.")
    chosen, apart = ensemble_of(scored, recipe.prompt.verbalizer)
    words = chosen[0].verbalizer or recipe.prompt.verbalizer
    made = recipe.replace({"prompt.templates": [card.template for card in chosen], "prompt.verbalizer": words})
    return Gathered(made, len(chosen), len(apart))
