"""Who can be talked to in the chat: runs that write, the model that a run started from, and models that no run has tuned."""

from __future__ import annotations

from typing import Any

from workbench.errors import RunError, WorkbenchError
from workbench.models.known import known_model
from workbench.models.loading import embedded_names
from workbench.recipe import ModelPart, Recipe
from workbench.serving.generator import MESSAGE, Generator, plain_generator
from workbench.ui import beside
from workbench.ui.beside import BASE
from workbench.ui.text import Words

ANSWERING = ("finished", "stopped", "interrupted", "paused", "running")
MODEL, NOBODY, EMBEDDED = "model:", "nobody", "embedded:"


def talkers(service: Any, t: Words) -> list[tuple[str, str]]:
    """Runs that write text, newest first, named for a person."""
    found = []
    for run in service.runs():
        perplexity = (run.metrics or {}).get("perplexity")
        if run.status in ANSWERING and (run.status == "finished" or perplexity is not None) and beside.writes_text(service, run):
            score = t("chat.perplexity", value=f"{perplexity:.1f}") if perplexity is not None else t(f"status.{run.status}")
            method = t.get(f"methods.{run.method}.title", run.method)
            found.append((f"{run.name} \u00b7 {method} \u00b7 {score} \u00b7 {run.id[-6:]}", run.id))
    return found


def models(service: Any, recipe: Recipe, t: Words) -> list[tuple[str, str]]:
    """Models on this machine that write: the one of the tab Model, and embedded ones. Nothing is loaded or downloaded for that."""
    # With its name, so that another model in the tab Model is somebody else to talk to.
    own, embedded = f"{MODEL}{recipe.model.path}", [f"{EMBEDDED}{name}" for name in embedded_names()]
    parts = {own: recipe.model} | {path: ModelPart(path=path) for path in embedded}
    if recipe.model == parts.get(recipe.model.path):
        del parts[recipe.model.path]
    found = []
    for value, part in parts.items():
        try:
            known = known_model(part, service.pool)
        except WorkbenchError:
            continue
        if known.kind == "causal" and known.here:
            found.append((t("chat.model", name=known.name.removeprefix(EMBEDDED).rsplit("/", 1)[-1]), value))
    return found


def others(service: Any, recipe: Recipe, runs: list[tuple[str, str]], run_id: str | None, t: Words) -> list[tuple[str, str]]:
    """Who can stand beside a run, or be talked to where there is no run.

    Args:
        recipe: the page's, for the model in its tab Model.
        runs: as `talkers` gives them.
    """
    own = [(t("try.base"), BASE)] if run_id else []
    alone = [(t("chat.nobody"), NOBODY)] if run_id else []
    return [*own, *((name, value) for name, value in runs if value != run_id), *models(service, recipe, t), *alone]


def writer(service: Any, recipe: Recipe, run_id: str | None, who: str) -> Generator:
    """What writes for a choice of `others` beside the run `run_id`.

    Raises:
        WorkbenchError: the run has nothing tuned yet, or the model cannot be loaded or writes no text.
    """
    if who == BASE and run_id:
        return service.generator(run_id, base=True)
    if who.startswith((MODEL, EMBEDDED)):
        part = ModelPart(path=who) if who.startswith(EMBEDDED) else recipe.model
        return plain_generator(service.pool.get(part), part)
    return service.generator(who)


def fitted(generator: Generator, fields: dict[str, str]) -> dict[str, str]:
    """What was asked, under the names of the fields that a model's first question has: texts in their order, or all as one message.

    Raises:
        RunError: it reads several texts, and others than were given.
    """
    names = generator.fields
    if len(names) == len(fields):
        return dict(zip(names, fields.values(), strict=True))
    if len(names) == 1:
        return {names[0]: "\n".join(text for text in fields.values() if text)}
    raise RunError(f"This model reads {len(names)} texts and {len(fields)} are given.", fix="Choose one with the same columns.")


def fields_of(service: Any, run_id: str | None) -> list[str]:
    """The fields that make the first question of a run, or of a model that no run has tuned."""
    return beside.fields_of(service.read(run_id, 1 << 30).recipe) if run_id else [MESSAGE]
