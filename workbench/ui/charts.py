"""Figures for the page: the only importer of plotly. Colours hold on light and dark paper, which stays transparent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

ACCENT, WARM, FAINT, INK, GRID = "#2f8f98", "#d9822b", "rgba(128,128,128,0.45)", "#8a867f", "rgba(128,128,128,0.18)"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif"
MOST_POINTS = 800


@dataclass(frozen=True)
class Line:
    """A named series of (step, value) pairs; `faint` series are drawn behind the others."""

    name: str
    steps: Sequence[float]
    values: Sequence[float]
    faint: bool = False
    markers: bool = False
    color: str = ACCENT


def curves(lines: Sequence[Line], *, x: str, share: bool = False, span: float | None = None) -> go.Figure:
    """Lines over steps. `share` fixes the height to [0, 1] and writes percent; `span` fixes the width to the whole run."""
    figure = go.Figure()
    for line in lines:
        steps, values = _thinned(line.steps), _thinned(line.values)
        figure.add_scatter(
            x=steps,
            y=values,
            name=line.name,
            mode="lines+markers" if line.markers else "lines",
            line={"color": FAINT if line.faint else line.color, "width": 1.2 if line.faint else 2.4},
            marker={"size": 6},
            hovertemplate="%{y:.1%}" if share else "%{y:.3f}",
        )
    _frame(figure, x)
    figure.update_layout(hovermode="x unified", showlegend=True)
    if share:
        figure.update_yaxes(range=[0, 1.02], tickformat=".0%")
    else:
        figure.update_yaxes(rangemode="tozero")
    if span:
        figure.update_xaxes(range=[-span * 0.015, span * 1.015])
    return figure


def counts(names: Sequence[str], values: Sequence[int], *, x: str, y: str) -> go.Figure:
    """One horizontal bar per name, the first on top."""
    figure = go.Figure(
        go.Bar(
            x=list(values),
            y=list(names),
            orientation="h",
            marker={"color": ACCENT},
            text=list(values),
            textposition="auto",
            cliponaxis=False,
        )
    )
    _frame(figure, x)
    figure.update_yaxes(title=None, autorange="reversed", type="category", showgrid=False)
    figure.update_layout(bargap=0.35, height=max(150, 70 + 34 * len(names)))
    return figure


def histogram(edges: Sequence[float], values: Sequence[int], *, x: str, limit: float | None = None, limit_name: str = "") -> go.Figure:
    """Counts between consecutive `edges`; `limit` draws the length at which prompts are cut."""
    middles = [(low + high) / 2 for low, high in zip(edges[:-1], edges[1:], strict=True)]
    widths = [high - low for low, high in zip(edges[:-1], edges[1:], strict=True)]
    ranges = [f"{low:g}\u2013{high:g}" for low, high in zip(edges[:-1], edges[1:], strict=True)]
    figure = go.Figure(
        go.Bar(x=middles, y=list(values), width=widths, marker={"color": ACCENT, "line": {"width": 0.5, "color": "rgba(255,255,255,0.5)"}},
               customdata=ranges, hovertemplate="%{customdata}: %{y}<extra></extra>")
    )
    _frame(figure, x)
    if limit is not None and edges and limit <= edges[-1]:
        figure.add_vline(x=limit, line={"color": WARM, "dash": "dot", "width": 2}, annotation_text=limit_name, annotation_font_color=WARM)
    return figure


def smoothed(values: Sequence[float], weight: float = 0.85) -> list[float]:
    """Exponential moving average without the pull towards zero at the start (Kingma and Ba 2015, section 3)."""
    out, mean, mass = [], 0.0, 0.0
    for value in values:
        mean = weight * mean + (1 - weight) * value
        mass = weight * mass + (1 - weight)
        out.append(mean / mass)
    return out


def _frame(figure: go.Figure, x: str) -> None:
    figure.update_layout(
        template="none",
        height=270,
        margin={"l": 50, "r": 16, "t": 34, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 12, "color": INK},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "bgcolor": "rgba(0,0,0,0)", "font": {"size": 11.5}},
        uirevision="keep",
    )
    figure.update_xaxes(title={"text": x, "standoff": 8}, gridcolor=GRID, zeroline=False, linecolor=GRID, automargin=True)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, linecolor=GRID, automargin=True)


def _thinned(values: Sequence[float]) -> list[float]:
    """At most `MOST_POINTS` values, evenly taken, the last one always."""
    if len(values) <= MOST_POINTS:
        return list(values)
    step = len(values) / MOST_POINTS
    return [values[int(i * step)] for i in range(MOST_POINTS)] + [values[-1]]
