"""What Start does: once, with several seeds, or a sweep; the form makes the recipe's `job` and shows it again."""

import gradio as gr
import pytest

from tests.tiny_runs import make_recipe
from tests.ui.served import request_of
from workbench.errors import RunError
from workbench.recipe import Recipe
from workbench.runs.jobs import check_job
from workbench.ui import job_form
from workbench.ui.session import Watch
from workbench.ui.tabs import data, train
from workbench.ui.text import Words, languages

T = Words("en")
EMPTY = [3, 500, "training.epochs", "1, 2", "method", "bias\uff0clora", "", "0.1", 0, 2, {}]


def test_seeds_and_a_sweep_go_into_the_recipe_and_back():
    repeated = Recipe().replace(job_form.set_job(Recipe(), "seeds", *EMPTY))
    assert repeated.job == {"kind": "seeds", "seeds": 3, "held_out": 500} and check_job(repeated).seeds == 3
    choice, seeds, sweep, *filled = job_form.fill(repeated, T)
    assert (choice["value"], seeds["visible"], sweep["visible"]) == ("seeds", True, False) and filled == [3, 500, *[gr.skip()] * 8, {}]
    swept = repeated.replace(job_form.set_job(repeated, "sweep", *EMPTY))
    assert swept.job == {
        "kind": "sweep", "methods": ["bias", "lora"], "fields": {"training.epochs": [1, 2]}, "trials": None, "seeds": 2,
    }  # fmt: skip
    _, seeds, sweep, *filled = job_form.fill(swept, T)
    assert (seeds["visible"], sweep["visible"]) == (False, True)
    assert filled == [gr.skip(), gr.skip(), "method", "bias, lora", "training.epochs", "1, 2", "", "", 0, 2, {}]
    assert swept.replace(job_form.set_job(swept, "train", *EMPTY)) == Recipe()


def test_what_the_form_does_not_show_stays():
    job = {
        "kind": "sweep", "methods": [{"name": "lora", "r": 2}], "templates": ["{text} [MASK]"], "learning_rates": [1e-3], "prune": False,
        "fields": {"training.weight_decay": [0, 0.1], "prompt.max_length": [32, 64], "method.r": [4, 8]}, "seeds": 3,
    }  # fmt: skip
    recipe = Recipe().replace({"job": job, "data.split.validation": 20})
    values = job_form.fill(recipe, T)[3:]
    assert values[2:8] == [job_form.RATE, "0.001", "training.weight_decay", "0, 0.1", "prompt.max_length", "32, 64"]
    again = recipe.replace(job_form.set_job(recipe, "sweep", 5, 1000, *values[2:]))
    moved = {job_form.RATE: [0.001], **job["fields"]}
    assert again.job == {**{name: value for name, value in job.items() if name != "learning_rates"}, "fields": moved, "trials": None}
    seeded = Recipe().replace({"job": {"kind": "seeds", "seeds": 2, "held_out_seed": 7}})
    assert seeded.replace(job_form.set_job(seeded, "seeds", *EMPTY)).job["held_out_seed"] == 7
    for kind in ("board", "search"):
        assert job_form.fill(Recipe().replace({"job": {"kind": kind}}), T)[0]["value"] == "train", "these have buttons of their own"
    for row, kept in enumerate((job_form.RATE, "training.weight_decay", "prompt.max_length")):
        cleared = again.replace(job_form.set_job(again, "sweep", 5, 1000, *values[2 : 2 + 2 * row], "", "", *values[4 + 2 * row :]))
        assert list(cleared.job["fields"]) == [field for field in moved if field != kept]
        after = cleared.replace(job_form.set_job(cleared, "sweep", 5, 1000, *["", ""] * job_form.ROWS, *values[8:]))
        assert after.job["fields"] == {"method.r": [4, 8]}, "what has no row outlives every row"
    odd = recipe.replace({"job": {"kind": "sweep", "fields": {"training.patience": [1]}}})
    assert job_form.fill(odd, T)[5]["value"] == "training.patience"


def test_values_are_numbers_words_and_null():
    assert job_form.typed(" 1, 2.5\u30011e-4 , auto\uff0cnull,, ") == [1, 2.5, 1e-4, "auto", None]
    assert job_form.written([1, 2.5, None, "auto"]) == "1, 2.5, null, auto" and job_form.typed(None) == []


def test_every_field_that_is_offered_can_be_swept(tmp_path):
    recipe = make_recipe(tmp_path)
    for title, field in job_form.varied_choices(T):
        if field.partition(".")[0] not in ("", "method"):
            value = recipe.model_dump()
            for name in field.split("."):
                value = value[name]
            assert check_job(recipe.replace({"job": {"kind": "sweep", "seeds": 2, "fields": {field: [value]}}})), title


def test_the_page_sweeps_and_uses_what_was_best(pages, service, tiny, monkeypatch):
    said = []
    monkeypatch.setattr("workbench.ui.frame.gr.Warning", lambda text, **options: said.append(text))
    handlers = {fn.api_name: fn.fn for fn in pages("en").fns.values()}
    given = ["training.epochs", "1, 2", "method", "bias", "", "", 1, 1, {}]
    draft = handlers["train_job"](request_of(), tiny.model_dump(), "sweep", 5, 1000, *given)[0]
    run = service.submit(Recipe.model_validate(draft))
    assert service.wait(run, 240).status == "finished", service.read(run).error
    shown = train.draw(service, run)
    assert len(shown.result["table"]["rows"]) == 1, "one trial of two combinations"
    best = train.best_recipe(service, Watch(run))
    assert best.kind == "train" and best.method == {"name": "bias"} and best.training.epochs in (1, 2)
    opened = handlers["train_use_best"](request_of(), tiny.model_dump(), Watch(run))
    assert opened[0]["method"]["name"] == "bias" and opened[0]["training"]["epochs"] == best.training.epochs and not said
    with pytest.raises(RunError, match="no best recipe"):
        train.best_recipe(service, Watch(None))


@pytest.mark.parametrize("language", sorted(languages()))
def test_a_field_in_two_rows_and_a_number_out_of_bounds_are_said(pages, tiny, monkeypatch, language):
    said, t = [], Words(language)
    monkeypatch.setattr("workbench.ui.frame.gr.Warning", lambda text, **options: said.append(text))
    handlers = {fn.api_name: fn.fn for fn in pages(language).fns.values()}
    draft = handlers["train_job"](request_of(), tiny.model_dump(), "sweep", *EMPTY)[0]
    twice = [*EMPTY[:4], "training.epochs", "3", *EMPTY[6:]]
    assert handlers["train_job_sweep_values_2"](request_of(), draft, "sweep", *twice) == gr.skip()
    assert len(said) == 1 and t("train.epochs") in said[0] and said[0].endswith(t("repeat.twice_fix"))
    many = [101, *EMPTY[1:]]
    assert handlers["train_job_seeds_seeds"](request_of(), draft, "seeds", *many) == gr.skip() and "101" in said[1]
    assert handlers["train_job"](request_of(), draft, "seeds", *many)[0]["job"] == {"kind": "seeds", "seeds": 5, "held_out": 500}
    assert handlers["train_job"](request_of(), draft, "train", *many)[0]["job"] is None and len(said) == 2


@pytest.mark.parametrize("kind", ["seeds", "sweep"])
def test_who_turns_to_writing_is_not_held_by_a_sweep_or_seeds(pages, tiny, kind):
    swept = tiny.replace(job_form.set_job(tiny, kind, *EMPTY))
    writing, left = data.with_task_again(swept, "generation", None)
    assert writing.job is None and writing.kind == "train" and job_form.fill(writing, T)[0]["value"] == "train"
    assert check_job(writing) is None
    back, _ = data.with_task_again(writing, "classification", left)
    assert back == tiny
    opened = writing.replace({"job": swept.job})  # such a recipe may be opened from a file
    choice = job_form.fill(opened, T)[0]
    assert choice["visible"] and choice["value"] == kind and not job_form.fill(writing, T)[0]["visible"]
    handlers = {fn.api_name: fn.fn for fn in pages("en").fns.values()}
    assert handlers["train_job"](request_of(), opened.model_dump(), "train", *EMPTY)[0]["job"] is None
    assert handlers["data_task"](request_of(), swept.model_dump(), "generation", None)[0]["job"] is None


@pytest.mark.parametrize("kind", ["seeds", "sweep"])
def test_a_generation_is_refused_in_a_sentence_before_it_is_a_run(service, tiny, kind):
    runs = len(service.runs())
    with pytest.raises(Exception, match="classification task"):
        service.submit(tiny.replace({"task": "generation", "job": {"kind": kind}}))
    assert len(service.runs()) == runs
