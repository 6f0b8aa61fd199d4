"""The tabs' view functions, called as they are, over a real service and a real tiny model."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tests.models import baichuan_layout
from tests.prompts.tiny_tokenizers import SENTENCES
from tests.ui.served import request_of
from workbench.errors import DataError, TemplateError, VerbalizerError, WorkbenchError
from workbench.methods import method_info, method_names
from workbench.models.known import NotHereError, tokenizer_here
from workbench.recipe import PRESETS, Recipe, load_recipe
from workbench.runs.answers import check_trainable
from workbench.runs.boards import BoardModels
from workbench.runs.jobs import check_job
from workbench.ui import batch
from workbench.ui.markup import small
from workbench.ui.session import Watch
from workbench.ui.steps import recipe_steps
from workbench.ui.tabs import data, method, model, runs, train, try_it
from workbench.ui.tabs.prompt import editor, live
from workbench.ui.text import Words

T = Words("en")


def test_the_model_card_counts_every_parameter_once(tiny, service):
    shown = model.view(tiny, T)
    assert sum(count for _, count in shown.parts) == sum(p.numel() for p in service.pool.get(tiny.model).model.parameters())
    assert "masked" in model.card_html(shown, T)


def test_a_hub_model_has_its_card_from_the_catalog_and_says_so(tiny, service):
    wanted = tiny.replace({"model": {"path": "Qwen/Qwen2.5-7B-Instruct", "quantization": "fp4", "device": "cpu"}})
    shown = model.view(wanted, T, service.pool)
    assert "published" in shown.note and dict(shown.tiles)[T("card.memory")] == "7.2 GB"  # half a byte a weight, the rest in float32
    half = model.view(wanted.replace({"model.dtype": "bfloat16"}), T, service.pool)
    assert dict(half.tiles)[T("card.memory")] == "5.2 GB" and half.memory[0][1] == 2 * 7_615_616_512, "the card follows the recipe's type"
    html = model.card_html(shown, T)
    assert "7.62B" in html and T("model.quantization_fp4") in html
    with pytest.raises(NotHereError):
        model.view(tiny.replace({"model.path": "owner/never-seen"}), T, service.pool)


def test_the_model_tab_shows_how_four_bit_weights_are_kept_and_multiplied(tiny):
    chosen = tiny.replace({"model.double_quantization": False, "model.compute_dtype": "bfloat16"})
    assert model._filled(chosen, T)[-3:-1] == [False, "bfloat16"] and model._filled(tiny, T)[-3:-1] == [True, "auto"]


def test_what_is_published_in_words_stands_beside_what_was_found(tiny, service, tmp_path):
    rows = {row[0]: row[1:] for row in model.view(tiny.replace({"model.path": "baichuan-inc/Baichuan-7B"}), T, service.pool).published}
    words = "pre-normalisation, RMSNorm, SwiGLU, RoPE, multi-head attention"
    assert rows[T("card.architecture")] == (words, words)
    assert rows[T("card.tokens")] == ("1.2T, Chinese and English", "\u2014"), "no file of a model tells"
    assert rows[T("card.tokenizer")] == ("BPE", "\u2014"), "none is here"
    # A folder of that shape: its tokenizer is looked at, whatever its makers say.
    AutoTokenizer.from_pretrained(PRESETS / "models" / "tiny-zh", trust_remote_code=False).save_pretrained(tmp_path)
    shape = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008}
    shape |= {"num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 64000, "max_position_embeddings": 4096}
    (tmp_path / "config.json").write_text(json.dumps(shape))
    rows = {row[0]: row[1:] for row in model.view(tiny.replace({"model.path": str(tmp_path)}), T, service.pool).published}
    assert rows[T("card.tokenizer")] == ("BPE", "WordPiece")
    rows = {row[0]: row[1:] for row in model.view(tiny.replace({"model.path": "Qwen/Qwen3-0.6B"}), T, service.pool).published}
    assert "grouped-query attention" in rows[T("card.architecture")][1] and T("card.tokens") not in rows


def test_revision_type_and_device_are_shown_as_the_recipe_has_them(tiny):
    chosen = tiny.replace({"model": {"path": "owner/model", "revision": "v2", "dtype": "bfloat16", "device": "cuda:3"}})
    _, _, _, hub, revision, _, dtype, device, *_ = model._filled(chosen, T)
    assert hub["visible"] and revision["visible"] and (revision["value"], dtype, device["value"]) == ("v2", "bfloat16", "cuda:3")
    assert ("cuda:3", "cuda:3") in device["choices"] and ("cpu", "cpu") in device["choices"]
    assert not model._filled(tiny, T)[4]["visible"], "a folder has no revisions"


def test_lengths_are_counted_in_tokens_for_a_folder_that_is_not_loaded(tiny, service):
    assert data.view(tiny, T, tokenizer_here(tiny.model, service.pool)).unit == "tokens"


@pytest.mark.parametrize(
    ("path", "kind"), [("embedded:tiny-en", "embedded"), ("/models/bert", "folder"), ("./bert", "folder"), ("bert-base-uncased", "hub")]
)
def test_where_a_model_comes_from(path, kind):
    assert model.source_of(path) == kind


def test_data_shows_rows_labels_and_lengths(tiny, service):
    shown = data.view(tiny, T, service.pool.get(tiny.model).tokenizer)
    assert shown.label_counts == {"pos": 24, "neg": 24}
    assert sum(shown.lengths) == 48 and len(shown.edges) == len(shown.lengths) + 1
    assert shown.rows[0][0] == "2" and shown.headers == ["Line", "id", "text", "label"]


def test_columns_are_guessed_for_a_new_file():
    rows = [("1", "a long review", "good"), ("2", "another one", "bad"), ("3", "and one more", "bad")]
    assert data.guess_columns(("no", "words", "mark"), rows) == {"text": "words", "label": "mark"}
    with pytest.raises(DataError):
        data.guess_columns(("only",), [("a",)])


def test_chosen_columns_become_fields():
    assert data.named_fields(["review text"], "label", {}) == {"text": "review text", "label": "label"}
    assert data.named_fields(["a b", "c"], "y", {"text": "c"}) == {"a_b": "a b", "text": "c", "label": "y"}


def test_conditions_on_rows_are_lines_and_come_back_as_lines(tiny):
    text = "label = pos\n\nid\uff1d2\n text = a = b "
    recipe = tiny.replace(data.set_only(T, text))
    assert recipe.data.only == {"label": "pos", "id": "2", "text": "a = b"}
    assert data.set_only(T, data.only_lines(recipe)) == {"data.only": recipe.data.only}
    assert data.set_only(T, " ") == {"data.only": {}} and data.only_lines(tiny) == ""
    assert data.view(tiny.replace({"data.only": {"label": "pos"}}), T).label_counts == {"pos": 24}
    for wrong in ("label", "= pos"):
        with pytest.raises(DataError, match=re.escape(wrong)):
            data.set_only(T, wrong)


def test_another_file_brings_its_labels(tmp_path, tiny):
    file = tmp_path / "sources.csv"
    file.write_text("text,label\nab,x\ncd,y\nef,pos\ngh,x\n", encoding="utf-8")
    recipe = data.with_file(tiny, str(file))
    assert recipe.prompt.verbalizer["words"] == {"pos": ["great"], "x": ["x"], "y": ["y"]}


def test_an_upload_is_kept_under_its_content(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("text,label\n", encoding="utf-8")
    kept = data.keep_upload(str(file), tmp_path / "root")
    assert not file.exists()
    file.write_text("text,label\n", encoding="utf-8")
    assert kept == data.keep_upload(str(file), tmp_path / "root") and kept.endswith("/a.csv") and not file.exists()
    (tmp_path / "a.exe").write_text("", encoding="utf-8")
    with pytest.raises(DataError):
        data.keep_upload(str(tmp_path / "a.exe"), tmp_path / "root")


@pytest.mark.parametrize("name", [
    "a\u202egnp.csv", "\u200dx\u200d.csv", "e\u0301\U0001f600.csv", "评论 一.csv", "<img src=x>.csv", "a" * 200 + ".csv", "..csv", "-x.csv",
])  # fmt: skip
def test_an_upload_is_stored_under_a_plain_name(tmp_path, name):
    file = tmp_path / name
    file.write_text("text,label\na,b\n", encoding="utf-8")
    kept = Path(data.keep_upload(str(file), tmp_path / "root"))
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,80}", kept.name) and kept.suffix == ".csv" and kept.is_file()


def test_the_preview_shows_tokens_and_answers(tiny, service):
    shown = live.view(service, tiny)
    html = live.preview_html(shown, T)
    assert len(shown.rows) == live.ROWS_SHOWN and html.count("pw-role-mask") == live.ROWS_SHOWN + 1
    assert all(sum(row.class_probabilities.values()) == pytest.approx(1, abs=1e-5) for row in shown.rows)


def test_the_preview_says_the_mass_of_words_of_several_tokens_and_names_each_blank(tiny, service):
    for words, blanks, masses in (
        ({"pos": ["great food"], "neg": ["bad food"]}, [(1, 2), (2, 2)], [2]),
        ({"pos": ["great", "lovely food"], "neg": ["bad"]}, [(1, 2), (2, 2)], [1, 2]),
    ):
        shown = live.view(service, tiny.replace({"prompt.verbalizer": {"kind": "manual", "words": words}}))
        html = live.preview_html(shown, T)
        assert all(T("prompt.top_of", number=number, masks=masks) in html for number, masks in blanks)
        told = [masks for masks in (1, 2, 3) if f">{T('prompt.read_at', masks=masks)}<" in html]
        assert told == (masses if len(masses) > 1 else []), "several prompts are told apart"
        assert (T("prompt.top") in html) == (1 in masses)
        for row in shown.rows:
            assert list(row.masses) == masses
            assert all(T("prompt.mass_of", masks=masks, share=small(share)) in html for masks, share in row.masses.items())


def test_a_wrong_template_is_marked_where_it_is_wrong(tiny, service):
    templates = ["{text} it was [MASK] .", "{text} <i> [MASC]"]
    with pytest.raises(WorkbenchError) as error:
        live.view(service, tiny.replace({"prompt.templates": templates}))
    html = live.error_html(error.value, templates, T)
    assert "<mark>" in html and "<i>" not in html


def test_soft_tokens_that_the_method_cannot_train_are_said_in_the_preview_and_refused_at_the_start(tiny, service):
    soft = tiny.replace({"prompt.templates": ["[SOFT*3] {text} it was [MASK] ."], "method": {"name": "full"}})
    said = live.untrainable_html(soft, T)
    assert "only a method that trains them can fill" in said and "choose a soft prompt method" in said and "<mark>" in said
    with pytest.raises(TemplateError, match="only a method that trains them can fill"):
        service.submit(soft)
    sweep = {"kind": "sweep", "methods": [{"name": "soft_prompt"}, {"name": "full"}]}
    for job in ({"kind": "seeds"}, sweep, {"kind": "board", "shots": [0, 4]}):
        with pytest.raises(TemplateError, match="only a method that trains them can fill"):
            check_job(soft.replace({"job": job}))
    assert next(step for step in recipe_steps(soft, T) if step.tab == "method").state == "wrong"
    for name in ("soft_prompt", "p_tuning"):
        assert live.untrainable_html(soft.replace({"method": {"name": name}}), T) == ""
        check_trainable(soft.replace({"method": {"name": name}}))


def test_templates_beyond_the_boxes_are_said_and_an_emptied_box_takes_none_of_them(tiny):
    sources = [f"{{text}} number {number} [MASK]" for number in range(editor.MOST_TEMPLATES + 3)]
    recipe = tiny.replace({"prompt.templates": sources})
    *boxes, rest, unboxed = editor.fill(recipe, T)[: editor.MOST_TEMPLATES + 2]
    assert [box["value"] for box in boxes] == sources[:-3] and rest.templates == sources[-3:]
    assert unboxed["visible"] and "3 more templates" in unboxed["value"]
    typed = ["", *(box["value"] for box in boxes[1:])]
    for change in ("", " and"):  # what is typed after a box was emptied once lost the first of the others
        typed[1] += change
        recipe = recipe.replace(editor.set_templates(recipe, *typed, rest))
        assert recipe.prompt.templates == [*typed[1:], *sources[-3:]]
    assert not editor.fill(tiny, T)[editor.MOST_TEMPLATES + 1]["visible"]


def test_label_words_go_into_the_table_and_back():
    words = {"good": ["great", "fine"], "bad": {"awful": 1.0, "poor": 0.5}}
    recipe = Recipe().replace({"prompt.verbalizer": {"kind": "manual", "words": words}})
    rows = editor.verbalizer_rows(recipe)
    assert rows == [["good", "great, fine"], ["bad", "awful, poor*0.5"]]
    assert editor.verbalizer_words(rows) == words
    assert editor.verbalizer_words([["好评", "好，棒、赞"]]) == {"好评": ["好", "棒", "赞"]}
    assert editor.verbalizer_words([["good", "great*"]]) == {"good": ["great"]}, "heard while the weight is being typed"
    with pytest.raises(VerbalizerError):
        editor.verbalizer_words([["good", "great*much"]])


@pytest.mark.parametrize("name", method_names())
def test_a_method_counts_what_it_trains_and_leaves_the_model_alone(name, tiny, service):
    recipe = tiny.replace({"method": {"name": name}})
    before = {key: value.clone() for key, value in service.pool.get(tiny.model).model.state_dict().items()}
    shown = method.view(service, recipe)
    # A prefix's MLP, dropped after training, is larger than the whole of so small a model.
    assert shown.trainable > 0 and (shown.trainable <= shown.total or name == "prefix_tuning")
    after = service.pool.get(tiny.model).model.state_dict()
    assert before.keys() == after.keys() and all((before[key] == after[key]).all() for key in before)
    assert method.view_html(shown, T)


def test_a_run_is_drawn_once(service, finished):
    shown = train.view(service, Watch(finished))
    assert shown.id == finished and shown.status == "finished" and shown.step == shown.total_steps
    assert shown.evaluations[0]["step"] == 0, "the first point is the model before training"
    assert train.view(service, shown.watch) is None
    assert T("train.zero_shot") in train.status_html(shown, T)
    told = train.confusion_html(shown, T)
    assert "pw-hit" in told and T("train.per_class", step=shown.total_steps) in told
    best = max(event["step"] for event in shown.evaluations if event["best"])
    assert T("train.telling", step=best) in told and shown.telling["rows"][0]["text"] in told
    assert len(train.loss_figure(shown, T).data) == 3 and len(train.accuracy_figure(shown, T).data) == 2


def test_a_run_s_charts_follow_their_options(service, finished):
    shown = train.draw(service, finished)
    best = max(event["step"] for event in shown.evaluations if event["best"])
    assert [shape.x0 for figure in (train.loss_figure, train.accuracy_figure) for shape in figure(shown, T).layout.shapes] == [best] * 2
    rough = train.loss_figure(shown, T, train.options_of(0.0, True, []))
    assert list(rough.data[0].y) == list(rough.data[1].y) and rough.layout.yaxis.type == "log"
    assert train.rates_figure(shown, T) is None
    figure = train.rates_figure(shown, T, train.options_of(None, None, ["gradient_norm", "learning_rate", "else"]))
    assert [len(trace.x) for trace in figure.data] == [shown.total_steps] * 2
    assert list(figure.data[0].y) == pytest.approx([event["learning_rate"] for event in shown.steps], rel=1e-6)
    costs = train.rates_figure(shown, T, train.options_of(None, None, ["memory_bytes", "examples_per_second"]))
    assert list(costs.data[0].y) == pytest.approx([event["examples_per_second"] for event in shown.steps], rel=1e-6)
    assert list(costs.data[1].y) == pytest.approx([event["memory_bytes"] / 2**20 for event in shown.steps], rel=1e-6)


def test_charts_are_drawn_anew_for_an_evaluation_a_status_or_after_a_moment_not_for_every_step(service, finished):
    shown = train.view(service, Watch(finished))
    assert not train.charts_wait(shown, Watch(finished)), "a fresh page draws at once"
    assert train.charts_wait(shown, shown.watch)
    assert not train.charts_wait(shown, replace(shown.watch, charted=shown.watch.charted - train.CHARTS_EVERY))
    for changed in ({"run": "another"}, {"mark": "running"}, {"measured": shown.watch.measured - 1}):
        assert not train.charts_wait(shown, replace(shown.watch, **changed))


def test_a_run_shows_its_own_recipe_once_it_has_ended(service, finished, tiny):
    shown = train.draw(service, finished)
    assert "learning_rate: 0.003" in shown.recipe and "learning_rate: 0.003" in train.recipe_html(shown, T)
    assert train.recipe_html(replace(shown, status="running"), T) == ""


def test_buttons_follow_the_status_and_something_can_always_be_started():
    assert train.buttons(None) == {"start": True, "pause": False, "resume": False, "stop": False}
    assert train.buttons("running") == {"start": True, "pause": True, "resume": False, "stop": True}
    assert train.buttons("paused") == {"start": True, "pause": False, "resume": True, "stop": True}
    assert train.buttons("interrupted") == {"start": True, "pause": False, "resume": True, "stop": False}


def test_a_sentence_is_answered_before_and_after(service, finished):
    assert finished in [value for _, value in try_it.choices(service, T)]
    shown = try_it.view(service, BoardModels(), finished, "base", {"text": "the food was lovely"}, why=True)
    html = try_it.answer_html(shown, T)
    assert shown.beside.prediction.probabilities != shown.tuned.prediction.probabilities
    assert html.count("pw-answer") == 2 and html.count("pw-why") == 2
    why = shown.tuned.why
    weights = {why.text[reason.start : reason.end]: reason.weight for reason in why.reasons}
    (whole,), (without,) = (service.predictor(finished).predict([{"text": text}]) for text in (why.text, "the  was lovely"))
    label = whole.label
    assert set(weights) == {"the", "food", "was", "lovely"}
    assert weights["food"] == pytest.approx(math.log(whole.probabilities[label] / without.probabilities[label]), abs=1e-5)


def test_a_file_comes_back_with_the_answers(service, finished, tmp_path):
    rows = "id,text\n1,the food was lovely\n2,the food was awful\n"
    (tmp_path / "new.csv").write_text(rows, encoding="utf-8")
    shown = batch.view(service, BoardModels(), finished, str(tmp_path / "new.csv"), tmp_path / "out")
    answers = shown.file.read_text(encoding="utf-8").splitlines()
    assert shown.rows == 2 and sum(shown.counts.values()) == 2 and answers[0] == "id,text,prediction,probability_neg,probability_pos"
    assert len(answers) == 3 and answers[1].startswith("1,the food was lovely,") and "2" in batch.view_html(shown, T)
    (tmp_path / "bad.csv").write_text("id,words\n1,x\n", encoding="utf-8")
    with pytest.raises(DataError, match="no column 'text'"):
        batch.view(service, BoardModels(), finished, str(tmp_path / "bad.csv"), tmp_path / "out")


def test_runs_are_listed(service, finished):
    row = next(row for row in runs.view(service, T) if row.id == finished)  # other tests use the same service
    assert (row.status, row.method) == ("finished", "Full fine-tuning")


def test_a_run_tells_when_it_was_started_on_which_rows_and_what_was_written_about_it(service, finished):
    service.annotate(finished, tags="first, <best>", note="kept for the talk")
    shown = train.draw(service, finished)
    service.annotate(finished, tags="", note="")
    told = train.status_html(shown, T)
    assert "first, &lt;best&gt;" in told and "kept for the talk" in told and re.search(r"Started \d{4}-\d\d-\d\d \d\d:\d\d", told)
    assert re.fullmatch(r"[0-9a-f]{64}", shown.plan["data"]) and shown.plan["data"][:12] in told


def test_a_run_of_long_words_leaves_the_table_of_runs_its_other_columns(service, finished):
    shelf, row = runs.Shelf(service, T), next(row for row in runs.view(service, T) if row.id == finished)
    (cells,) = shelf.table([replace(row, name="name " * 40, tags="tag " * 40, note="note " * 40, model="m" * 200)])["data"]
    assert max(map(len, cells)) <= runs.LONGEST_NAME and cells[-1] == finished and len(cells[1]) == runs.LONGEST_TAGS


def test_a_job_is_drawn_with_its_parts_and_its_table(service, finished):
    from dataclasses import replace

    shown = train.view(service, Watch(finished))
    result = {"table": {"columns": ["template", "accuracy"], "rows": [["<b>", 0.5], ["other", None]]}}
    job = replace(shown, kind="search", status="running", step=2, total_steps=5, doing="pattern 2", result=result)
    assert "Part 2 of 5" in train.status_html(job, T) and "pattern 2" in train.status_html(job, T) and "Search" in train.status_html(job, T)
    report = train.confusion_html(job, T)
    assert 'data-csv="search"' in report and "50.0%" in report and "<b>" not in report and "Template" in report


def test_a_jobs_accuracies_are_drawn_with_their_spread():
    from workbench.ui.job_report import report_figure

    columns = ["what", "template", "accuracy", "accuracy_std"]
    patterns = [["pattern", "{text} a", 0.7, 0.05], ["pattern", "{text} b", 0.98, 0.05]]
    rows = [["zero_shot", None, 0.5, None], *patterns, ["ensemble", None, None, None]]
    (points,) = report_figure({"table": {"columns": columns, "rows": rows}}, T).data
    assert list(points.x) == [0.5, 0.7, 0.98] and len(set(points.y)) == 3
    assert [round(v, 6) for v in points.error_x.array] == [0, 0.05, 0.02], "no accuracy is above 1"
    assert report_figure({"table": {"columns": ["text"], "rows": [["x"]]}}, T) is None


def test_a_search_is_followed_until_its_candidates_are_cards(service, tiny):
    from workbench.ui.tabs.prompt import machine

    recipe = tiny.replace({"data.split.shots": 4})
    wanted = machine.asked(recipe, "words").replace({"job.count": 2, "job.rows": 8})
    assert wanted.kind == "search" and machine.asked(wanted, "trigger").job["how"] == "trigger"
    run = service.submit(wanted)
    assert machine.view(service, run).working
    assert service.wait(run, 120).status == "finished"
    shown = machine.view(service, run)
    assert not shown.working and shown.found == 2 and "2" in machine.view_html(shown, T)
    assert machine.view(service, "20200101-0000-abcdef") is None and machine.view_html(None, T) == ""


def test_loading_can_be_cancelled_where_it_stands(tiny, pages, service, monkeypatch):
    blocks = pages("en")
    handlers = {fn.api_name: fn.fn for fn in blocks.fns.values() if fn.api_name in ("model_load", "model_cancel")}
    asked = request_of()
    stages = []

    def get(part, progress):
        for share in (0.1, 0.5, 0.9):
            progress("download", share)
            stages.append(share)
            handlers["model_cancel"](asked, asked)

    monkeypatch.setattr(service.pool, "get", get)
    warned = []
    monkeypatch.setattr("workbench.ui.frame.gr.Warning", lambda text, **options: warned.append(text))
    handlers["model_load"](asked, asked, tiny.model_dump(), lambda *values, **options: None)
    assert stages == [0.1] and "cancelled" in warned[0]


def test_a_conversion_can_be_cancelled_where_it_stands(tmp_path, pages, monkeypatch):
    monkeypatch.setattr("workbench.models.baichuan.PART_BYTES", 2**16)
    monkeypatch.setattr("workbench.models.transfer.SECONDS_BETWEEN_REPORTS", 0)
    config = baichuan_layout.SMALL | {"vocab_size": 1024}
    baichuan_layout.write(tmp_path / "source", config, baichuan_layout.small_sentencepiece(tmp_path, SENTENCES, 1024))
    handlers = {fn.api_name: fn.fn for fn in pages("en").fns.values() if fn.api_name in ("model_convert", "model_convert_cancel")}
    asked, told, warned = request_of(), [], []

    def tell(share, desc):
        told.append(desc)
        if len(told) == 2:
            handlers["model_convert_cancel"](asked, asked)

    monkeypatch.setattr("workbench.ui.frame.gr.Warning", lambda text, **options: warned.append(text))
    handlers["model_convert"](asked, asked, str(tmp_path / "source"), str(tmp_path / "llama"), tell)
    assert len(told) == 2 and told[0].startswith("Converting, 0 ") and "cancelled" in warned[0]
    assert {file.name for file in tmp_path.iterdir() if file.is_dir()} == {"source"}
    handlers["model_convert"](asked, asked, str(tmp_path / "source"), str(tmp_path / "llama"), lambda share, desc: None)
    assert (tmp_path / "llama" / "config.json").exists() and len(warned) == 1


def test_a_sweep_is_drawn_as_parallel_coordinates():
    from workbench.ui.job_report import sweep_figure

    columns = ["method", "template", "learning_rate", "accuracy", "macro_f1", "loss", "seeds", "seconds"]
    rows = [
        [method, template, rate, 0.5 + place / 10, 0.5, 0.6, 1, 2.0]
        for place, (method, template, rate) in enumerate(
            [("lora", "{text} [MASK]" + "x" * 60, 1e-3), ("lora", "{text} [MASK]" + "x" * 61, 1e-4), ("full", "{text} [MASK]", 1e-4)]
        )
    ]
    (trace,) = sweep_figure({"table": {"columns": columns, "rows": rows}}, T).data
    template, method, rate, accuracy, *_ = trace.dimensions
    assert list(method.ticktext) == ["LoRA", "Full fine-tuning"] and list(method["values"]) == [0, 0, 1]
    assert len(set(template.ticktext)) == 3 and template.ticktext[2] == "{text} [MASK]"
    assert list(rate["values"]) == [-3, -4, -4] and list(accuracy["values"]) == [0.5, 0.6, 0.7] == list(trace.line.color)
    same = [[*row[:2], 1e-3, *row[3:]] for row in rows[:1]]
    assert sweep_figure({"table": {"columns": columns, "rows": same}}, T) is None


def test_a_single_text_column_keeps_the_field_that_the_template_uses():
    assert data.named_fields(["review"], "label", {"review": "review", "label": "label"}) == {"review": "review", "label": "label"}
    assert data.named_fields(["words"], "label", {}) == {"text": "words", "label": "label"}


def test_a_published_model_comes_into_the_recipe_and_leaves_the_rows_alone(tiny):
    chosen = model.with_entry(tiny, "bert-base-uncased-pet")
    assert chosen.model.path == "google-bert/bert-base-uncased" and chosen.data == tiny.data
    assert chosen.prompt.templates == tiny.prompt.templates and chosen.name == tiny.name
    assert chosen.pet is None, "one pattern is no ensemble"
    several = tiny.replace({"prompt.templates": [*tiny.prompt.templates, "{text} [MASK]"]})
    assert model.with_entry(several, "bert-base-uncased-pet").pet is not None
    same = model.with_entry(load_recipe("en-sentiment-lora"), "bert-base-uncased-pet")
    assert len(same.prompt.templates) == 4 and same.kind == "pet", "the same rows take the entry's own patterns"


def test_another_model_does_not_keep_the_revision_of_the_one_before(tiny):
    before = tiny.replace({"model.path": "one/model", "model.revision": "v2"})
    assert model._assign_path(before, "other/model") == {"model.path": "other/model", "model.revision": None}
    assert model._assign_path(before, " one/model ") == {"model.path": "one/model"}


def test_a_run_that_was_deleted_makes_room_for_the_newest(service, finished):
    assert train.view(service, Watch("20200101-0000-aaaaaa")).id == train.newest(service)


def test_a_method_comes_back_with_what_was_set_in_its_form():
    values = [option.default for name in method_names() for option in method_info(name).fields]
    places = [(name, option.name) for name in method_names() for option in method_info(name).fields]
    assert method.chosen_method("lora", values) == {"name": "lora"}
    values[places.index(("lora", "r"))] = 32
    assert method.chosen_method("lora", values) == {"name": "lora", "r": 32} and method.chosen_method("full", values) == {"name": "full"}
    values[places.index(("lora", "r"))] = 100_000
    assert method.chosen_method("lora", values) == {"name": "lora"}, "what is no choice is left to the defaults"
