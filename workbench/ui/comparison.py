"""Runs laid over each other in the tab Runs: their curves in one chart, the fields in which their recipes differ in one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.recipe import LESS_IS_BETTER
from workbench.runs.compare import CURVES, curve_of, differences, telling_curve
from workbench.runs.record import FIGURES
from workbench.ui import charts
from workbench.ui.frame import Frame
from workbench.ui.markup import heading, percent, sentence, table
from workbench.ui.session import portable
from workbench.ui.text import Words

SHARES = ("accuracy", "macro_f1")


@dataclass(frozen=True)
class ComparisonView:
    """Names of the runs, their curves of one figure, their last figures, and where their recipes differ."""

    figure: str
    names: list[str]
    curves: list[tuple[list[int], list[float]]]
    metrics: list[dict[str, float]]
    differences: list[tuple[str, list[Any]]]


def view(service: Any, runs: list[str], figure: str, *, fitting: bool = False) -> ComparisonView:
    """The runs, laid side by side.

    Args:
        fitting: take another figure where none of the runs has a curve of this one.

    Raises:
        RunError: one of them is gone.
    """
    found = [service.read(run, 1 << 60) for run in runs]
    names = [f"{run.name} \u00b7 {run.id[-6:]}" for run in found]
    figure = telling_curve(found, figure) if fitting else figure
    curves = [curve_of(run, figure) for run in found]
    return ComparisonView(figure, names, curves, [run.metrics for run in found], differences([portable(run.recipe) for run in found]))


def figure_of(shown: ComparisonView, t: Words, *, log: bool = False) -> Any:
    """The curves in one chart; None where no run has this figure."""
    if not any(steps for steps, _ in shown.curves):
        return None
    figure, smooth = shown.figure, shown.figure == "train_loss"
    lines = [
        charts.Line(name, steps, charts.smoothed(values) if smooth else values)
        for name, (steps, values) in zip(shown.names, shown.curves, strict=True)
        if steps
    ]
    return charts.overlay(lines, x=t("train.step"), y=t(f"comparison.{figure}"), share=figure in SHARES, log=log)


def table_html(shown: ComparisonView, t: Words) -> str:
    """Last figures and differing fields, a column per run; the best figure of a row is marked."""
    if len(shown.names) < 2:
        return sentence(t("comparison.two"), "note")
    rows = []
    for name in FIGURES:
        values = [metrics.get(name) for metrics in shown.metrics]
        known = [value for value in values if value is not None]
        if known:
            best = min(known) if name in LESS_IS_BETTER else max(known)
            rows.append([t(f"comparison.{name}"), *(_figure(value, name, best) for value in values)])
    rows += [[name, *("\u2013" if value is None else str(value) for value in values)] for name, values in shown.differences]
    same = "" if shown.differences else sentence(t("comparison.same"))
    return heading(t("comparison.differences")) + table([t("comparison.field"), *shown.names], rows, save="comparison") + same


def build_comparison(frame: Frame) -> gr.Dropdown:
    """Lays the comparison out and wires it; gives the dropdown whose choices the tab fills."""
    t, service = frame.t, frame.service
    with gr.Accordion(t("comparison.title"), open=False, elem_id="comparison"):
        with gr.Row(elem_classes="pw-end"):
            runs = gr.Dropdown(
                [], label=t("comparison.runs"), info=t("comparison.runs_help"), multiselect=True, scale=3, elem_id="comparison-runs"
            )
            figures = [(t(f"comparison.{name}"), name) for name in CURVES]
            figure = gr.Dropdown(
                figures, value="accuracy", label=t("comparison.figure"), info=t("comparison.figure_help"), elem_id="comparison-figure"
            )
            log = gr.Checkbox(label=t("comparison.log"), info=t("comparison.log_help"), elem_id="comparison-log")
        plot = gr.Plot(show_label=False, container=False, elem_id="comparison-plot")
        told = gr.HTML(sentence(t("comparison.two"), "note"), elem_id="comparison-table")

    def show(chosen: list[str], name: str, logarithmic: bool) -> list[Any]:
        shown = view(service, chosen or [], name)
        return [figure_of(shown, t, log=logarithmic), table_html(shown, t)]

    def choose(chosen: list[str], name: str, logarithmic: bool) -> list[Any]:
        """As `show`, with a curve that the chosen runs have: runs that write have no accuracy."""
        shown = view(service, chosen or [], name, fitting=True)
        return [shown.figure, figure_of(shown, t, log=logarithmic), table_html(shown, t)]

    frame.on(runs.input, choose, [runs, figure, log], [figure, plot, told], "comparison_runs")
    for control, name in ((figure, "figure"), (log, "log")):
        frame.on(control.input, show, [runs, figure, log], [plot, told], f"comparison_{name}")
    return runs


def _figure(value: float | None, name: str, best: float) -> str:
    if value is None:
        return "\u2013"
    text = percent(value) if name in SHARES else f"{value:.4f}"
    return f"{text} \u2605" if value == best else text
