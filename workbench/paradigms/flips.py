"""Which word decides: a piece of a text is left out, or the model's own guess put in its place, and the answer becomes another one.

Leaving out is `why.occlusion` over again; the guesses are those that a masked model makes at the piece's place, as BERT-Attack (Li et al.
2020) takes them, so that the text still reads like one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from workbench.models.cloze import cloze_logits
from workbench.models.mode import evaluating
from workbench.paradigms.why import pieces
from workbench.prompts.tokenization import plain_tokenizer
from workbench.serving import SMALLEST_PROBABILITY

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel
    from workbench.paradigms.paradigm import Answerer

EXCHANGED, GUESSES, LOOKED_AT = 8, 4, 64
AROUND = 60
"""Tokens on each side of the blank that a guess goes by."""
Place = tuple[str, int, int]


@dataclass(frozen=True)
class Flip:
    """A piece of the text, what stands `instead` of it (nothing where it is left out), what the answer is then, and the `fields` of the
    changed row."""

    piece: str
    instead: str
    label: str
    probability: float
    fields: dict[str, str]


def flips(answerer: Answerer, fields: dict[str, str], guessing: LoadedModel | None = None) -> tuple[list[Flip], int]:
    """The changes of one piece that turn the answer, the surest first, and how many pieces were tried.

    Args:
        guessing: a masked model; left out, or causal, pieces are only left out. The `EXCHANGED` pieces whose loss moves the answer most
            are exchanged, each for up to `GUESSES` words.
    """
    places = [(name, start, end) for name in sorted(fields) for start, end in pieces(fields[name])]
    whole, *without = answerer.probabilities([dict(fields), *(_with(fields, place, "") for place in places)])
    answer = max(range(len(whole)), key=whole.__getitem__)
    changed = [(place, "", row) for place, row in zip(places, without, strict=True)]
    if guessing is not None and guessing.kind == "masked" and places:
        order = sorted(range(len(places)), key=lambda i: math.log(max(without[i][answer], SMALLEST_PROBABILITY)))[:EXCHANGED]
        strongest = [places[i] for i in order]
        tried = [(place, word) for place, words in zip(strongest, _guesses(guessing, fields, strongest), strict=True) for word in words]
        rows = answerer.probabilities([_with(fields, place, word) for place, word in tried])
        changed += [(place, word, row) for (place, word), row in zip(tried, rows, strict=True)]
    found = []
    for place, word, row in changed:
        name, start, end = place
        best = max(range(len(row)), key=row.__getitem__)
        if best != answer:
            found.append(Flip(fields[name][start:end], word, answerer.labels[best], row[best], _with(fields, place, word)))
    return sorted(found, key=lambda flip: -flip.probability), len(places)


def _with(fields: dict[str, str], place: Place, word: str) -> dict[str, str]:
    name, start, end = place
    return {**fields, name: f"{fields[name][:start]}{word}{fields[name][end:]}"}


def _guesses(loaded: LoadedModel, fields: dict[str, str], places: list[Place]) -> list[list[str]]:
    """For each place the likeliest other words there, whole ones of letters."""
    plain, mask = plain_tokenizer(loaded.tokenizer), loaded.tokenizer.mask_token_id
    prompts, positions = [], []
    for name, start, end in places:
        text = fields[name]
        before, behind = plain.encode(f" {text[:start].strip()}")[-AROUND:], plain.encode(f" {text[end:].strip()}")[:AROUND]
        prompts.append([*plain.prefix, *before, mask, *behind, *plain.suffix])
        positions.append([len(plain.prefix) + len(before)])
    longest = max(map(len, prompts))
    pad = loaded.tokenizer.pad_token_id or 0
    ids = torch.tensor([prompt + [pad] * (longest - len(prompt)) for prompt in prompts])
    attention = torch.tensor([[1] * len(prompt) + [0] * (longest - len(prompt)) for prompt in prompts])
    with evaluating(loaded.model), torch.no_grad():
        logits, _ = cloze_logits(loaded, ids, attention, torch.tensor(positions), None)
    likeliest = logits[:, 0].topk(min(LOOKED_AT, logits.shape[-1]), dim=-1).indices.tolist()
    return [_words(loaded, row, fields[name][start:end]) for row, (name, start, end) in zip(likeliest, places, strict=True)]


def _words(loaded: LoadedModel, tokens: list[int], piece: str) -> list[str]:
    whole = [token for token in tokens if not str(loaded.tokenizer.convert_ids_to_tokens(token)).startswith("##")]
    texts = [loaded.tokenizer.decode([token]).strip() for token in whole if token not in loaded.tokenizer.all_special_ids]
    return [text for text in texts if text.isalpha() and text.lower() != piece.lower().strip(".,;:!?")][:GUESSES]
