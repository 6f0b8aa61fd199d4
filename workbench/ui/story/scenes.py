"""What is to be seen at each step of the story, asked of the service on the preset of the page's language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.data.dataset import InputExample
from workbench.errors import RunError
from workbench.models.card import ModelCard, model_card
from workbench.recipe import Recipe, load_preset, preset_names
from workbench.serving.preview import PreviewRow, preview
from workbench.ui.rows import dataset
from workbench.ui.session import FIRST_PRESET
from workbench.ui.svg import text_width
from workbench.ui.tabs.train import TrainView, draw
from workbench.ui.text import Words

WORDS_SHOWN = 5
CANDIDATES = 24
# Reviews that fit in one line of the picture, and say more than a word or two.
SHORTEST, LONGEST = 140, 480


@dataclass(frozen=True)
class Blank:
    """A sentence with a blank as the model reads it, with its words for the blank; and the model itself."""

    row: PreviewRow
    card: ModelCard


@dataclass(frozen=True)
class Reading:
    """A review of the data under the preset's template, with the untrained model's answer."""

    row: PreviewRow
    template: str
    label: str


def preset(language: str) -> Recipe | None:
    """The recipe that the story is told on; None where no preset is installed."""
    name = FIRST_PRESET.format(language=language)
    return load_preset(name) if name in preset_names() else None


def training_rows(recipe: Recipe) -> int:
    """How many labelled rows the preset trains on."""
    data = dataset(recipe)
    shots = recipe.data.split.shots
    return len(data.examples) if shots is None else shots * len(data.labels)


def blank(service: Any, recipe: Recipe, t: Words) -> Blank:
    """The story's own sentence, whatever the data; WorkbenchError where the model cannot be loaded."""
    asking = recipe.prompt.model_copy(update={"templates": [t("story.blank_template")]})
    example = InputExample(guid="story", fields={recipe.fields[0]: t("story.blank_text")}, label=None)
    rows = preview(service.pool.get(recipe.model), asking, dataset(recipe).labels, [example], k=WORDS_SHOWN)
    return Blank(rows[0], model_card(recipe.model.path))


def reading(service: Any, recipe: Recipe) -> Reading:
    """A short review that the untrained model gets wrong, or any short one: it shows what training is for. The fewer pieces of words the
    better, and the shorter.

    Raises:
        WorkbenchError: the model or the data cannot be used.
    """
    data = dataset(recipe)
    field = recipe.fields[0]
    short = [example for example in data.examples if SHORTEST <= text_width(example.fields[field], 12) <= LONGEST]
    rows = preview(
        service.pool.get(recipe.model), recipe.prompt, data.labels, (short or data.examples)[:CANDIDATES], k=WORDS_SHOWN, attention=True
    )
    row = min(rows, key=lambda row: (answer_of(row.class_probabilities) == row.example.label, _pieces(row), len(row.tokens)))
    return Reading(row, recipe.prompt.templates[0], str(row.example.label))


def _pieces(row: PreviewRow) -> int:
    """How many tokens go on with the word before them, as WordPiece writes it."""
    return sum(token.text.startswith("##") for token in row.tokens)


def training(service: Any, run_id: str | None) -> TrainView | None:
    """The story's run as it stands; None before there is one, or once somebody has deleted it."""
    try:
        return draw(service, run_id) if run_id else None
    except RunError:
        return None


def answer_of(probabilities: dict[str, float]) -> str:
    """The likeliest label."""
    return max(probabilities, key=probabilities.__getitem__)


def twin(service: Any, recipe: Recipe, statuses: Sequence[str]) -> str | None:
    """A run of this very recipe that is waiting or under way, whoever of the same person's pages started it."""
    return next((run.id for run, known in service.readable(lambda run: run.status in statuses) if known == recipe), None)
