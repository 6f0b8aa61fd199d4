"""What the prompt lab keeps on the server: the cards of each data set, scorers that are ready, and which request of a page is the newest.

Cards are files under `lab/` of the data root, so a reload, a second page and a job that ends later all see the same. A card belongs
to the data it was made for (file and columns) and to whoever made it; its measurement belongs to a model and a split as well, so
choosing another model leaves the templates and takes away the scores, until they are measured or the first model is back.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.access import acting, check_data_file
from workbench.prompts.cards import Card, card_from, merged, ranked
from workbench.recipe import Recipe
from workbench.runs.demo import check_demo
from workbench.runs.ready import Ready

if TYPE_CHECKING:
    from workbench.models.pool import ModelPool
    from workbench.serving.scoring import CardScorer

MOST_CARDS = 200
SCORERS_KEPT = 3
SESSIONS_KEPT = 1000


class Lab:
    """Owned by a `RunService`; safe to use from several threads.

    Args:
        root: data root.
        pool: gives the models that nothing is attached to.
    """

    def __init__(self, root: Path, pool: Callable[[], ModelPool]) -> None:
        self._folder = root / "lab"
        self._pool = pool
        self._guard = threading.RLock()
        self._scorers: Ready[CardScorer] = Ready(SCORERS_KEPT)
        self._newest: OrderedDict[str, tuple[int, str]] = OrderedDict()

    # -- cards

    def cards(self, recipe: Recipe) -> list[Card]:
        """The cards for the recipe's data, ranked by what its model made of them."""
        book = self._read(recipe)
        scores = book["scores"].get(_measured_key(recipe), {})
        cards = [card_from(plain) for plain in book["cards"]]
        return ranked(_with_score(card, scores.get(card.key)) for card in cards)

    def keep(self, recipe: Recipe, cards: Iterable[Card]) -> list[Card]:
        """Adds cards, or new measurements of known ones, and returns all, ranked. Over `MOST_CARDS` the worst are let go."""
        with self._guard:
            book = self._read(recipe)
            added = list(cards)
            known = merged([card_from(plain) for plain in book["cards"]], [card.unscored() for card in added])
            scores = book["scores"].setdefault(_measured_key(recipe), {})
            scores.update({card.key: card.to_plain() for card in added if card.score is not None or card.problem})
            kept = ranked(_with_score(card, scores.get(card.key)) for card in known)[:MOST_CARDS]
            names = {card.key for card in kept}
            book["cards"] = [card.to_plain() for card in known if card.key in names]
            self._write(recipe, book, names)
            return kept

    def remove(self, recipe: Recipe, keys: Iterable[str]) -> list[Card]:
        """Takes cards away by their `key`; returns the rest, ranked."""
        with self._guard:
            book, gone = self._read(recipe), set(keys)
            book["cards"] = [plain for plain in book["cards"] if card_from(plain).key not in gone]
            self._write(recipe, book, {card_from(plain).key for plain in book["cards"]})
            return self.cards(recipe)

    # -- scores

    def scorer(self, recipe: Recipe) -> CardScorer:
        """The scorer for a recipe's model and validation rows, kept until others take its place.

        Raises:
            WorkbenchError: the model or the data cannot be used.
        """
        from workbench.data.dataset import load_splits
        from workbench.serving.scoring import CardScorer

        check_demo(recipe)
        for file in (recipe.data.train, recipe.data.validation, recipe.data.unlabeled):
            if file:
                check_data_file(file)  # before what is kept, which does not know who asks

        def make() -> CardScorer:
            splits = load_splits(recipe.data)
            rows = splits.validation.examples or splits.train.examples
            return CardScorer(self._pool().get(recipe.model), recipe.prompt, splits.labels, rows, training=splits.train.examples)

        scorer = self._scorers.get(_measured_key(recipe), make)
        # The words of cards that bring none are the recipe's, which may have changed while rows and model stayed.
        return scorer if scorer.prompt == recipe.prompt else scorer.with_prompt(recipe.prompt)

    def let_go(self) -> bool:
        """Drops all scorers; whether there were any."""
        return self._scorers.clear()

    def newest(self, session: str, asked: str = "") -> Callable[[], bool]:
        """Makes this request, for `asked`, the newest of a page; the answer says later whether a still newer one has come."""
        with self._guard:
            number, _ = self._newest.pop(session, (0, ""))
            mine = self._newest[session] = (number + 1, asked)
            while len(self._newest) > SESSIONS_KEPT:
                self._newest.popitem(last=False)
        return lambda: self._newest.get(session) != mine

    def overtake(self, session: str, asked: str) -> None:
        """Drops the page's running request, unless it is for `asked` too: nobody would make it again."""
        if self._newest.get(session, (0, ""))[1] != asked:
            self.newest(session, asked)

    # -- files

    def _file(self, recipe: Recipe) -> Path:
        return self._folder / f"{_digest(acting().name, recipe.data.train, recipe.data.columns)}.json"

    def _read(self, recipe: Recipe) -> dict[str, Any]:
        try:
            book = json.loads(self._file(recipe).read_text(encoding="utf-8"))
            return {"cards": list(book["cards"]), "scores": dict(book["scores"])}
        except (OSError, ValueError, KeyError, TypeError):
            return {"cards": [], "scores": {}}

    def _write(self, recipe: Recipe, book: dict[str, Any], names: set[str]) -> None:
        book["scores"] = {place: {key: plain for key, plain in scores.items() if key in names} for place, scores in book["scores"].items()}
        file = self._file(recipe)
        self._folder.mkdir(parents=True, exist_ok=True)
        staged = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
        staged.write_text(json.dumps(book, ensure_ascii=False), encoding="utf-8")
        os.replace(staged, file)


def _with_score(card: Card, plain: dict[str, Any] | None) -> Card:
    return replace(card_from(plain), source=card.source) if plain else card.unscored()


def _measured_key(recipe: Recipe) -> str:
    """What a measurement depends on beside the card: model, rows and length."""
    return _digest(recipe.model.model_dump(), recipe.data.model_dump(), recipe.prompt.max_length)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()[:24]
