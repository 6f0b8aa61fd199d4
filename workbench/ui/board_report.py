"""A board to take away: one HTML page with interactive charts that asks nothing of any network, csv, SVG, PNG, JSON and the recipe."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from workbench.recipe import Recipe
from workbench.ui import charts
from workbench.ui.board_svg import curves_svg, png_of
from workbench.ui.board_words import (
    color,
    disagreements_html,
    line_name,
    notes_html,
    paradigms_html,
    seed_of,
    shots_name,
    significance_html,
    table_html,
)
from workbench.ui.charts import LearningCurve
from workbench.ui.markup import confusion, esc, heading, percent, sentence
from workbench.ui.text import Words

MOST_LABELS = 12
"""More make matrices that nobody reads."""
DASHES = ("solid", "dash", "dot", "dashdot")
STYLE = """
body { font-family: system-ui, sans-serif; max-width: 1080px; margin: 32px auto; padding: 0 16px; line-height: 1.5; color: #24292e; }
h1 { font-size: 24px; } h2, .pw-heading { font-size: 17px; margin: 26px 0 8px; } table { border-collapse: collapse; font-size: 13px; }
th, td { padding: 5px 10px; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; } .pw-right { text-align: right; }
.pw-scroll { overflow-x: auto; } .pw-duel { display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); gap: 16px; }
.pw-card { border: 1px solid #ddd; border-radius: 8px; padding: 4px 14px; } .pw-note { color: #7a5a12; } .pw-warning { color: #a33; }
.pw-good { color: #1d7a46; } .pw-off { color: #b03a2e; } .pw-cell { text-align: center; } .pw-hit { font-weight: 650; }
.pw-matrices { display: flex; flex-wrap: wrap; gap: 24px; }
"""


def curve_lines(report: dict[str, Any], t: Words) -> list[LearningCurve]:
    """One curve per paradigm and method, colours by paradigm, dashes by method."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in report["lines"]:
        found.setdefault((line["paradigm"], line["method"]), []).append(line)
    place: dict[str, int] = {}
    curves = []
    for (paradigm, _), lines in sorted(found.items(), key=lambda item: list(charts_order(report)).index(item[0])):
        number = place.get(paradigm, 0)
        place[paradigm] = number + 1
        accuracies = [line["accuracy"] for line in lines]
        curves.append(
            LearningCurve(
                line_name(lines[0], t), [line["shots"] for line in lines], [a["value"] for a in accuracies],
                [a["spread"] for a in accuracies], shade(color(paradigm), number // len(DASHES)), DASHES[number % len(DASHES)],
            )
        )  # fmt: skip
    return curves


def shade(hue: str, step: int) -> str:
    """A colour such as #4a78c0, lighter with every step: more lines of one paradigm than there are dashes must not look the same."""
    share = 1 - 0.6**step
    return "#" + "".join(f"{round(int(hue[i : i + 2], 16) * (1 - share) + 235 * share):02x}" for i in (1, 3, 5))


def charts_order(report: dict[str, Any]) -> dict[tuple[str, str], None]:
    """Paradigm and method pairs in the order of the report's lines, the most examples first, so that every method has its place."""
    keys = {key: place for place, key in enumerate(reversed(report["shots"]))}
    lines = sorted(report["lines"], key=lambda line: keys[line["shots"]])
    return dict.fromkeys((line["paradigm"], line["method"]) for line in lines)


def curves_figure(report: dict[str, Any], t: Words) -> Any:
    """The interactive curves."""
    return charts.learning_curves(
        curve_lines(report, t), report["shots"], everything(report), x=t("board.axis"), chance=report["chance"],
        chance_name=t("board.chance", share=percent(report["chance"])), all_name=_all_name(report, t),
    )  # fmt: skip


def curves_picture(report: dict[str, Any], t: Words) -> str:
    """The same curves as SVG."""
    return curves_svg(
        curve_lines(report, t), report["shots"], everything(report), x=t("board.axis"), chance=report["chance"],
        all_name=_all_name(report, t),
    )  # fmt: skip


def intervals_figure(report: dict[str, Any], key: str, t: Words) -> Any:
    """Accuracy with its bootstrap interval at one number of examples, the best on top."""
    lines = sorted((line for line in report["lines"] if line["shots"] == key), key=lambda line: -line["accuracy"]["value"])
    values = [[line["accuracy"][name] for line in lines] for name in ("value", "low", "high")]
    return charts.intervals([line_name(line, t) for line in lines], *values, [color(line["paradigm"]) for line in lines])


def confusions_html(report: dict[str, Any], key: str, t: Words) -> str:
    """The confusion matrix of each paradigm's champion, summed over seeds."""
    chosen = report["champions"].get(key, {})
    if chosen and len(report["labels"]) > MOST_LABELS:
        many = t("board.confusions_many", count=len(report["labels"]), most=MOST_LABELS)
        return heading(t("board.confusions")) + sentence(many, "note")
    actual, predicted = t("train.actual"), t("train.predicted")
    parts = [
        f"<div><h4>{esc(line_name(line, t))}</h4>{confusion(line['confusion'], report['labels'], actual, predicted)}</div>"
        for line in report["lines"]
        if line["shots"] == key and chosen.get(line["paradigm"]) == line["method"]
    ]
    return f'{heading(t("board.confusions"))}<div class="pw-matrices">{"".join(parts)}</div>' if parts else ""


def everything(report: dict[str, Any]) -> float:
    """Rows per class that `all` amounts to: the mean over classes."""
    rows = [line["rows"] for line in report["lines"] if line["shots"] == "all"]
    known = [float(key) for key in report["shots"] if key != "all"]
    return max(rows) / len(report["labels"]) if rows else 4 * max([*known, 1.0])


def report_page(report: dict[str, Any], recipe: Recipe, t: Words) -> str:
    """The whole report as one HTML page; plotly's script stands in it once."""
    parts = [heading(t("board.curves")), charts.fragment(curves_figure(report, t)), notes_html(report, t), paradigms_html(t)]
    for key in reversed(report["shots"]):
        if any(line["shots"] == key for line in report["lines"]):
            parts.append(f"<h2>{esc(shots_name(key, t))}</h2>")
            parts.append(charts.fragment(intervals_figure(report, key, t)))
            parts += [table_html(report, key, t), significance_html(report, key, t)]
            parts += [confusions_html(report, key, t), disagreements_html(report, key, t, shown=40)]
    title = t("board.title", name=recipe.name)
    return (
        f'<!doctype html><html lang="{t.language}"><head><meta charset="utf-8"><title>{esc(recipe.name)}</title><style>{STYLE}</style>'
        f"<script>{charts.library_script()}</script></head><body><h1>{esc(title)}</h1>{''.join(parts)}"
        f"<h2>{esc(t('recipe.title'))}</h2><pre>{esc(recipe.to_yaml())}</pre></body></html>"
    )


def report_files(report: dict[str, Any], recipe: Recipe, t: Words) -> dict[str, bytes]:
    """File name -> content."""
    from workbench.paradigms.board import table

    found = table(report)
    cells = [
        [line["paradigm"], line["method"], line["shots"], seed_of(name), accuracy, f1]
        for line in report["lines"]
        for name, accuracy, f1 in zip(line["cells"], line["accuracy"]["per_seed"], line["macro_f1"]["per_seed"], strict=True)
    ]
    pairs = [[key, *pair.values()] for key, found_pairs in report["pairs"].items() for pair in found_pairs]
    pair_columns = ["shots", "first", "second", "only first right", "only second right", "difference", "p", "p after Holm"]
    picture = curves_picture(report, t)
    texts = {
        "board.html": report_page(report, recipe, t),
        "board.csv": _csv(found["columns"], found["rows"]),
        "cells.csv": _csv(["paradigm", "method", "shots", "seed", "accuracy", "macro_f1"], cells),
        "pairs.csv": _csv(pair_columns, pairs),
        "board.json": json.dumps(report, ensure_ascii=False, indent=1),
        "curves.svg": picture,
        "recipe.yaml": recipe.to_yaml(),
    }
    return {**{name: text.encode("utf-8") for name, text in texts.items()}, "curves.png": png_of(picture)}


def write_report(report: dict[str, Any], recipe: Recipe, folder: Path, t: Words) -> list[str]:
    """Writes the files into a folder, made when it is not there; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    files = report_files(report, recipe, t)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return list(files)


def zip_report(report: dict[str, Any], recipe: Recipe, file: Path, t: Words) -> Path:
    """Writes the files into one archive."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in report_files(report, recipe, t).items():
            archive.writestr(f"board/{name}", content)
    return file


def _csv(columns: list[str], rows: list[list[Any]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()


def _all_name(report: dict[str, Any], t: Words) -> str:
    known = any(line["shots"] == "all" for line in report["lines"])
    return t("board.all_count", count=f"{everything(report):,.0f}") if known else t("board.all")
