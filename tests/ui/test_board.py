"""The board tab: its views over a real board of tiny models, its report, and its pictures."""

import json
import re
import zipfile
from types import SimpleNamespace

import pytest

from tests.runs.test_boards import JOB
from workbench.errors import RecipeError, RunError
from workbench.paradigms import paradigm_names
from workbench.runs.boards import BoardModels, board_of, boards_to_ask, measured, open_model
from workbench.ui import batch, beside, charts
from workbench.ui.board_report import confusions_html, curves_picture, report_files, report_page, shade, write_report, zip_report
from workbench.ui.board_svg import HEIGHT, WIDTH, png_of
from workbench.ui.board_words import COLORS, disagreements_html, line_name, paradigms_html, significance_html, table_html, why_html
from workbench.ui.markup import sentence
from workbench.ui.own_rows import own_rows
from workbench.ui.session import Watch
from workbench.ui.tabs import board, try_it
from workbench.ui.text import Words

T = Words("en")


@pytest.fixture(scope="module")
def run(service, tiny):
    job = JOB | {"seeds": 2, "shots": [0, 4, "all"], "paradigms": {"classical": ["naive_bayes"], "prompting": ["zero_shot", "bias"]}}
    run = service.submit(tiny.replace({"job": job}))
    assert service.wait(run, 240).status == "finished"
    return run


def test_a_board_is_shown_as_it_stands(service, run):
    shown = board.draw(service, run)
    assert shown.done == shown.total == 10 and shown.report["done"] == 9 and shown.status == "finished"
    assert board.view(service, shown.watch) is None and board.view(service, Watch(run)).id == run
    assert "10" in board.status_html(shown, T) and dict(board.choices(service, T))
    assert len(board.models_of(shown.report, T)) == 9
    assert [name.partition("-")[0] for name in board.champions_of(shown.report, "all")] == ["classical", "prompting"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_number_and_every_paradigm_has_its_words(service, run, language):
    t, report = Words(language), board_of(service, run)
    html = table_html(report, "all", t)
    assert html.count("<li>") == len(re.findall("<th ", html))
    assert set(COLORS) == set(paradigm_names()) and paradigms_html(t).count("<section") == 4
    assert board.detail_html(report, "all", t).count("pw-confusion") == 2
    assert significance_html(report, "all", t).count("<p ") == 2


def test_significance_is_told_in_words(service, run):
    report = board_of(service, run)
    pair = {"first": "classical", "second": "prompting", "only_first": 1, "only_second": 9}
    pair |= {"difference": -0.2, "p": 0.001, "adjusted": 0.002}
    told = significance_html(report | {"pairs": {"all": [pair]}}, "all", T)
    assert "20.0 points" in told and "it is real" in told and told.index("Pre-training, prompt") < told.index("is better than")
    assert "cannot be told from chance" in significance_html(report | {"pairs": {"all": [pair | {"adjusted": 0.4}]}}, "all", T)


def test_disagreements_mark_who_is_right_and_escape_what_people_wrote(service, run):
    report = board_of(service, run)
    row = {"line": 3, "fields": {"text": "<b>{evil}</b>"}, "label": "pos", "answers": {"classical": "pos", "prompting": "neg"}}
    html = disagreements_html(report | {"disagreements": {"all": [row]}}, "all", T)
    assert 'role="group" tabindex="0" aria-label=' in html, "a wide table is scrolled with keys"
    assert html.count("pw-good") == 1 and html.count("pw-off") == 1 and "<b>{evil}" not in html and "&lt;b&gt;" in html


def test_all_models_are_asked_at_once(service, run):
    report = board_of(service, run)
    names = board.champions_of(report, "all")
    html = board.answers_html(service, BoardModels(), run, names, {"text": "the food was <lovely>"}, T)
    assert html.count("<section") == 2 and html.count("pw-answer") == 2 and "<lovely>" not in html and "pw-reason" in html
    assert "has no cell" in board.answers_html(service, BoardModels(), run, ["nothing"], {"text": "a"}, T)


def test_a_boards_models_stand_beside_a_run_in_try_it(service, run, finished):
    offered = dict(try_it.others(try_it.models(service, T), T, finished))
    cells = [model for model in offered.values() if model.startswith(f"{run}/")]
    assert len(cells) == 9, "every repetition of every line"
    texts = {"text": "the food was lovely"}
    for model in cells:
        shown = try_it.view(service, BoardModels(), finished, model, texts, why=True)
        alone = open_model(service, BoardModels(), run, model.partition("/")[2]).probabilities([texts])[0]
        assert list(shown.beside.prediction.probabilities.values()) == alone and shown.beside.why.reasons
        assert "naive Bayes &lt;" in try_it.answer_html(shown, T, "naive Bayes <")
    with pytest.raises(RunError, match="2 are given"):
        try_it.view(service, BoardModels(), finished, cells[0], {"first": "a", "second": "b"})


def asking(service):
    return try_it.Asking(SimpleNamespace(service=service, boards=BoardModels(), t=T))


def test_every_model_of_a_board_can_be_the_one_that_try_it_asks(service, run, finished):
    asked, text = asking(service), "the food was lovely"
    cells = {value: name for name, value in try_it.models(service, T) if value.startswith(f"{run}/")}
    assert len(cells) == 9
    for cell, name in cells.items():
        plain = cell.startswith(f"{run}/classical")
        beside = asked.show_others(cell, "base")
        assert beside["value"] == try_it.ALONE and "base" not in dict(beside["choices"]).values()
        *boxes, rows, limits, answered = asked.show_run(cell)
        assert boxes[0]["visible"] and answered == "" and limits == sentence(T("try.cell_plain" if plain else "try.cell_tuned"), "note")
        alone = asked.answer_to(cell, beside["value"], True, Watch(), text)
        assert alone.count("<section") == 1 and name in alone and "pw-reason" in alone and (T("try.words") in alone) == (not plain)
        assert asked.answer_to(cell, finished, False, Watch(), text).count("<section") == 2
        which, _ = asked.which_word(cell, Watch(), text)
        assert T("try.flips") in which and ("exchanged" in which) == (not plain)
        keys = [key for title, key in rows["choices"] if key.isdigit()]
        assert keys and all(asked.take_row(cell, key, Watch())[0] for key in keys)
        assert asked.take_example(cell, 0, Watch())[1]


def test_a_board_of_more_models_than_are_offered_offers_its_first_ones(service, run):
    assert [len(cells) for told, cells in boards_to_ask(service, 4) if told.id == run] == [4]


def test_rows_of_a_boards_model_are_test_rows_that_it_was_surest_of(service, run):
    cell = board_of(service, run)["lines"][0]["cells"][0]
    rows = {example.line: (example.label == said) for example, said, _ in measured(service, run, cell).rows}
    assert len(rows) == 12 and (found := own_rows(service, f"{run}/{cell}"))
    assert all(rows[row.line] == (row.kind == "surest_right") for row in found)


def test_a_file_is_answered_by_a_boards_model(service, run, tmp_path):
    (tmp_path / "new.csv").write_text("text\nthe food was lovely\nthe food was awful\n", encoding="utf-8")
    for name in (line["cells"][0] for line in board_of(service, run)["lines"]):
        shown = batch.view(service, BoardModels(), f"{run}/{name}", str(tmp_path / "new.csv"), tmp_path / "out")
        said = open_model(service, BoardModels(), run, name).predict([{"text": "the food was lovely"}], label_words=False)[0].label
        assert shown.rows == 2 and shown.file.read_text(encoding="utf-8").splitlines()[1].startswith(f"the food was lovely,{said},")


def test_a_boards_model_is_neither_taken_away_nor_asked_from_programs_and_says_so(pages, service, run):
    handlers = {fn.api_name: fn.fn for fn in pages("en").fns.values()}
    cell = f"{run}/{board_of(service, run)['lines'][0]['cells'][0]}"
    *codes, told = handlers["try_programs"](None, None, cell, "a", "", "", "")
    assert codes == [""] * 4 and "not asked from programs" in told
    with pytest.warns(UserWarning, match="not taken away"):
        handlers["take_away"](None, cell, "recipe", None)


def test_without_a_run_but_with_a_board_the_tab_try_it_asks_its_models(run, service, monkeypatch):
    monkeypatch.setattr(try_it, "choices", lambda *_: [])
    asked = asking(service)
    listed, beside, *_, limits, _ = asked.refresh(None, None, Watch())
    assert listed["value"].startswith(f"{run}/") and beside["value"] == try_it.ALONE and T("try.none_yet") not in limits
    assert "pw-answer" in asked.answer_to(None, None, False, Watch(), "the food was lovely")


def test_a_cell_that_was_refused_or_whose_model_was_let_go_is_not_offered(run, service, monkeypatch):
    folder = service.store.folder(run) / "cells"
    names = [value.partition("/")[2] for _, value in beside.cells(service, T) if value.startswith(f"{run}/")]
    zero, trained = next(name for name in names if "zero_shot" in name), next(name for name in names if "bayes" in name)
    whole = (folder / zero / "cell.json").read_text(encoding="utf-8")
    refused = {"content": {"refused": {"message": "No.", "fix": ""}}}
    (folder / zero / "cell.json").write_text(json.dumps(refused), encoding="utf-8")
    (folder / trained / "final").rename(folder / trained / "gone")
    try:
        left = [value.partition("/")[2] for _, value in beside.cells(service, T) if value.startswith(f"{run}/")]
    finally:
        (folder / zero / "cell.json").write_text(whole, encoding="utf-8")
        (folder / trained / "gone").rename(folder / trained / "final")
    assert left == [name for name in names if name not in (zero, trained)]


def test_the_controls_become_a_job():
    job = board.job_of("0, 8\uff0call", 2, ["classical/naive_bayes", "prompting/lora"], [], "quick", T)
    assert job["shots"] == [0, 8, "all"] and job["paradigms"] == {"classical": ["naive_bayes"], "prompting": ["lora"]} and job["seeds"] == 2
    assert board.budget_of(job) == "quick" and board.budget_of({}) == "usual"
    for shots, methods in (("eight", ["a/b"]), ("", ["a/b"]), ("8", [])):
        with pytest.raises(RecipeError):
            board.job_of(shots, 1, methods, [], "quick", T)
    assert set(board.usual_methods()) <= {value for _, value in board.method_choices(T)}


def test_the_report_stands_by_itself(service, run, tmp_path, tiny):
    report = board_of(service, run)
    page = report_page(report, tiny, T)
    assert page.count("plotly.js v") == 1 and len(page) > 1_000_000
    ours = page.replace(charts.library_script(), "")
    assert len(ours) < 200_000 and not re.search(r'(src|href)="https?://', ours)
    assert set(write_report(report, tiny, tmp_path / "out", T)) == {
        "board.html", "board.csv", "cells.csv", "pairs.csv", "board.json", "curves.svg", "curves.png", "recipe.yaml",
    }  # fmt: skip
    assert (tmp_path / "out" / "board.csv").read_text().count("\n") == 1 + len(report["lines"])
    assert (tmp_path / "out" / "cells.csv").read_text().count("\n") == 1 + report["done"]
    with zipfile.ZipFile(zip_report(report, tiny, tmp_path / "board.zip", T)) as archive:
        assert "board/board.html" in archive.namelist()


def test_the_picture_holds_every_curve(service, run):
    picture = curves_picture(board_of(service, run), T)
    assert picture.startswith("<svg") and picture.count("<polyline") == 3 and "naive Bayes" in picture


def test_the_picture_as_png_has_its_words_in_both_languages(service, run):
    import io

    from PIL import Image

    for language in ("en", "zh"):
        svg = curves_picture(board_of(service, run), Words(language))
        whole, bare = (Image.open(io.BytesIO(png_of(text))).convert("L") for text in (svg, re.sub("<text.*?</text>", "", svg)))
        assert whole.size == (2 * WIDTH, 2 * HEIGHT) and whole.getpixel((0, 0)) == 255
        ink = [sum(1 for value in image.tobytes() if value < 240) for image in (whole, bare)]
        assert ink[0] > ink[1] * 1.05, "letters are drawn, not left out for want of a font"


def test_nought_has_its_own_place_left_of_the_logarithms():
    places = charts.shot_places(["0", "8", "80", "all"], 800)
    assert places["80"] - places["8"] == pytest.approx(places["all"] - places["80"]) == pytest.approx(1)
    assert places["0"] < places["8"]


def test_reasons_are_coloured_where_they_stand():
    from workbench.paradigms.paradigm import Reason, Why

    html = why_html(Why("not <good>", [Reason(0, 3, -1.0), Reason(5, 9, 0.5)], [("good", 0.5)], "contribution"), T)
    assert 'pw-against" style="--share:1.000" title="-1.000">not</mark> &lt;<mark' in html and ">good</mark>&gt;" in html


def test_the_command_line_writes_the_report_of_a_board(service, run, tmp_path, capsys):
    from workbench.cli import main

    assert main(["board-report", run[:-1], "--runs", str(service.root), "--out", str(tmp_path / "out"), "--lang", "zh"]) == 0
    assert "curves.svg" in capsys.readouterr().out and "四种" not in (tmp_path / "out" / "board.csv").read_text(encoding="utf-8")
    assert "训练" in (tmp_path / "out" / "board.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("shots", ["8,many", "-3", ""])
def test_numbers_of_examples_on_the_command_line_are_numbers(capsys, shots, tmp_path):
    from workbench.cli import main

    assert main(["board", "en-board-quick", "--runs", str(tmp_path), f"--shots={shots}"]) == 2
    assert "--shots" in capsys.readouterr().err


def test_options_of_the_board_may_be_set_on_a_recipe_that_has_none(tmp_path, monkeypatch):
    from workbench.cli import main

    asked = []

    def submit(service, recipe, **_):
        asked.append(recipe.job)
        raise RunError("Enough.", fix="Nothing.")

    monkeypatch.setattr("workbench.runs.service.RunService.submit", submit)
    line = ["board", "en-sources-hard-prompt", "--shots", "8", "--set", "job.paradigms={classical: [naive_bayes]}", "--runs", str(tmp_path)]
    assert main(line) == 2 and asked == [{"kind": "board", "paradigms": {"classical": ["naive_bayes"]}, "shots": [8]}]


def test_what_no_control_shows_stays_and_so_does_a_budget_of_ones_own():
    own = {"kind": "board", "rows_seen": 1500, "least_epochs": 2.0, "keep_models": False}
    kept = board.job_of("8", 1, ["classical/naive_bayes"], [" embedded:tiny-qwen ", ""], "full", T, own)
    assert (kept["rows_seen"], kept["least_epochs"], kept["keep_models"], kept["shots"]) == (1500, 2.0, False, [8])
    assert kept["models"] == ["embedded:tiny-qwen"]
    other = board.job_of("8", 1, ["classical/naive_bayes"], [], "quick", T, own)
    assert other["rows_seen"] == board.BUDGETS["quick"]["rows_seen"] and other["keep_models"] is False


def test_a_line_of_a_further_model_says_which():
    line = {"paradigm": "fine_tuning", "method": "full@Qwen2.5-0.5B"}
    assert line_name(line, T).endswith("(Qwen2.5-0.5B)") and line_name(line, T).startswith(line_name({**line, "method": "full"}, T))


def test_more_lines_than_dashes_are_lighter():
    assert shade("#4a78c0", 0) == "#4a78c0" and len({shade("#4a78c0", step) for step in range(5)}) == 5


def test_the_largest_number_of_examples_is_looked_at_until_a_person_picks_one(pages, service, run):
    handlers = {fn.api_name: fn.fn for fn in pages("en").fns.values()}

    def looked_at(picked):
        return handlers["board_poll"](None, "board", Watch(run), -1, picked)[4]["value"]

    assert looked_at(board.Picked()) == "all"
    picked = handlers["board_detail"](None, Watch(run), "4")[0]
    assert looked_at(picked) == "4"
    assert looked_at(board.Picked("another board", "4")) == "all" == looked_at(board.Picked(run, "gone"))


def test_the_macro_f1_interval_stands_beside_it_and_one_repetition_has_no_spread(run, service):
    report = board_of(service, run)
    line = next(line for line in report["lines"] if line["shots"] == "all")
    line = line | {"macro_f1": line["macro_f1"] | {"value": 0.5, "low": 0.123, "high": 0.877}}
    for cells, spread in ((line["cells"], "\u00b1"), (line["cells"][:1], "\u2013</td>")):
        html = table_html(report | {"lines": [line | {"cells": cells}]}, "all", T)
        assert "12.3% \u2013 87.7%" in html and spread in html and ("\u00b1" in html) == (spread == "\u00b1")


def test_matrices_of_very_many_labels_are_said_to_be_left_out(run, service):
    report = board_of(service, run) | {"labels": [f"class {number}" for number in range(13)]}
    assert "13 labels are too many" in confusions_html(report, "all", T) and confusions_html(report | {"champions": {}}, "all", T) == ""


def test_a_cells_row_names_its_own_seed_where_an_earlier_one_was_refused(run, service, tiny):
    report = board_of(service, run)
    line = next(line for line in report["lines"] if line["shots"] == "all")
    one = {name: line[name] | {"per_seed": line[name]["per_seed"][1:]} for name in ("accuracy", "macro_f1")}
    rest = report | {"lines": [line | one | {"cells": line["cells"][1:]}], "pairs": {}}
    (row,) = report_files(rest, tiny, T)["cells.csv"].decode().splitlines()[1:]
    assert row.split(",")[3] == str(report["seeds"][1])


def test_the_command_line_says_what_could_not_be_done_once(run, service, capsys):
    from argparse import Namespace

    from workbench.commands import _with_report

    cell = {"paradigm": "prompting", "shots": 4, "message": "No words.", "fix": "Add some."}
    refused = [cell | {"method": method, "seed": seed} for method in ("lora", "bias") for seed in (1, 2)]
    _with_report(service, {"run": run, "board": {"refused": refused}}, Namespace(out=None))
    told = "".join(capsys.readouterr())
    assert told.count("No words. Add some.") == 1 and "prompting/lora, prompting/bias" in told
