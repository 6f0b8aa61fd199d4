"""The charts of a training run, and how a person wants them drawn: smoothing, a logarithmic scale, and which rates besides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from workbench.ui import charts
from workbench.ui.forms import explained
from workbench.ui.samples import writes
from workbench.ui.text import Words

if TYPE_CHECKING:
    from workbench.ui.tabs.train import TrainView

SMOOTHING = 0.85
RATES = ("learning_rate", "gradient_norm", "examples_per_second", "memory_bytes")
UNITS = {"memory_bytes": 1 << 20}


@dataclass(frozen=True)
class ChartOptions:
    """How a run is drawn.

    Args:
        smoothing: weight of the past in the training loss, in [0, 1).
        log: logarithmic upright axis for the losses and the perplexity.
        rates: which of `RATES` are drawn in a chart of their own.
    """

    smoothing: float = SMOOTHING
    log: bool = False
    rates: tuple[str, ...] = ()


PLAIN = ChartOptions()


def options_of(smoothing: float | None, log: bool | None, rates: list[str] | None) -> ChartOptions:
    """What the controls hold, within its bounds."""
    weight = SMOOTHING if smoothing is None else min(max(float(smoothing), 0.0), 0.99)
    return ChartOptions(weight, bool(log), tuple(name for name in RATES if name in (rates or [])))


def build_options(t: Words) -> list[Any]:
    """The controls, in the order of `options_of`."""
    with gr.Accordion(t("charts.options"), open=False, elem_id="train-chart-options"), gr.Row():
        info = explained(t("charts.smoothing_help"), t("charts.smoothing_higher"), SMOOTHING, t)
        smoothing = gr.Slider(0, 0.99, value=SMOOTHING, step=0.01, label=t("charts.smoothing"), info=info, elem_id="train-smoothing")
        log = gr.Checkbox(label=t("charts.log"), info=t("charts.log_help"), elem_id="train-log")
        names = [(t(f"charts.{name}"), name) for name in RATES]
        rates = gr.CheckboxGroup(names, label=t("charts.rates"), info=t("charts.rates_help"), elem_id="train-rates-shown")
    return [smoothing, log, rates]


def loss_figure(shown: TrainView, t: Words, options: ChartOptions = PLAIN) -> Any:
    """Training loss of each step and smoothed, and validation loss."""
    steps, losses = shown.train
    lines = [charts.Line(t("train.batch_loss"), steps, losses, faint=True)] if len(steps) > 1 else []
    lines.append(charts.Line(t("train.train_loss"), steps, charts.smoothed(losses, options.smoothing), color=charts.WARM))
    lines.append(_evaluations(shown, "loss", t("train.validation_loss")))
    return charts.curves(lines, x=t("train.step"), span=shown.total_steps or None, log=options.log, mark=_best(shown, t))


def accuracy_figure(shown: TrainView, t: Words, options: ChartOptions = PLAIN) -> Any:
    """Validation accuracy and macro-F1, or perplexity of a model that writes."""
    span, mark = shown.total_steps or None, _best(shown, t)
    if writes(shown.evaluations):
        lines = [_evaluations(shown, "perplexity", t("train.validation_perplexity"))]
        return charts.curves(lines, x=t("train.step"), span=span, log=options.log, mark=mark)
    lines = [_evaluations(shown, "accuracy", t("train.validation_accuracy"))]
    if any("macro_f1" in event for event in shown.evaluations):
        lines.append(_evaluations(shown, "macro_f1", t("train.validation_macro_f1"), charts.WARM))
    return charts.curves(lines, x=t("train.step"), share=True, span=span, mark=mark)


def rates_figure(shown: TrainView, t: Words, options: ChartOptions = PLAIN) -> Any:
    """The rates that are wanted by step, each with a scale of its own; None without any."""
    lines = []
    for name in options.rates:
        found = [(event["step"], event[name]) for event in shown.steps if event.get(name) is not None]
        if found:
            steps, values = zip(*found, strict=True)
            figures = [value / UNITS.get(name, 1) for value in values]
            lines.append(charts.Line(t(f"charts.{name}"), steps, figures, color=charts.DISTINCT[RATES.index(name)]))
    return charts.strips(lines, x=t("train.step"), span=shown.total_steps or None) if lines else None


def _evaluations(shown: TrainView, metric: str, name: str, color: str = charts.ACCENT) -> charts.Line:
    known = [event for event in shown.evaluations if metric in event]
    return charts.Line(name, [event["step"] for event in known], [event[metric] for event in known], markers=True, color=color)


def _best(shown: TrainView, t: Words) -> tuple[float, str] | None:
    """The step whose weights are kept so far, with its name."""
    kept = [event["step"] for event in shown.evaluations if event.get("best")]
    return (kept[-1], t("charts.best", step=kept[-1])) if kept else None
