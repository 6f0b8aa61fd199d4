"""Runs: everything that was ever trained here, to look at again, to start from, or to delete."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.errors import RunError
from workbench.recipe import Recipe
from workbench.ui.frame import Frame, Part
from workbench.ui.glossary import lead
from workbench.ui.job_report import kind_name
from workbench.ui.markup import percent, sentence
from workbench.ui.session import Watch, portable
from workbench.ui.text import Words


@dataclass(frozen=True)
class RunRow:
    """One run in the table."""

    id: str
    name: str
    status: str
    method: str
    model: str
    accuracy: str
    macro_f1: str
    steps: str
    created: str
    kind: str


def view(service: Any, t: Words) -> list[RunRow]:
    """Every run, newest first."""
    return [
        RunRow(
            run.id, run.name, t(f"status.{run.status}"), t.get(f"methods.{run.method}.title", run.method), run.model.rsplit("/", 1)[-1],
            _share(run.metrics, "accuracy"), _share(run.metrics, "macro_f1"), f"{run.step}/{run.total_steps}",
            time.strftime("%Y-%m-%d %H:%M", time.localtime(run.created)), kind_name(run.kind, t),
        )
        for run in service.runs()
    ]


def build(frame: Frame) -> Part:
    """Lays out the tab and wires it."""
    t, service = frame.t, frame.service
    names = ("name", "kind", "status", "method", "model", "accuracy", "macro_f1", "steps", "created", "id")
    headers = [t(f"runs.{name}") for name in names]
    with gr.Tab(t("runs.tab"), id="runs") as tab:
        gr.HTML(lead(t("runs.lead"), t))
        table = gr.Dataframe(
            headers=headers, type="array", interactive=False, show_label=False, wrap=False, elem_id="runs-table", max_height=420
        )
        empty = gr.HTML(elem_id="runs-empty")
        with gr.Row():
            chosen = gr.Dropdown([], label=t("runs.chosen"), info=t("runs.chosen_help"), elem_id="runs-chosen", scale=3)
            with gr.Column(scale=2, min_width=300), gr.Row():
                open_run = gr.Button(t("runs.open"), variant="primary", elem_id="runs-open", min_width=120)
                delete = gr.Button(t("runs.delete"), elem_id="runs-delete", min_width=100)
                sure = gr.Button(t("runs.sure"), variant="stop", visible=False, elem_id="runs-sure", min_width=140)

    def refresh(current: str | None) -> list[Any]:
        rows = view(service, t)
        ids = [row.id for row in rows]
        cells = [[r.name, r.kind, r.status, r.method, r.model, r.accuracy, r.macro_f1, r.steps, r.created, r.id] for r in rows]
        options = [(f"{row.name} \u00b7 {row.created} \u00b7 {row.id[-6:]}", row.id) for row in rows]
        note = "" if rows else sentence(t("runs.empty"), "note")
        return [cells, note, gr.update(choices=options, value=current if current in ids else None), gr.update(visible=False)]

    outputs = [table, empty, chosen, sure]

    def pick(event: gr.SelectData) -> str | None:
        row = event.row_value or []
        return str(row[-1]) if row else None

    def show(recipe: Recipe, run_id: str | None) -> Recipe:
        if not run_id:
            raise RunError(t("runs.none_chosen"), fix=t("runs.none_chosen_fix"))
        return portable(service.read(run_id, 1 << 30).recipe)

    def watch_run(run_id: str | None) -> tuple[Any, Any]:
        return (Watch(run_id), gr.update(selected="train")) if run_id else (gr.skip(), gr.skip())

    def remove(run_id: str | None, watch: Watch) -> list[Any]:
        if not run_id:
            raise RunError(t("runs.none_chosen"), fix=t("runs.none_chosen_fix"))
        service.delete(run_id)
        return [*refresh(None), Watch() if watch.run == run_id else gr.skip()]

    frame.on(table.select, pick, [], [chosen], "runs_pick")
    frame.opens(open_run.click, show, [chosen], "runs_open")
    frame.on(open_run.click, watch_run, [chosen], [frame.watch, frame.tabs], "runs_watch")
    frame.on(delete.click, lambda run_id: gr.update(visible=bool(run_id)), [chosen], [sure], "runs_ask_delete")
    frame.on(sure.click, remove, [chosen, frame.watch], [*outputs, frame.watch], "runs_delete")
    return Part("runs", tab, refresh=(refresh, [chosen], outputs))


def _share(metrics: dict[str, Any] | None, name: str) -> str:
    value = (metrics or {}).get(name)
    return percent(value) if value is not None else "\u2013"
