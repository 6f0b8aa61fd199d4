"""Runs laid over each other: curves, figures and differences."""

from dataclasses import replace
from types import SimpleNamespace

from workbench.recipe import PROJECT, load_recipe
from workbench.runs.view import LOGS_KEPT
from workbench.ui import charts, comparison
from workbench.ui.tabs import train
from workbench.ui.text import Words

T = Words("en")


def test_two_runs_are_laid_over_each_other(service, finished, tiny):
    other = service.submit(tiny.replace({"training.epochs": 1, "name": "<other>"}))
    assert service.wait(other, 120).status == "finished"
    shown = comparison.view(service, [finished, other], "train_loss")
    figure = comparison.figure_of(shown, T, log=True)
    assert [len(line.x) for line in figure.data] == [len(steps) for steps, _ in shown.curves] and figure.layout.yaxis.type == "log"
    assert len({line.line.color for line in figure.data}) == 2
    html = comparison.table_html(shown, T)
    assert 'data-csv="comparison"' in html
    assert "training.epochs" in html and "&lt;other&gt;" in html and "\u2605" in html and "training.seed" not in html


def test_one_run_or_none_asks_for_more(service, finished):
    assert "two runs" in comparison.table_html(comparison.view(service, [finished], "accuracy"), T)
    empty = comparison.view(service, [], "accuracy")
    assert comparison.figure_of(empty, T) is None and "two runs" in comparison.table_html(empty, T)


def test_many_runs_are_told_apart_by_dashes():
    lines = [charts.Line(str(number), [1, 2], [0.0, number]) for number in range(48)]
    figure = charts.overlay(lines, x="", y="")
    assert len({(line.line.color, line.line.dash) for line in figure.data}) == 48
    assert figure.layout.hovermode == "closest" and "fullData.name" in figure.data[0].hovertemplate
    assert charts.overlay(lines[:24], x="", y="").layout.hovermode == "x unified"


def test_as_many_runs_are_laid_over_each_other_as_are_chosen(service, finished, pages):
    """Also more than the logs that stay in memory: those are read anew."""
    run = service.read(finished, 1 << 60)
    many = [f"20260101-000000-{number:06d}" for number in range(LOGS_KEPT + 30)]
    kept = SimpleNamespace(read=lambda name, _: replace(run, id=name))
    shown = comparison.view(kept, many, "train_loss")
    assert len(comparison.figure_of(shown, T).data) == len(many) and many[-1][-6:] in comparison.table_html(shown, T)
    (chosen,) = (block for block in pages("en").blocks.values() if block.elem_id == "comparison-runs")
    assert chosen.max_choices is None


def test_files_of_the_project_are_shown_without_the_folder_that_it_lies_in(service, finished):
    run = service.read(finished, 1 << 60)
    presets = {name: replace(run, recipe=load_recipe(name)) for name in ("en-sentiment-lora", "zh-sentiment-lora")}
    kept = SimpleNamespace(read=lambda name, _: presets[name])
    told = str(comparison.view(kept, list(presets), "accuracy").differences)
    assert "data.train" in told and str(PROJECT) not in told
    recipe = train.draw(kept, "en-sentiment-lora").recipe
    assert "presets/" in recipe and str(PROJECT) not in recipe


def test_before_anything_is_chosen_the_comparison_says_what_to_do(pages):
    told = next(block for block in pages("en").blocks.values() if block.elem_id == "comparison-table")
    assert "two runs" in told.value
