"""The part of the tab Data with the files beside the training file, and with the encoding of all of them."""

from __future__ import annotations

from typing import Any

import gradio as gr

from workbench.data.encoding import AUTO, OFFERED, is_judged
from workbench.errors import EncodingError, WorkbenchError
from workbench.recipe import Recipe
from workbench.ui.data_view import ExtraView, extra_view
from workbench.ui.forms import SELDOM, explained
from workbench.ui.frame import Frame
from workbench.ui.markup import problem, sentence
from workbench.ui.rows import SUFFIXES, preset_files, table
from workbench.ui.session import ready, short_path
from workbench.ui.text import Words
from workbench.ui.uploads import keep_upload

ROLES = ("validation", "unlabeled")
# A list's entry has to be a text.
NONE = ""


def with_extra(recipe: Recipe, role: str, path: str | None) -> Recipe:
    """The recipe with another file in `data.validation` or `data.unlabeled`, or none. One that cannot be used is taken too, and what is
    wrong with it stands beside it: it may be the columns or the encoding that are to be changed."""
    return recipe.replace({f"data.{role}": path or None})


def choices(current: str | None, none: str | None = None) -> list[tuple[str, str]]:
    """Files to choose from: those that come with the workbench and the current one; before them, where `none` names it, no file."""
    files = preset_files()
    if current and short_path(current) not in files:
        files.append(short_path(current))
    listed = [(path.rsplit("/", 1)[-1], path) for path in files]
    return [(none, NONE), *listed] if none is not None else listed


def doubtful(recipe: Recipe) -> bool:
    """Whether the encoding has to be looked at: it was chosen, or a file's cannot be told or was judged by its characters.

    Args:
        recipe: with absolute places.
    """
    data = recipe.data
    if data.encoding != AUTO:
        return True
    for path in filter(None, (data.train, data.validation, data.unlabeled)):
        try:
            if is_judged(table(path).encoding):
                return True
        except EncodingError:
            return True
        except WorkbenchError:
            continue
    return False


def encodings(current: str, t: Words) -> list[tuple[str, str]]:
    """Encodings to choose from, each with the languages that it is for; the current one is always among them."""
    known = [AUTO, *OFFERED]
    listed = known if current in known else [*known, current]
    return [(t.get(f"data.encodings.{name}", name), name) for name in listed]


def status_html(shown: dict[str, ExtraView | None], t: Words) -> str:
    """One line for each chosen file: its rows, or what is wrong with it."""
    return "".join(_status(role, view, t) for role, view in shown.items() if view is not None)


def build_encoding(t: Words) -> gr.Dropdown:
    """The control for the encoding: behind all fields until there is a doubt."""
    return gr.Dropdown(
        encodings(AUTO, t), value=AUTO, label=t("data.encoding"), elem_id="data-encoding", elem_classes=SELDOM,
        info=explained(t("data.encoding_help"), "", t("data.encodings.auto"), t),
    )  # fmt: skip


def encoding_update(recipe: Recipe, t: Words) -> Any:
    """The control for a recipe, in sight where the encoding has to be looked at."""
    seldom = [] if doubtful(ready(recipe.model_dump())) else [SELDOM]
    return gr.update(choices=encodings(recipe.data.encoding, t), value=recipe.data.encoding, elem_classes=seldom)


def build_files(frame: Frame) -> tuple[list[Any], gr.HTML]:
    """Lays out the files beside the training file and wires them; returns what `filled` fills, and what `status_html` is shown in."""
    t = frame.t
    with gr.Accordion(t("data.more_files"), open=False, elem_id="data-more"):
        built = [_build_role(frame, role) for role in ROLES]
        status = gr.HTML(elem_id="data-more-status")
    return [part for pair in built for part in pair], status


def filled(recipe: Recipe, t: Words) -> list[Any]:
    """What the lists show of a recipe. A model that writes text learns nothing from rows without an answer."""
    updates = []
    for role in ROLES:
        path = getattr(recipe.data, role)
        listed = choices(path, t(f"data.{role}_none"))
        updates += [gr.update(choices=listed, value=short_path(path) if path else NONE), gr.update(visible=role in used(recipe))]
    return updates


def used(recipe: Recipe) -> tuple[str, ...]:
    """The roles that the recipe's task has a use for."""
    return ROLES if recipe.task == "classification" else ROLES[:1]


def extras(recipe: Recipe) -> dict[str, ExtraView | None]:
    """Every file beside the training file that the task has a use for. `recipe` has absolute places."""
    return {role: extra_view(recipe, role) for role in used(recipe)}


def _build_role(frame: Frame, role: str) -> tuple[gr.Dropdown, gr.Column]:
    t = frame.t
    listed = choices(None, t(f"data.{role}_none"))
    with gr.Column(min_width=200) as both:
        chosen = gr.Dropdown(listed, value=NONE, label=t(f"data.{role}"), info=t(f"data.{role}_help"), elem_id=f"data-{role}")
        upload = gr.UploadButton(t(f"data.{role}_upload"), size="sm", file_types=list(SUFFIXES), elem_id=f"data-{role}-upload")

    def keep(recipe: Recipe, path: str | None) -> Recipe:
        return with_extra(recipe, role, keep_upload(path, frame.service.root)) if path else recipe

    frame.opens(chosen.input, lambda recipe, path: with_extra(recipe, role, path), [chosen], f"data_{role}")
    frame.opens(upload.upload, keep, [upload], f"data_{role}_upload")
    return chosen, both


def _status(role: str, shown: ExtraView, t: Words) -> str:
    if shown.problem is not None:
        return problem(*shown.problem, t)
    line = sentence(t(f"data.{role}_rows", file=shown.name, count=f"{shown.rows:,}"), "good")
    if not shown.left_out:
        return line
    return line + sentence(t(f"data.{role}_left_out", count=f"{shown.left_out:,}"), "note")
