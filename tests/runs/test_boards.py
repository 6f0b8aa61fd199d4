"""Boards over a tiny model: every cell is measured on rows that none has seen, and nothing is done twice."""

import errno
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.tiny_runs import WORDS, make_model, make_recipe
from workbench.data.dataset import load_splits
from workbench.errors import DiskError, ModelError, TrainingError, WorkbenchError
from workbench.models.pool import ModelPool
from workbench.paradigms import find_paradigm, paradigm_names
from workbench.paradigms.cells import Cell, model_names
from workbench.paradigms.classical import LinearText
from workbench.paradigms.from_scratch import NetworkText
from workbench.paradigms.split import board_rows
from workbench.recipe import recipe_from
from workbench.runs.boards import open_cell, read_board
from workbench.runs.job import CELL_NAME
from workbench.runs.jobs import check_job, run_job
from workbench.training.control import Control
from workbench.training.events import ALIVE

JOB = {
    "kind": "board", "shots": [0, 4, "all"], "seeds": 2, "test": 12, "validation": 8,
    "rows_seen": 16, "least_epochs": 0.1, "most_epochs": 2, "evaluations": 1,
    "paradigms": {"classical": ["naive_bayes", "linear_svm"], "from_scratch": ["textcnn"], "fine_tuning": ["frozen"],
                  "prompting": ["zero_shot", "bias"]},
}  # fmt: skip


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return make_recipe(tmp_path_factory.mktemp("tiny")).replace({"job": JOB})


@pytest.fixture(scope="module")
def board(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("board") / "run"
    return folder, run_job(recipe, folder, Control(), ModelPool())


def test_a_board_has_a_line_for_every_method_and_number_of_examples(recipe, board):
    folder, result = board
    report = result["board"]
    assert {(line["method"], line["shots"]): len(line["cells"]) for line in report["lines"]} == {
        ("zero_shot", "0"): 1,
        **{(method, shots): 2 for method in ("naive_bayes", "linear_svm", "textcnn", "frozen", "bias") for shots in ("4", "all")},
    }
    assert report["refused"] == [] and report["done"] == report["total"] == 21 and report["test_rows"] == 12
    for line in report["lines"]:
        assert line["accuracy"]["low"] <= line["accuracy"]["value"] <= line["accuracy"]["high"]
        assert np.array(line["confusion"]).sum() == 12 * len(line["cells"]) and line["milliseconds_per_row"] > 0
    assert [pair["first"] for pair in report["pairs"]["all"]] and report["champions"]["0"] == {"prompting": "zero_shot"}
    assert result["table"]["rows"] and result["metrics"]["accuracy"] >= 0.5
    assert json.loads(json.dumps(read_board(recipe, folder))) == report


def test_every_cell_can_be_opened_and_answers_as_it_was_measured(recipe, board):
    folder, result = board
    rows = json.loads((folder / "cells" / "rows" / "cell.json").read_text())["content"]["test"]
    for line in result["board"]["lines"]:
        name = line["cells"][-1]
        answerer = open_cell(recipe, folder, name, ModelPool())
        answers = np.array(answerer.probabilities([row["fields"] for row in rows])).argmax(axis=1)
        kept = json.loads((folder / "cells" / name / "cell.json").read_text())["content"]["predicted"]
        assert [answerer.labels[number] for number in answers] == kept
        why = answerer.why(rows[0]["fields"], answerer.labels[0])
        assert why.reasons and all(0 <= reason.start < reason.end <= len(why.text) for reason in why.reasons)


def test_a_board_that_was_stopped_does_no_cell_twice(recipe, tmp_path):
    recipe = recipe.replace({"job.paradigms": {"classical": ["naive_bayes", "linear_svm"], "prompting": ["zero_shot", "bias"]}})
    control = Control()

    def listen(event):
        if event.get("kind") == "progress" and event["done"] == 4:
            control.request_stop()

    assert run_job(recipe, tmp_path / "run", control, ModelPool(), on_event=listen)["status"] == "stopped"
    cells = sorted((tmp_path / "run" / "cells").glob("*/cell.json"))
    times = {file: file.stat().st_mtime_ns for file in cells}
    assert 4 <= len(cells) < 13 and read_board(recipe, tmp_path / "run")["done"] == len(cells) - 1
    result = run_job(recipe, tmp_path / "run", Control(), ModelPool())
    assert result["status"] == "finished" and {file: file.stat().st_mtime_ns for file in cells} == times


def test_no_test_row_is_ever_seen(recipe, tmp_path):
    """Every row has a word of its own: those of the test rows are in no file that a paradigm gets, no vocabulary and no TF-IDF table."""
    examples = load_splits(recipe.data.model_copy(update={"split": recipe.data.split.model_copy(update={"validation": 0})})).train.examples
    lines = [json.dumps({"text": f"{e.fields['text']} marker{number}q", "label": e.label}) for number, e in enumerate(examples)]
    (tmp_path / "marked.jsonl").write_text("\n".join(lines))
    run_job(recipe.replace({"data.train": str(tmp_path / "marked.jsonl")}), tmp_path / "run", Control(), ModelPool())
    cells = tmp_path / "run" / "cells"
    test = json.loads((cells / "rows" / "cell.json").read_text())["content"]["test"]
    markers = {row["fields"]["text"].split()[-1] for row in test}
    assert len(markers) == 12 and all(marker.startswith("marker") for marker in markers)
    files = list(cells.glob("rows/*/*.jsonl"))
    assert len(files) == 4 and not any(marker in file.read_text() for marker in markers for file in files)
    seen = 0
    for place in cells.glob("*/final"):
        known = set()
        if (place / "linear.json").exists():
            vectorizer = LinearText.load(place).vectorizer
            known = set(vectorizer.vocabulary_)
            assert len(vectorizer.idf_) == len(known)
        if (place / "network.json").exists():
            known = set(NetworkText.load(place).vocabulary.words)
        seen += any(word.startswith("marker") for word in known)
        assert not known & markers
    assert seen == 12  # the training rows' own words are there, so the look was a real one


def test_what_is_trained_does_not_depend_on_what_the_test_rows_say(recipe, tmp_path, monkeypatch):
    """Thresholds and early stopping leave no word behind, but they would change weights."""
    weights = []
    for marked in (False, True):
        if marked:
            monkeypatch.setattr("workbench.paradigms.split.board_rows", _with_other_test_rows)
        folder = tmp_path / str(marked)
        run_job(recipe.replace({"job": JOB | {"seeds": 1}}), folder, Control(), ModelPool())
        files = sorted((folder / "cells").glob("*/final/*.safetensors"))
        weights.append({str(file.relative_to(folder)): file.read_bytes() for file in files})
    assert weights[0] == weights[1] and len(weights[0]) >= 10


def _with_other_test_rows(data, test):
    """The same split with the test rows' texts and labels turned into something else."""
    rows = board_rows(data, test)
    other = {label: rows.labels[-1 - number] for number, label in enumerate(rows.labels)}
    turned = [replace(e, fields={"text": f"{e.fields['text']} marker"}, label=other[e.label]) for e in rows.test]
    return replace(rows, test=turned)


@pytest.mark.parametrize(("job", "words"), [
    ({"paradigms": {"clasical": []}}, "classical"),
    ({"paradigms": {"classical": ["naive_bays"]}}, "naive_bayes"),
    ({"paradigms": {"prompting": ["hard_promt"]}}, "hard_prompt"),
    ({"shots": [-1]}, "-1 examples"),
    ({"shots": [0], "paradigms": {"classical": []}}, "Add 0"),
    ({"shot": [0]}, "shots"),
    ({"seeds": 0}, "seeds"),
])  # fmt: skip
def test_a_mistake_is_a_sentence_before_anything_is_trained(recipe, job, words):
    with pytest.raises(WorkbenchError) as error:
        check_job(recipe.replace({"job": {"kind": "board", **job}}))
    assert words in str(error.value)


def test_a_method_that_cannot_work_is_refused_and_the_others_go_on(recipe, tmp_path):
    """Label words that the model does not know: the prompted cells say so, the linear ones are there."""
    words = {"kind": "manual", "words": {"pos": ["unheard"], "neg": ["of"]}}
    wrong = recipe.replace({"prompt.verbalizer": words, "job": JOB | {"seeds": 1}})
    report = run_job(wrong, tmp_path, Control(), ModelPool())["board"]
    assert {cell["paradigm"] for cell in report["refused"]} == {"prompting"} and "does not know the word" in report["refused"][0]["message"]
    assert {line["paradigm"] for line in report["lines"]} == {"classical", "from_scratch", "fine_tuning"}


def test_pet_is_a_method_of_prompting(recipe, tmp_path, monkeypatch):
    """Two templates with one seed, distilled into one model; the teachers go, the model stays and answers; what it tells is passed on."""
    monkeypatch.setattr("workbench.runs.job.SECONDS_BETWEEN_REPORTS", 0.0)
    told = []
    changes = {
        "prompt.templates": ["{text} it was [MASK] .", "[MASK] . {text}"],
        "pet": {"seeds": 1, "unlabeled": 8, "distill_epochs": 1},
        "job": JOB | {"seeds": 1, "shots": [4], "paradigms": {"prompting": ["pet"]}},
    }
    asked = recipe.replace(changes)
    report = run_job(asked, tmp_path, Control(), ModelPool(), on_event=lambda event: told.append(event.get("text") or ""))["board"]
    assert any(text.startswith("prompting/pet, 4 shots, seed 13: 1/") for text in told)
    assert report["refused"] == [] and [line["method"] for line in report["lines"]] == ["pet"]
    (name,) = report["lines"][0]["cells"]
    assert not (tmp_path / "cells" / name / "cells").exists()
    assert len(open_cell(asked, tmp_path, name, ModelPool()).probabilities([{"text": "the food was nice"}])[0]) == 2


def test_a_recipe_that_asks_for_pet_gives_it_to_no_cell_but_pets_own(recipe, tmp_path):
    job = JOB | {"seeds": 1, "shots": [0, 4], "paradigms": {"fine_tuning": ["frozen"], "prompting": ["zero_shot", "bias"]}}
    asked = recipe.replace({"pet": {"seeds": 1, "unlabeled": 8, "distill_epochs": 1}, "job": job})
    report = run_job(asked, tmp_path, Control(), ModelPool())["board"]
    plain = run_job(recipe.replace({"job": job}), tmp_path / "plain", Control(), ModelPool())["board"]
    assert report["refused"] == [] and not list(tmp_path.glob("cells/*/cells"))
    assert [line["confusion"] for line in report["lines"]] == [line["confusion"] for line in plain["lines"]]


@pytest.mark.parametrize("validation", [0, 8], ids=["test rows", "validation rows"])
def test_a_board_that_only_reads_tells_that_it_is_alive_and_can_be_stopped(recipe, tmp_path, monkeypatch, validation):
    monkeypatch.setattr("workbench.runs.job.SECONDS_BETWEEN_SIGNS", 0.0)
    job = JOB | {"seeds": 1, "shots": [0], "validation": validation, "paradigms": {"prompting": ["zero_shot"]}}
    control = Control()

    def stop(event):
        if event["kind"] == ALIVE:
            control.request_stop()

    assert run_job(recipe.replace({"job": job}), tmp_path, control, ModelPool(), on_event=stop)["status"] == "stopped"


def odd(folder, labels):
    words = {label: f"word{number}" for number, label in enumerate(labels)}
    rows = [{"text": f"the film {words[label]} {number}", "label": label} for label, size in labels.items() for number in range(size)]
    (folder / "odd.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    methods = {"classical": ["naive_bayes", "logistic_regression", "linear_svm"], "from_scratch": ["textcnn"]}
    job = JOB | {"seeds": 1, "shots": [4], "paradigms": methods}
    return recipe_from({"data": {"train": str(folder / "odd.jsonl")}, "job": job}, source="test")


@pytest.mark.parametrize("labels", [
    {f"class {number}": 12 for number in range(10)}, {"common": 150, "rare": 6}, {"a": 40, "b": 40, "single": 1}, {"a": 2, "b": 2},
], ids=["ten", "imbalanced", "single", "tiny"])  # fmt: skip
def test_odd_files_give_a_board_or_a_sentence(tmp_path, labels):
    recipe = odd(tmp_path, labels)
    try:
        report = run_job(recipe, tmp_path / "run", Control(), ModelPool())["board"]
    except WorkbenchError as error:
        assert error.message and error.fix
        return
    assert len(report["lines"]) == 4 and report["labels"] == sorted(labels) and report["refused"] == []
    if 1 in labels.values():
        assert any("none to test on" in note for note in report["notes"])


def test_language_models_are_compared_on_the_same_board(recipe, tmp_path):
    """Each method that starts from a language model has a line per model; the others have one. What is kept is that model's own."""
    other = make_model(tmp_path / "models" / "Other", [*WORDS, "more"])
    job = JOB | {"seeds": 1, "shots": [0, 4], "models": [str(other), recipe.model.path], "paradigms": JOB["paradigms"] | {"classical": []}}
    both = recipe.replace({"job": job})
    folder = tmp_path / "run"
    report = run_job(both, folder, Control(), ModelPool())["board"]
    lines = {(line["method"], line["shots"]): line for line in report["lines"]}
    assert {method for method, _ in lines if "@" in method} == {"zero_shot@Other", "bias@Other", "frozen@Other"}
    assert report["refused"] == [] and ("textcnn", "4") in lines
    assert lines["bias@Other", "4"]["total_parameters"] > lines["bias", "4"]["total_parameters"]
    alone = both.replace({"model.path": str(other), "job": job | {"models": []}})
    apart = {(line["method"], line["shots"]): line for line in run_job(alone, tmp_path / "alone", Control(), ModelPool())["board"]["lines"]}
    for method in ("zero_shot", "bias", "frozen"):
        shots = "0" if method == "zero_shot" else "4"
        assert lines[f"{method}@Other", shots]["confusion"] == apart[method, shots]["confusion"]
    cell = open_cell(both, folder, lines["bias@Other", "4"]["cells"][0], ModelPool())
    assert cell.predictor.recipe.model.path == str(other)
    shutil.rmtree(other)
    assert len(read_board(both, folder)["lines"]) == len(lines)  # what was measured outlives the model
    with pytest.raises(ModelError, match="no model folder"):
        check_job(both)


def test_models_of_one_name_are_told_apart():
    places = ["hub/Qwen", "/models/qwen/", "embedded:tiny-qwen", "own", "hub/Qwen"]
    assert model_names(places, "own") == {"Qwen": "hub/Qwen", "qwen-2": "/models/qwen/", "tiny-qwen": "embedded:tiny-qwen"}


def test_a_model_of_a_very_long_name_has_cells_whose_names_are_folders():
    places = [f"hub/{'long-' * 17}{ending}" for ending in ("one", "two")]
    names = model_names(places, "own")
    assert list(names.values()) == places and len(names) == 2
    for paradigm in map(find_paradigm, paradigm_names()):
        for method in paradigm.known():
            assert all(CELL_NAME.fullmatch(Cell(paradigm.name, f"{method}@{name}", None, 10**9).name) for name in names)


def test_what_could_not_be_done_is_tried_again_when_the_board_goes_on(recipe, tmp_path, monkeypatch):
    paradigms = {"classical": ["naive_bayes"], "from_scratch": ["textcnn"]}
    small = recipe.replace({"job": JOB | {"seeds": 1, "shots": [4], "paradigms": paradigms}})
    fits, times = NetworkText.__init__, []

    def fails_once(self, *given, **named):
        times.append(1)
        if len(times) == 1:
            raise TrainingError("There is not enough memory for this run.")
        fits(self, *given, **named)

    monkeypatch.setattr(NetworkText, "__init__", fails_once)
    assert len(run_job(small, tmp_path, Control(), ModelPool())["board"]["refused"]) == 1
    (tmp_path / "result.json").unlink()  # as after a board that was stopped behind that cell
    report = run_job(small, tmp_path, Control(), ModelPool())["board"]
    assert report["refused"] == [] and {line["paradigm"] for line in report["lines"]} == {"classical", "from_scratch"}


def test_a_full_disk_ends_the_board_and_is_no_finding_about_a_cell(recipe, tmp_path, monkeypatch):
    small = recipe.replace({"job": JOB | {"seeds": 1, "shots": [4], "paradigms": {"prompting": ["bias"]}}})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("workbench.training.run_files.RunFiles.keep_final", full)
        with pytest.raises(DiskError, match="No space left"):
            run_job(small, tmp_path, Control(), ModelPool())
    assert run_job(small, tmp_path, Control(), ModelPool())["board"]["refused"] == []
