"""Runs beside each other: where their recipes differ, their curves over the steps, and what people wrote about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.errors import RunError
from workbench.recipe import Recipe
from workbench.runs.view import RunSummary, RunView

LONGEST_TAGS, LONGEST_NOTE = 200, 4000
CURVES = ("train_loss", "loss", "accuracy", "macro_f1", "perplexity", "bleu", "rouge_l", "learning_rate", "gradient_norm")
TELLING = ("accuracy", "perplexity", "loss", "train_loss")
"""Curves that say most about a run, the first that it has before the others."""


def annotations(*, tags: str | None, note: str | None, archived: bool | None) -> dict[str, Any]:
    """The fields of a run's record to set: tags as names separated by commas, each once; None is left out.

    Raises:
        RunError: more text than a note holds.
    """
    changes: dict[str, Any] = {}
    if tags is not None:
        names = [part.strip() for part in tags.replace("\uff0c", ",").split(",")]
        changes["tags"] = ", ".join(dict.fromkeys(name for name in names if name))
    if note is not None:
        changes["note"] = note.strip()
    if archived is not None:
        changes["archived"] = int(archived)
    for name, most in (("tags", LONGEST_TAGS), ("note", LONGEST_NOTE)):
        if len(changes.get(name, "")) > most:
            raise RunError(f"That is more than {most} characters.", fix="Write less.")
    return changes


def matching(runs: Sequence[RunSummary], words: str, *, archived: bool = False) -> list[RunSummary]:
    """The runs that hold every word in their name, tags, note, method, model, kind, status or id; those put away only on request."""
    wanted = words.casefold().split()
    found = []
    for run in runs:
        text = " ".join((run.name, run.tags, run.note, run.method, run.model, run.kind, run.status, run.id)).casefold()
        if (archived or not run.archived) and all(word in text for word in wanted):
            found.append(run)
    return found


def differences(recipes: Sequence[Recipe]) -> list[tuple[str, list[Any]]]:
    """Every field in which the recipes are not all alike, as (dotted name, one value each); None where a recipe lacks it."""
    flat = [_flat(recipe.model_dump(exclude={"name"}), "") for recipe in recipes]
    names = dict.fromkeys(name for fields in flat for name in fields)
    rows = [(name, [fields.get(name) for fields in flat]) for name in names]
    return [(name, values) for name, values in rows if any(value != values[0] for value in values)]


def curve_of(run: RunView, figure: str) -> tuple[list[int], list[float]]:
    """Steps and values of one of `CURVES`; empty where the run has none."""
    events = run.log.of("train") if figure in ("train_loss", "learning_rate", "gradient_norm") else run.log.of("evaluation")
    name = "loss" if figure == "train_loss" else figure
    points = [(event["step"], event[name]) for event in events if isinstance(event.get(name), (int, float))]
    return [step for step, _ in points], [float(value) for _, value in points]


def telling_curve(runs: Sequence[RunView], figure: str) -> str:
    """`figure` where one of the runs has a curve of it, else the first of `TELLING` that one has."""
    return next((name for name in (figure, *TELLING) if any(curve_of(run, name)[0] for run in runs)), figure)


def with_new_seed(recipe: Recipe, taken: Sequence[Recipe]) -> Recipe:
    """The recipe with the next training seed that none of `taken`, alike but for the seed, has; the rows stay the same."""
    bare = recipe.replace({"training.seed": 0})
    used = {other.training.seed for other in [recipe, *taken] if other.replace({"training.seed": 0}) == bare}
    return recipe.replace({"training.seed": max(used) + 1})


def _flat(content: dict[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict) and value:
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
