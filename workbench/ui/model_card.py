"""The model card on the page: what a model is, what is published of it, and whether it fits this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.errors import WorkbenchError
from workbench.models.card import ModelCard, model_card
from workbench.models.known import KnownModel, NotHereError, known_model
from workbench.models.loading import find_device
from workbench.models.memory import free_bytes
from workbench.models.pool import ModelPool
from workbench.models.published import Published, published_of
from workbench.recipe import Recipe
from workbench.ui.drawing import drawing, ideas
from workbench.ui.markup import amount, chips, facts, heading, sentence, size, table
from workbench.ui.text import Words

UNKNOWN = "\u2014"


@dataclass(frozen=True)
class ModelView:
    """What is known of a model: tiles, parameters by part, and a note where that is from the catalog alone."""

    name: str
    tiles: list[tuple[str, str]]
    parts: list[tuple[str, int]]
    features: list[str]
    drawing: str = ""
    ideas: tuple[str, ...] = ()
    published: tuple[tuple[str, str, str], ...] = ()
    memory: tuple[tuple[str, int, bool], ...] = ()
    note: str = ""


def view(recipe: Recipe, t: Words, pool: ModelPool | None = None, *, ask: bool = False) -> ModelView:
    """The model card of a recipe's model, from its configuration alone.

    Args:
        pool: where the model may be loaded already.
        ask: asks the hub for the configuration of a model of which nothing is known here.

    Raises:
        NotHereError: a hub model that was never downloaded, unless `ask`.
        ModelError: there is no such model.
    """
    try:
        known = known_model(recipe.model, pool)
    except NotHereError:
        if not ask:
            raise
        return described(model_card(recipe.model), t, recipe.model.device)
    card = known.card(recipe.model)
    # Reading a tokenizer takes its time, so only where there is something to compare it with.
    tokenizer = _tokenizer_kind(known) if published_of(card) else ""
    return described(card, t, recipe.model.device, note="" if known.here else t("model.from_catalog"), tokenizer=tokenizer)


def described(card: ModelCard, t: Words, device: str, note: str = "", tokenizer: str = "") -> ModelView:
    """A card in the words of a page; `device` is where the model would be loaded, `tokenizer` the kind of the one that was found."""
    heads = f"{card.heads}" if card.kv_heads == card.heads else t("card.heads_grouped", heads=card.heads, kv=card.kv_heads)
    tiles = [
        (t("card.kind"), t(f"card.kind_{card.kind}")),
        (t("card.family"), card.family),
        (t("card.parameters"), amount(card.parameters)),
        (t("card.memory"), size(card.memory.get(card.quantization, card.memory["none"]))),
        (t("card.layers"), str(card.layers)),
        (t("card.hidden"), f"{card.hidden_size:,}"),
        (t("card.heads"), heads),
        (t("card.vocabulary"), f"{card.vocabulary:,}"),
        (t("card.max_length"), f"{card.max_length:,}"),
    ]
    if card.cache_bytes_per_token:
        tiles.append((t("card.cache"), size(card.cache_bytes_per_token)))
    parts = [(t.get(f"card.part_{name}", name.replace("_", " ")), count) for name, count in card.parameters_by_part.items()]
    free = free_bytes(find_device(device))
    memory = tuple((name, needed, needed <= free) for name, needed in card.memory.items())
    features = [t.get(f"card.features.{name}", name) for name in card.features]
    published = _published(card, t, tokenizer)
    return ModelView(card.name, tiles, parts, features, drawing(card, t), tuple(ideas(card, t)), published, memory, note)


def _tokenizer_kind(known: KnownModel) -> str:
    """BPE, WordPiece or Unigram, as the tokenizer itself says; empty where there is none."""
    try:
        backend: Any = getattr(known.tokenizer(), "backend_tokenizer", None)
    except WorkbenchError:
        return ""
    return type(backend.model).__name__ if backend is not None else ""


def _published(card: ModelCard, t: Words, tokenizer: str) -> tuple[tuple[str, str, str], ...]:
    """Rows of what the makers say against what is here; empty for a model that nobody published."""
    known = published_of(card)
    if known is None:
        return ()
    pairs = [
        ("parameters", known.parameters, amount(card.parameters)),
        ("layers", str(known.layers), str(card.layers)),
        ("hidden", f"{known.hidden_size:,}", f"{card.hidden_size:,}"),
        ("heads", f"{known.heads} / {known.kv_heads}", f"{card.heads} / {card.kv_heads}"),
        ("vocabulary", f"{known.vocabulary:,}", f"{card.vocabulary:,}"),
        ("max_length", f"{known.max_length:,}", f"{card.max_length:,}"),
    ]
    pairs += _words(known, card, t, tokenizer)
    return ((known.name, "", ""), *((t(f"card.{name}"), said, here) for name, said, here in pairs))


def _words(known: Published, card: ModelCard, t: Words, tokenizer: str) -> list[tuple[str, str, str]]:
    """What is published in words: of the architecture only what the model was seen to have stands beside it."""

    def told(features: list[str]) -> str:
        return ", ".join(t.get(f"card.features.{name}", name) for name in features) or UNKNOWN

    pairs = [("architecture", told(list(known.features)), told([name for name in known.features if name in card.features]))]
    if known.tokenizer:
        pairs.append(("tokenizer", known.tokenizer, tokenizer or UNKNOWN))
    if known.tokens:  # which no file of a model tells
        pairs.append(("tokens", t(f"card.tokens_{known.languages}", tokens=known.tokens), UNKNOWN))
    return pairs


def card_html(shown: ModelView, t: Words) -> str:
    """The card as HTML."""
    total = sum(count for _, count in shown.parts) or 1
    rows = [(name, f"{count:,}", f"{count / total:.1%}") for name, count in shown.parts]
    parts = (
        heading(t("model.parts")) + table([t("model.part"), t("model.parameters"), t("model.share")], rows, numeric=frozenset({1, 2}))
        if rows
        else ""
    )
    lines = "".join(sentence(idea) for idea in shown.ideas)
    drawn = f'<div class="pw-architecture"><div>{shown.drawing}</div><div>{lines}</div></div>' if shown.drawing else ""
    note = sentence(shown.note, "note") if shown.note else ""
    head = heading(shown.name) + note + facts(shown.tiles) + f'<div class="pw-summary">{chips(shown.features)}</div>'
    return head + drawn + parts + _published_html(shown, t) + _memory_html(shown, t)


def _published_html(shown: ModelView, t: Words) -> str:
    if not shown.published:
        return ""
    (name, _, _), *rows = shown.published
    return heading(t("model.published", name=name)) + table(["", t("model.published_said"), t("model.published_here")], rows)


def _memory_html(shown: ModelView, t: Words) -> str:
    """Bytes of the weights in every precision, and whether this machine has them."""
    if not shown.memory:
        return ""
    rows = [
        (t(f"model.quantization_{name}"), size(needed), t("model.fits") if fits else t("model.fits_not"))
        for name, needed, fits in shown.memory
    ]
    smallest = [t(f"model.quantization_{name}") for name, _, fits in shown.memory if fits]
    advice = "" if shown.memory[0][2] else sentence(t("model.would_fit", how=smallest[0]) if smallest else t("model.never_fits"), "note")
    columns = [t("model.quantization"), t("card.size"), t("model.this_machine")]
    return heading(t("model.memory")) + table(columns, rows, numeric=frozenset({1})) + advice


def compare_html(first: ModelView, second: ModelView, t: Words) -> str:
    """Two models side by side: their figures in one table, their drawings next to each other."""
    values = dict(second.tiles)
    names = [name for name, _ in first.tiles] + [name for name, _ in second.tiles if name not in dict(first.tiles)]
    rows = [(name, dict(first.tiles).get(name, ""), values.get(name, "")) for name in names]
    drawings = f'<div class="pw-duel"><div>{first.drawing}</div><div>{second.drawing}</div></div>'
    return heading(t("model.compared")) + table(["", first.name, second.name], rows) + drawings
