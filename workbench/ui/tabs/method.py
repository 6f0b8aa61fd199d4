"""Method: choose how to tune, set its options, see how much of the model trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.errors import WorkbenchError
from workbench.methods import TunedRow, check_method, method_info, method_names
from workbench.methods.manifest import layer_count
from workbench.methods.memory_table import memory_table
from workbench.models.known import known_model
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
    last: int | None = None
    formula: tuple[str, int] | None = None


def view(service: Any, recipe: Recipe) -> MethodView:
    """The method attached to a model without numbers, which is not loaded for that and costs no memory.

    Raises:
        WorkbenchError: the options are wrong, the method does not apply to the model, or the model is not on this machine.
    """
    import torch

    check_method(recipe.method)
    labels = () if recipe.task == "generation" else dataset(recipe).labels
    empty = known_model(recipe.model, service.pool).blueprint()
    with torch.device("meta"):
        tuned = tune(empty, recipe, labels)
    attached = tuned.attached
    return MethodView(
        tuned.trainable_parameters, tuned.total_parameters, tuned.learning_rate, tuned.explain(),
        places=attached.places() if attached else frozenset(), layers=layer_count(empty.model),
        last=getattr(attached.options, "layers", None) if attached else None,
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
    picture = heading(t("method.where")) + drawing(shown.places, shown.layers, t, shown.last) if shown.places else ""
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
                shown = gr.HTML(sentence(t("working")), elem_id="method-view")
                with gr.Accordion(t("memory.title"), open=False, elem_id="method-memory") as asked:
                    taken = gr.HTML(elem_id="method-memory-view")
                # A pass over the whole model takes a second or two, so not before somebody asks.
                frame.on(asked.expand, _memory_shower(frame), [frame.draft], [taken], "method_memory", show_progress="minimal")
                with gr.Accordion(t("memory.table"), open=False, elem_id="method-memory-table") as wide:
                    every_method = gr.HTML(elem_id="method-memory-table-view")
                frame.on(wide.expand, _table_shower(frame), [frame.draft], [every_method], "method_memory_table", show_progress="minimal")

    show = _shower(frame)

    every = [control for key in infos for control in fields[key]]

    def choose(recipe: Recipe, key: str, *values: Any) -> Recipe:
        return recipe if recipe.method.get("name") == key else recipe.replace({"method": chosen_method(key, values)})

    frame.opens(name.input, choose, [name, *every], "method_name")
    for key, info in infos.items():
        for option, control in zip(info.fields, fields[key], strict=True):
            event = control.blur if isinstance(control, gr.Textbox) else control.input

            def assign(recipe: Recipe, *values: Any, key: str = key) -> dict[str, Any]:
                given = forms.options(infos[key], list(values))
                check_method(given)
                return {"method": given}

            changed = frame.edit(event, assign, fields[key], f"method_{key}_{option.name}")
            frame.on(changed.then, show, [frame.draft], [shown], f"method_{key}_{option.name}_view", look=True)

    def fill(recipe: Recipe) -> list[Any]:
        chosen = str(recipe.method.get("name"))
        updates: list[Any] = [chosen if chosen in infos else None]
        updates += [gr.update(visible=key == chosen) for key in infos]
        for key, info in infos.items():  # the forms of the others keep what was set in them, for whoever comes back to one
            given = [forms.shown(option, recipe.method.get(option.name, option.default)) for option in info.fields]
            updates += given if key == chosen else [gr.skip()] * len(given)
        return updates

    return Part("method", tab, [name, *groups.values(), *every], fill, (show, [frame.draft], [shown]))


def chosen_method(key: str, values: Sequence[Any]) -> dict[str, Any]:
    """The recipe's `method` part for a method with what stands in its form; its defaults where that is no choice.

    Args:
        values: of every method's form, one after the other.
    """
    places = iter(values)
    for name in method_names():
        info = method_info(name)
        given = forms.options(info, [next(places) for _ in info.fields])
        if name == key:
            try:
                check_method(given)
            except WorkbenchError:
                return {"name": key}
            return {"name": key, **{option.name: given[option.name] for option in info.fields if given[option.name] != option.default}}
    return {"name": key}


def _memory_shower(frame: Frame) -> Any:
    def show(draft: dict[str, Any]) -> str:
        try:
            return memory_report.memory_html(memory_report.view(frame.service, ready(draft)), frame.t)
        except WorkbenchError as error:
            return problem(error.message, error.fix, frame.t)

    return show


def _table_shower(frame: Frame) -> Any:
    def show(draft: dict[str, Any]) -> str:
        recipe = ready(draft)
        try:
            return memory_report.table_html(memory_table(recipe, known_model(recipe.model, frame.service.pool)), frame.t)
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
