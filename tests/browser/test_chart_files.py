"""Charts and tables as csv: what is saved is what is shown, and no name in it is a formula to a spreadsheet."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from workbench.recipe import PROJECT
from workbench.ui import charts
from workbench.ui.learnt import learnt_html
from workbench.ui.markup import confusion, table
from workbench.ui.text import Words

SCRIPT = PROJECT / "workbench" / "ui" / "charts.js"
EVIL = ["=HYPERLINK(0)", "+1", "-2", "@SUM(A1)", "\t=1", "plain, with comma", 'a "quote"']
# What plotly leaves on a plot that it has drawn, as far as the script reads it.
PLOT = """names => {
    document.documentElement.dataset.charts = JSON.stringify({save: "Save this chart", save_table: "Save this table", csv: "csv"});
    const block = '<div class="block" id="train-loss"><div><div class="js-plotly-plot"></div></div></div>';
    document.body.innerHTML = block + '<div id="tables"></div>';
    const plot = document.querySelector(".js-plotly-plot");
    plot._fullLayout = {xaxis: {title: {text: "=step"}}, yaxis: {title: {text: "loss"}}};
    plot._fullData = names.map(name => ({type: "scatter", name, x: [1, 2], y: new Float32Array([-0.5, 0.25]), yaxis: "y"}));
}"""


@pytest.fixture
def page(chromium):
    context = chromium.new_context(accept_downloads=True)
    page = context.new_page()
    page.evaluate(PLOT, EVIL)
    page.evaluate(SCRIPT.read_text(encoding="utf-8"))
    yield page
    context.close()


def saved(page, label: str) -> tuple[str, list[list[str]]]:
    with page.expect_download() as download:
        page.get_by_role("button", name=f"{label}: csv").click()
    text = Path(download.value.path()).read_bytes().decode("utf-8-sig")
    return download.value.suggested_filename, list(csv.reader(text.splitlines()))


def inert(name: str) -> str:
    return f"'{name}" if name[0] in "=+-@\t" else name


def test_names_in_a_charts_csv_are_no_formulas_and_numbers_stay_numbers(page):
    page.evaluate("document.body.append(document.createElement('p'))")  # anything new makes the script look
    name, (header, *rows) = saved(page, "Save this chart")
    assert name == "train-loss.csv" and header == ["series", "'=step", "loss"]
    assert [row[0] for row in rows[::2]] == [inert(one) for one in EVIL]
    assert all(row[1:] == wanted for row, wanted in zip(rows, [["1", "-0.5"], ["2", "0.25"]] * len(EVIL), strict=True))


def test_charts_of_names_are_had_as_csv_under_what_their_names_and_numbers_are(chromium):
    names = ["1. a < b &amp; {text}", "=2. c"]
    said = {"x": "accuracy", "y": "template", "counted": ("rows", [64, 16])}
    ranking = charts.intervals(names, [0.75, 0.5], [0.5, 0.25], [0.875, 0.75], ["#000"] * 2, **said)
    counted, binned = charts.counts(names, [3, 2], x="rows", y="label"), charts.histogram([0, 8, 16], [5, 6], x="tokens", y="rows")
    wanted = [
        [
            ["accuracy", "template", "low", "high", "rows"], ["0.75", names[0], "0.5", "0.875", "64"],
            ["0.5", f"'{names[1]}", "0.25", "0.75", "16"],
        ],
        [["rows", "label"], ["3", names[0]], ["2", f"'{names[1]}"]],
        [["tokens", "rows", "range"], ["4", "5", "0\u20138"], ["12", "6", "8\u201316"]],
    ]  # fmt: skip
    for figure, rows in zip((ranking, counted, binned), wanted, strict=True):
        page = chromium.new_page()
        page.set_content(f'<script>{charts.library_script()}</script><div class="block" id="chart">{charts.fragment(figure)}</div>')
        page.evaluate("() => { document.documentElement.dataset.charts = JSON.stringify({save: 'Save this chart', csv: 'csv'}); }")
        page.evaluate(SCRIPT.read_text(encoding="utf-8"))
        page.evaluate("document.body.append(document.createElement('p'))")
        assert saved(page, "Save this chart") == ("chart.csv", rows)
        page.close()


def test_a_confusion_matrix_and_a_table_are_had_as_csv_and_the_button_outlives_new_content(page):
    for counts in ([[3, 1], [0, 4]], [[5, 6], [7, 8]]):
        html = confusion(counts, ["=bad", "good"], "label", "predicted", save="confusion")
        page.evaluate("html => document.getElementById('tables').innerHTML = html", html)
        assert saved(page, "Save this table") == (
            "confusion.csv",
            [["label \u2193 predicted \u2192", "'=bad", "good"], ["'=bad", *map(str, counts[0])], ["good", *map(str, counts[1])]],
        )
    page.evaluate("html => document.getElementById('tables').innerHTML = html", table(["a", "b"], [(EVIL[0], "x, y")], save="rows"))
    assert saved(page, "Save this table") == ("rows.csv", [["a", "b"], [inert(EVIL[0]), "x, y"]])
    shares = {"what": "update_norms", "rows": [{"layer": 1, "part": EVIL[0], "value": 0.25, "words": []}]}
    page.evaluate("html => document.getElementById('tables').innerHTML = html", learnt_html(shares, Words("en")))
    assert saved(page, "Save this table") == ("learnt.csv", [[f"Layer 1 \u00b7 {EVIL[0]}", "25.00%"]])
    page.evaluate("html => document.getElementById('tables').innerHTML = html", table(["a"], [("x",)]))
    assert json.loads(page.evaluate("JSON.stringify(document.querySelectorAll('#tables button').length)")) == 0
