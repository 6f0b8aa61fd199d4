"""Figures for the page: the only importer of plotly. Colours hold on light and dark paper, which stays transparent."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
from plotly.offline import get_plotlyjs

from workbench.ui.markup import short

ACCENT, WARM, FAINT, INK, GRID = "#2f8f98", "#d9822b", "rgba(128,128,128,0.45)", "#8a867f", "rgba(128,128,128,0.18)"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif"
DISTINCT = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#999999", "#b8a800")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MOST_HOVERED = 24
"""More values in one box under the pointer are read by nobody."""
MOST_POINTS = 800
LONGEST_TICK = 32
BLOCK = 128
LAYOUT = {
    "template": "none",
    "height": 270,
    "margin": {"l": 50, "r": 16, "t": 34, "b": 44},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"family": FONT, "size": 12, "color": INK},
    "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "bgcolor": "rgba(0,0,0,0)", "font": {"size": 11.5}},
    "uirevision": "keep",
}
# What has no title or name is given an English one by plotly, which a csv would have.
AXIS = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "automargin": True, "title": {"text": ""}}


@dataclass(frozen=True)
class Line:
    """A named series of (step, value) pairs; `faint` series are drawn behind the others."""

    name: str
    steps: Sequence[float] | np.ndarray
    values: Sequence[float] | np.ndarray
    faint: bool = False
    markers: bool = False
    color: str = ACCENT


def curves(
    lines: Sequence[Line], *, x: str, share: bool = False, span: float | None = None, log: bool = False,
    mark: tuple[float, str] | None = None,
) -> go.Figure:
    """Lines over steps. `share` fixes the height to [0, 1] and writes percent; `span` fixes the width to the whole run; `log` makes the
    upright axis logarithmic; `mark` is a step that is drawn as a dotted line, with its name."""
    traces = []
    for line in lines:
        steps, values = _thinned(line.steps, line.values)
        traces.append(
            {
                "type": "scatter",
                "x": steps,
                "y": values,
                "name": plain(line.name),
                "mode": "lines+markers" if line.markers else "lines",
                "line": {"color": FAINT if line.faint else line.color, "width": 1.2 if line.faint else 2.4},
                "marker": {"size": 6},
                "hovertemplate": "%{y:.1%}" if share else "%{y:.3f}",
            }
        )
    layout = {**LAYOUT, "hovermode": "x unified", "showlegend": True}
    upright = {"type": "log", "dtick": "D2"} if log else {"range": [0, 1.02], "tickformat": ".0%"} if share else {"rangemode": "tozero"}
    layout["yaxis"] = {**AXIS, **upright}
    if mark is not None:
        place, name = mark
        line = {"color": INK, "width": 1.2, "dash": "dot"}
        layout["shapes"] = [{"type": "line", "x0": place, "x1": place, "yref": "paper", "y0": 0, "y1": 1, "line": line}]
        said = {"x": place, "yref": "paper", "y": 0, "yanchor": "bottom", "text": name, "showarrow": False, "font": {"size": 11}}
        layout["annotations"] = [{**said, "xanchor": "right" if span and place > span / 2 else "left"}]
    layout["xaxis"] = {**AXIS, "title": {"text": x, "standoff": 8}, **({"range": [-span * 0.015, span * 1.015]} if span else {})}
    # In one piece: each update of a finished figure costs several milliseconds, and a page that watches a run draws two a second.
    return go.Figure(data=traces, layout=layout)


def strips(lines: Sequence[Line], *, x: str, span: float | None = None) -> go.Figure:
    """Lines that have nothing in common but the steps: each in a strip with an upright axis of its own, the first on top."""
    count, traces = len(lines), []
    layout: dict[str, Any] = {**LAYOUT, "height": 110 + 130 * count, "hovermode": "x unified", "hoversubplots": "axis", "showlegend": False}
    for place, line in enumerate(lines):
        number = "" if place == 0 else str(place + 1)
        steps, values = _thinned(line.steps, line.values)
        traces.append(
            {
                "type": "scatter", "x": steps, "y": values, "name": plain(line.name), "yaxis": f"y{number}", "mode": "lines",
                "line": {"color": line.color, "width": 2}, "hovertemplate": "%{y:.3g}",
            }
        )  # fmt: skip
        title = {"text": plain(line.name), "font": {"color": line.color, "size": 11}}
        low = (count - 1 - place) / count
        layout[f"yaxis{number}"] = {
            **AXIS, "title": title, "exponentformat": "power", "rangemode": "tozero", "nticks": 5, "domain": [low, low + 1 / count - 0.04],
        }  # fmt: skip
    wide = {"range": [-span * 0.015, span * 1.015]} if span else {}
    layout["xaxis"] = {**AXIS, "title": {"text": x, "standoff": 8}, "anchor": "y" if count == 1 else f"y{count}", **wide}
    return go.Figure(data=traces, layout=layout)


def overlay(lines: Sequence[Line], *, x: str, y: str, share: bool = False, log: bool = False) -> go.Figure:
    """Curves of several runs over each other in colours that hold for colour-blind eyes (Okabe & Ito 2008); where there are more runs
    than colours, dashed in one way after the other. Of very many the pointer names the one that it is on, not all at its step."""
    colored = [replace(line, color=DISTINCT[number % len(DISTINCT)], markers=len(line.steps) < 60) for number, line in enumerate(lines)]
    figure = curves(colored, x=x, share=share and not log)
    for number in range(len(DISTINCT), len(lines)):
        figure.data[number].line.dash = DASHES[number // len(DISTINCT) % len(DASHES)]
    if len(lines) > MOST_HOVERED:
        figure.update_traces(hovertemplate=figure.data[0].hovertemplate + "<extra>%{fullData.name}</extra>")
        figure.update_layout(hovermode="closest")
    height = 380 + 12 * max(0, len(lines) - len(DISTINCT))  # room for the names of many
    figure.update_layout(height=height, yaxis_title=y, yaxis_type="log" if log else "linear", legend={"y": -0.22, "yanchor": "top"})
    return figure


def plain(text: str) -> str:
    """`text` as plotly shows it letter by letter: its own small HTML would make a link of a label that holds one."""
    return html.escape(text, quote=False)


def counts(names: Sequence[str], values: Sequence[int], *, x: str, y: str) -> go.Figure:
    """One horizontal bar per name, the first on top."""
    figure = go.Figure(
        go.Bar(
            name="",
            x=list(values),
            y=[plain(name) for name in names],
            orientation="h",
            marker={"color": ACCENT},
            text=list(values),
            textposition="auto",
            cliponaxis=False,
        )
    )
    _frame(figure, x)
    _named_rows(figure, names, y)
    figure.update_layout(bargap=0.35, height=max(150, 70 + 34 * len(names)))
    return figure


def histogram(
    edges: Sequence[float], values: Sequence[int], *, x: str, y: str = "", limit: float | None = None, limit_name: str = ""
) -> go.Figure:
    """Counts between consecutive `edges`; `limit` draws the length at which prompts are cut, `y` is what is counted."""
    middles = [(low + high) / 2 for low, high in zip(edges[:-1], edges[1:], strict=True)]
    widths = [high - low for low, high in zip(edges[:-1], edges[1:], strict=True)]
    ranges = [f"{low:g}\u2013{high:g}" for low, high in zip(edges[:-1], edges[1:], strict=True)]
    figure = go.Figure(
        go.Bar(
            name="", x=middles, y=list(values), width=widths, customdata=ranges, hovertemplate="%{customdata}: %{y}<extra></extra>",
            marker={"color": ACCENT, "line": {"width": 0.5, "color": "rgba(255,255,255,0.5)"}},
        )
    )  # fmt: skip
    _frame(figure, x)
    figure.update_layout(meta={"y": y})
    if limit is not None and edges and limit <= edges[-1]:
        figure.add_vline(x=limit, line={"color": WARM, "dash": "dot", "width": 2}, annotation_text=limit_name, annotation_font_color=WARM)
    return figure


def points(steps: Any, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values that still grow, as arrays of equal length of their own."""
    length = min(len(steps), len(values))
    return np.array(steps[:length], dtype=np.int64), np.array(values[:length], dtype=np.float64)


def smoothed(values: Sequence[float] | np.ndarray, weight: float = 0.85) -> np.ndarray:
    """Exponential moving average without the pull towards zero at the start (Kingma and Ba 2015, section 3).

    In blocks: within one the average is a product with a triangle of powers of `weight`, from one to the next a single carried value.
    """
    given = np.asarray(values, dtype=np.float64)
    if not len(given):
        return given
    padded = np.concatenate([given, np.zeros(-len(given) % BLOCK)]).reshape(-1, BLOCK)
    places = np.arange(BLOCK)
    triangle = np.tril((1 - weight) * weight ** np.maximum(places[:, None] - places, 0))
    means = padded @ triangle.T
    carried = np.zeros(len(means))
    for block in range(1, len(means)):
        carried[block] = weight**BLOCK * carried[block - 1] + means[block - 1, -1]
    means += carried[:, None] * weight ** (places + 1)
    return means.ravel()[: len(given)] / (1 - weight ** np.arange(1, len(given) + 1, dtype=np.float64))


@dataclass(frozen=True)
class LearningCurve:
    """One method's figure over the number of examples: value and standard deviation over seeds at each of `shots` ('0', '8', 'all')."""

    name: str
    shots: Sequence[str]
    values: Sequence[float]
    spreads: Sequence[float]
    color: str
    dash: str = "solid"


def shot_places(shots: Sequence[str], everything: float) -> dict[str, float]:
    """Where each number of examples stands on a logarithmic axis: 0 has a place of its own before the first, all comes last.

    Args:
        everything: rows per class that `all` amounts to.
    """
    numbers = [float(everything) if key == "all" else float(key) for key in shots]
    positive = [number for number in numbers if number > 0]
    first = math.log10(min(positive)) if positive else 0.0
    return {key: math.log10(number) if number > 0 else first - 0.5 for key, number in zip(shots, numbers, strict=True)}


def learning_curves(
    lines: Sequence[LearningCurve], shots: Sequence[str], everything: float, *, x: str, chance: float, chance_name: str, all_name: str
) -> go.Figure:
    """Accuracy over examples per class with a band of one standard deviation over seeds."""
    places = shot_places(shots, everything)
    figure = go.Figure()
    for line in lines:
        xs = [places[key] for key in line.shots]
        low = [value - spread for value, spread in zip(line.values, line.spreads, strict=True)]
        high = [value + spread for value, spread in zip(line.values, line.spreads, strict=True)]
        if any(line.spreads):
            figure.add_scatter(
                x=[*xs, *reversed(xs)], y=[*high, *reversed(low)], fill="toself", fillcolor=line.color, opacity=0.14, mode="none",
                legendgroup=line.name, showlegend=False, hoverinfo="skip",
            )  # fmt: skip
        figure.add_scatter(
            x=xs, y=list(line.values), name=plain(line.name), mode="lines+markers", legendgroup=line.name,
            line={"color": line.color, "width": 2.4, "dash": line.dash}, marker={"size": 7}, hovertemplate="%{y:.1%}",
        )  # fmt: skip
    _frame(figure, x)
    figure.add_hline(y=chance, line={"color": FAINT, "dash": "dot", "width": 1.5}, annotation_text=chance_name, annotation_font_size=11)
    names = [all_name if key == "all" else key for key in shots]
    figure.update_xaxes(tickvals=[places[key] for key in shots], ticktext=names)
    figure.update_yaxes(tickformat=".0%")
    figure.update_layout(height=430, hovermode="x unified", legend={"y": -0.2, "yanchor": "top"}, margin={"b": 90})
    return figure


def intervals(
    names: Sequence[str], values: Sequence[float], lows: Sequence[float], highs: Sequence[float], colors: Sequence[str], *,
    x: str = "", y: str = "", counted: tuple[str, Sequence[int]] | None = None,
) -> go.Figure:
    """One point per name with the bounds of its interval, the first on top; `counted` is from how many each follows, and what they are."""
    figure = go.Figure(
        go.Scatter(
            name="", x=list(values), y=[plain(name) for name in names], mode="markers", marker={"color": list(colors), "size": 10},
            customdata=list(counted[1]) if counted else None,
            hovertemplate=f"%{{x:.1%}} ({counted[0]}: %{{customdata}})<extra></extra>" if counted else "%{x:.1%}<extra></extra>",
            error_x={
                "array": [high - value for value, high in zip(values, highs, strict=True)],
                "arrayminus": [value - low for value, low in zip(values, lows, strict=True)],
                "color": INK, "thickness": 1.5,
            },
        )
    )  # fmt: skip
    _frame(figure, x)
    figure.update_xaxes(tickformat=".0%")
    _named_rows(figure, names, y, counted[0] if counted else "")
    figure.update_layout(height=max(170, 70 + 32 * len(names)))
    return figure


def library_script() -> str:
    """plotly's JavaScript, for a page that stands by itself."""
    return get_plotlyjs()


def fragment(figure: go.Figure) -> str:
    """A figure as HTML that needs `library_script` once before it and nothing from any network."""
    return pio.to_html(figure, include_plotlyjs=False, full_html=False, config={"displaylogo": False})


def _frame(figure: go.Figure, x: str) -> None:
    figure.update_layout({**LAYOUT, "xaxis": {**AXIS, "title": {"text": x, "standoff": 8}}, "yaxis": AXIS})


def _named_rows(figure: go.Figure, names: Sequence[str], kind: str, extra: str = "") -> None:
    """A row for each of `names`, the first on top. What they are called, and what is counted beside them, is for the csv: there is no
    title where the names stand."""
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    figure.update_yaxes(tickvals=[plain(name) for name in names], ticktext=[plain(short(name, LONGEST_TICK)) for name in names])
    figure.update_layout(meta={"y": kind, "customdata": extra})


def _thinned(steps: Any, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """At most about `MOST_POINTS` points: the lowest and the highest of every stretch, so that no spike is lost, the first and the last."""
    values = np.asarray(values, dtype=np.float32)
    steps = np.asarray(steps)
    if len(values) > MOST_POINTS:
        width = -(-len(values) // (MOST_POINTS // 2))
        stretches = np.concatenate([values, np.repeat(values[-1], -len(values) % width)]).reshape(-1, width)
        starts = np.arange(len(stretches)) * width
        chosen = np.concatenate([starts + stretches.argmin(axis=1), starts + stretches.argmax(axis=1), [0, len(values) - 1]])
        chosen = np.unique(np.minimum(chosen, len(values) - 1))
        steps, values = steps[chosen], values[chosen]
    return (steps.astype(np.int32) if steps.dtype.kind in "iu" else steps.astype(np.float32)), values


@dataclass(frozen=True)
class Scale:
    """One upright axis of parallel coordinates: numbers, or names that are placed in the order in which they first come."""

    name: str
    values: Sequence[float | str]
    share: bool = False
    log: bool = False


def parallel(scales: Sequence[Scale], shade: Sequence[float]) -> go.Figure:
    """Parallel coordinates (Inselberg 1985): one line per configuration through all of its values, shaded by `shade`. Dragging along an
    axis leaves the lines that pass there."""
    named = [any(isinstance(value, str) for value in scale.values) for scale in scales]
    dimensions = [(_named_scale if words else _number_scale)(scale) for scale, words in zip(scales, named, strict=True)]
    line = {"color": list(shade), "colorscale": [[0, "#9fc4c7"], [1, ACCENT]], "showscale": False}
    fonts = {"labelfont": {"size": 12}, "tickfont": {"size": 11, "shadow": "none"}}
    trace = {"type": "parcoords", "dimensions": dimensions, "line": line, **fonts}
    return go.Figure(data=[trace], layout={**LAYOUT, "height": 320, "margin": {"l": 230, "r": 60, "t": 60, "b": 24}})


def _named_scale(scale: Scale) -> dict[str, Any]:
    names = list(dict.fromkeys(str(value) for value in scale.values))
    return {
        "label": scale.name, "values": [names.index(str(value)) for value in scale.values], "tickvals": list(range(len(names))),
        "ticktext": names, "range": [-0.3, len(names) - 0.7],
    }  # fmt: skip


def _number_scale(scale: Scale) -> dict[str, Any]:
    values = [math.log10(value) if scale.log else float(value) for value in scale.values]
    dimension: dict[str, Any] = {"label": scale.name, "values": values}
    if scale.log:
        ticks = sorted(set(scale.values))
        dimension |= {"tickvals": [math.log10(tick) for tick in ticks], "ticktext": [f"{tick:.1e}" for tick in ticks]}
    elif scale.share:
        dimension["tickformat"] = ".0%"
    return dimension
