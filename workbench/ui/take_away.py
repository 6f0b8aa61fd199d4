"""The end of Try it: take the model away as a file, or ask it from other programs."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.access import Role
from workbench.errors import RunError
from workbench.runs.takeaway import KINDS, Kind, Parcel, take_away
from workbench.ui.beside import fields_of, is_cell
from workbench.ui.frame import Frame, asking, state_of
from workbench.ui.markup import sentence
from workbench.ui.programs import snippets
from workbench.ui.telling import telling
from workbench.ui.text import Words

PARCEL = "taken-"
LANGUAGES = {"curl": "shell", "python": "python", "javascript": "javascript", "mcp": "json"}


def view_html(parcel: Parcel, t: Words) -> str:
    """What was made, and for a model that it was compared."""
    if parcel.difference is None:
        return sentence(t("take.made", file=parcel.file.name), "good")
    return sentence(t("take.compared", file=parcel.file.name, rows=parcel.rows, difference=f"{parcel.difference:.0e}"), "good")


def build_take_away(frame: Frame, run: gr.Dropdown, name: str = "take", kinds: Sequence[Kind] = KINDS) -> None:
    """Lays out the area for the run that `run` chooses, and wires it; `name` begins its ids, `kinds` are what is offered."""
    t, service = frame.t, frame.service
    with gr.Accordion(t("take.title"), open=False, elem_id=f"{name}-away"):
        offered = [(t(f"take.kind_{kind}"), kind) for kind in kinds]
        kind = gr.Radio(offered, value=kinds[0], label=t("take.kind"), info=t("take.kind_help"), elem_id=f"{name}-kind")
        make = gr.Button(t("take.make"), variant="primary", elem_id=f"{name}-make")
        told = gr.HTML(elem_id=f"{name}-told")
        taken = gr.File(label=t("take.file"), interactive=False, height=100, visible=False, elem_id=f"{name}-file")
        held = gr.State(None, delete_callback=discard)  # the name of the offered parcel's folder: a model has several GB

    def pack(run_id: str | None, wanted: Any, before: str | None, bar: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008  gradio's way
        if not run_id:
            raise RunError(t("try.no_run"), fix=t("try.none_yet"))
        if is_cell(run_id):
            raise RunError(t("take.cell"), fix=t("take.cell_fix"))
        discard(before)
        folder = Path(tempfile.mkdtemp(prefix=PARCEL))
        with ExitStack() as unfinished:
            unfinished.callback(discard, folder.name)
            parcel = take_away(service, run_id, wanted, folder, telling(bar, t))
            unfinished.pop_all()
        return [view_html(parcel, t), gr.update(value=str(parcel.file), visible=True), folder.name]

    def clear() -> list[Any]:
        return ["", gr.update(value=None, visible=False)]

    frame.on(run.change, clear, [], [told, taken], f"{name}_away_other")
    # Not offered any more before it is gone.
    cleared = frame.on(make.click, clear, [], [told, taken], f"{name}_away_begins", queue=False)
    packing = {"show_progress": "full", "show_progress_on": [told]}
    frame.on(cleared.then, pack, [run, kind, held], [told, taken, held], f"{name}_away", **packing)


def discard(name: str | None) -> None:
    """Removes a parcel with its folder in the temporary one, where there is one; whatever else is named stays."""
    if name and re.fullmatch(rf"{PARCEL}\w+", name):
        shutil.rmtree(Path(tempfile.gettempdir()) / name, ignore_errors=True)


def build_programs(frame: Frame, run: gr.Dropdown, boxes: Sequence[gr.Textbox], name: str = "try", asks: str = "predict") -> None:
    """Lays out the calls that ask the run from other programs about what stands in the boxes of its fields, and wires them.

    Args:
        name: begins the ids; `asks` is the endpoint that asks such runs.
    """
    t = frame.t
    with gr.Accordion(t("programs.title"), open=False, elem_id=f"{name}-programs") as opened:
        gr.HTML(sentence(t("programs.lead")) + sentence(t("programs.bearer")))
        none = gr.HTML(elem_id=f"{name}-programs-none")
        codes = [
            gr.Code(language=language, label=t(f"programs.{program}"), interactive=False, lines=2, elem_id=f"{name}-programs-{program}")
            for program, language in LANGUAGES.items()
        ]

    def show(asked_by: gr.Request, run_id: str | None, *texts: str) -> list[str]:
        if is_cell(run_id):
            return [*("" for _ in LANGUAGES), sentence(t("programs.cell"), "note")]
        address = f"{asked_by.url.scheme}://{asked_by.headers.get('host', '')}"
        token = bool(state_of(asked_by).get("has_token")) and asking(asked_by).role != Role.VISITOR
        names = fields_of(frame.service.store.recipe(run_id)) if run_id else ["text"]
        given = {name: text or t("programs.example") for name, text in zip(names, texts, strict=False)}
        one = next(iter(given.values())) if len(given) == 1 else given
        said = snippets(run_id or "RUN", one, asks=asks, token=token)
        return [*(said[program].replace("ADDRESS", address) for program in LANGUAGES), ""]

    frame.on(opened.expand, show, [run, *boxes], [*codes, none], f"{name}_programs")
    frame.on(run.change, show, [run, *boxes], [*codes, none], f"{name}_programs_other")
