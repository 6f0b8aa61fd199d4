"""Method: choose how to tune, set its options, see how much of the model trains."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from workbench.errors import WorkbenchError
from workbench.methods import TunedRow, check_method, method_info, method_names
from workbench.methods.manifest import layer_count
from workbench.recipe import Recipe
from workbench.serving.tuned import tune
from workbench.ui import forms, memory_report
from workbench.ui.frame import Frame, Part
from workbench.ui.glossary import lead
from workbench.ui.markup import all_fields, amount, esc, facts, heading, problem, sentence, table
from workbench.ui.method_drawing import drawing
from workbench.ui.rows import dataset
from workbench.ui.session import ready
from workbench.ui.text import Words


@dataclass(frozen=True)
class MethodView:
    """How much of the model a method trains; counts are parameters."""

    trainable: int
    total: int
    learning_rate: float
    rows: list[TunedRow]
    places: frozenset[str] = frozenset()
    layers: int = 0
    formula: tuple[str, int] | None = None


def view(service: Any, recipe: Recipe) -> MethodView:
    """The method attached to an empty copy of the model, which costs no memory and disturbs nobody who uses the model.

    Raises:
        WorkbenchError: the options are wrong or the method does not apply to the model.
    """
    import torch


    check_method(recipe.method)
    labels = dataset(recipe).labels
    loaded = service.pool.get(recipe.model)
    with torch.device("meta"):
        empty = type(loaded.model)(copy.deepcopy(loaded.model.config))
        tuned = tune(replace(loaded, model=empty, quantization="none", device=torch.device("meta")), recipe, labels)
    attached = tuned.attached
    return MethodView(
        tuned.trainable_parameters, tuned.total_parameters, tuned.learning_rate, tuned.explain(),
        places=attached.places() if attached else frozenset(), layers=layer_count(loaded.model),
        formula=attached.formula() if attached else None,
    )


def view_html(shown: MethodView, t: Words) -> str:
    """The counts, a bar to scale and the parts that train."""
    share = shown.trainable / max(shown.total, 1)
    tiles = facts([
        (t("method.trainable"), f"{shown.trainable:,}"),
        (t("method.total"), f"{shown.total:,}"),
        (t("method.share"), f"{share:.2%}" if share >= 0.0001 else f"{share:.4%}"),
        (t("method.rate"), f"{shown.learning_rate:g}"),
    ])
    formula = f'{t("method.formula")}: {shown.formula[0]} = {shown.formula[1]:,}' if shown.formula else ""
    notes = sentence(formula) if formula else ""
    bar = (
        f'<div class="pw-scale" role="img" aria-label="{esc(t("method.bar", share=f"{share:.2%}"))}">'
        f'<div class="pw-scale-fill" style="width:{max(share * 100, 0.4):.2f}%"></div></div>'
    )
    trained = [row for row in shown.rows if row.trainable]
    rows = [(row.part, " \u00d7 ".join(map(str, row.shape)), str(row.count), amount(_size(row))) for row in trained]
    parts = table([t("method.part"), t("method.shape"), t("method.copies"), t("method.parameters")], rows, numeric=frozenset({2, 3}))
    picture = heading(t("method.where")) + drawing(shown.places, shown.layers, t) if shown.places else ""
    return tiles + bar + notes + picture + heading(t("method.what_trains")) + parts


def build(frame: Frame) -> Part:
    """Lays out the tab and wires it."""
    t = frame.t
    infos = {name: method_info(name) for name in method_names()}
    titles = {name: t.get(f"methods.{name}.title", info.title) for name, info in infos.items()}
    with gr.Tab(t("method.tab"), id="method") as tab:
        gr.HTML(lead(t("method.lead"), t))
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                name = gr.Radio(
                    [(titles[key], key) for key in infos], value=next(iter(infos)), label=t("method.name"),
                    info=t("method.name_help"), elem_id="method-name",
                )
                groups, fields = {}, {}
                for key, info in infos.items():
                    with gr.Column(visible=False) as groups[key]:
                        gr.HTML(lead(t.get(f"methods.{key}.description", info.description), t, "note"))
                        fields[key] = forms.controls(info, t)
                gr.HTML(all_fields(t))
            with gr.Column(scale=3, min_width=380):
                shown = gr.HTML(elem_id="method-view")
                with gr.Accordion(t("memory.title"), open=False, elem_id="method-memory") as asked:
                    taken = gr.HTML(elem_id="method-memory-view")
                # A pass over the whole model takes a second or two, so not before somebody asks.
                frame.on(asked.expand, _memory_shower(frame), [frame.draft], [taken], "method_memory", show_progress="minimal")

    show = _shower(frame)

    def choose(recipe: Recipe, key: str) -> Recipe:
        return recipe if recipe.method.get("name") == key else recipe.replace({"method": {"name": key}})

    frame.opens(name.input, choose, [name], "method_name")
    for key, info in infos.items():
        for option, control in zip(info.fields, fields[key], strict=True):
            event = control.blur if isinstance(control, gr.Textbox) else control.input

            def assign(recipe: Recipe, *values: Any, key: str = key) -> dict[str, Any]:
                given = forms.options(infos[key], list(values))
                check_method(given)
                return {"method": given}

            changed = frame.edit(event, assign, fields[key], f"method_{key}_{option.name}", trigger_mode="always_last")
            frame.on(changed.then, show, [frame.draft], [shown], f"method_{key}_{option.name}_view")

    def fill(recipe: Recipe) -> list[Any]:
        chosen = str(recipe.method.get("name"))
        updates: list[Any] = [chosen if chosen in infos else None]
        updates += [gr.update(visible=key == chosen) for key in infos]
        for key, info in infos.items():
            given = recipe.method if key == chosen else {}
            updates += [forms.shown(option, given.get(option.name, option.default)) for option in info.fields]
        return updates

    controls = [name, *groups.values(), *(control for key in infos for control in fields[key])]
    return Part("method", tab, controls, fill, (show, [frame.draft], [shown]))


def _memory_shower(frame: Frame) -> Any:
    def show(draft: dict[str, Any]) -> str:
        try:
            return memory_report.memory_html(memory_report.view(frame.service, ready(draft)), frame.t)
        except WorkbenchError as error:
            return problem(error.message, error.fix, frame.t)

    return show


def _shower(frame: Frame) -> Any:
    def show(draft: dict[str, Any]) -> str:
        try:
            return view_html(view(frame.service, ready(draft)), frame.t)
        except WorkbenchError as error:
            return problem(error.message, error.fix, frame.t)

    return show


def _size(row: TunedRow) -> int:
    size = row.count
    for side in row.shape:
        size *= side
    return size
