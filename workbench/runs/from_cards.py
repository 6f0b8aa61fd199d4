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
        apart: how many scored ones stay out, since their verbalizer differs from the best one's in more than label words.
        unlabelled: rows that PET's ensemble will label; 0 without PET.
    """

    recipe: Recipe
    cards: int
    apart: int
    unlabelled: int = 0


def cards_of(recipe: Recipe, source: str = "hand") -> list[Card]:
    """The recipe's own templates as cards, with its label words or their own."""
    prompt = recipe.prompt
    pairs = [(template, prompt.verbalizer_of(number)) for number, template in enumerate(prompt.templates)]
    return [Card(template, verbalizer, source=source) for template, verbalizer in pairs if template.strip()]


def with_card(recipe: Recipe, card: Card) -> Recipe:
    """The recipe with this card's template and label words."""
    return _of_pairs(recipe, [card])


def together(recipe: Recipe, cards: Iterable[Card]) -> Gathered:
    """The recipe in which all scored cards answer together, each in its label words, one model trained on the mean of their
    probabilities; those stay out whose verbalizer differs from the best one's in more than words.

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
        raise RunError("PET needs two templates or more.", fix="Add another template and compare again.")
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
    return Gathered(_of_pairs(recipe, chosen), len(chosen), len(apart))


def _of_pairs(recipe: Recipe, cards: list[Card]) -> Recipe:
    """The recipe with the cards' templates, the first one's verbalizer, and the label words of those that have others."""
    verbalizers = [card.verbalizer or recipe.prompt.verbalizer for card in cards]
    first, *_ = words = [verbalizer.get("words") for verbalizer in verbalizers]
    own = [None if found == first else found for found in words]
    return recipe.replace({
        "prompt.templates": [card.template for card in cards], "prompt.verbalizer": verbalizers[0],
        "prompt.template_words": own if any(own) else None,
    })  # fmt: skip
