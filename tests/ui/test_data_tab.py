"""The tab Data beside its training file: other files, encodings, files too large for memory, guesses, and what a training would take."""

import csv
import time

import gradio as gr
import pytest

from workbench.access import Places, Principal, Role, acting_as
from workbench.data import streams
from workbench.data.readers import read_table
from workbench.errors import AccessError, DataError
from workbench.recipe import PRESETS, Recipe
from workbench.ui import rows
from workbench.ui.data_view import extra_view, labelled_view
from workbench.ui.steps import recipe_steps
from workbench.ui.tabs import data, data_files
from workbench.ui.text import Words, languages

T = Words("en")
BIG5 = [
    ("這部電影真的非常好看，值得一看再看。", "好"), ("房間有霉味，隔音很差，非常失望。", "差"),
    ("下次還會選擇這裏。", "好"), ("退貨手續很麻煩。", "差"),
]  # fmt: skip


def write(file, lines, header=("text", "label"), encoding="utf-8"):
    with open(file, "w", encoding=encoding, newline="") as stream:
        csv.writer(stream).writerows([header, *lines])
    return str(file)


def labelled(count, classes=2, start=0):
    return [(f"text number {n}", f"class {n % classes}") for n in range(start, start + count)]


@pytest.fixture
def recipe(tmp_path):
    train = write(tmp_path / "train.csv", labelled(40))
    return data.with_file(Recipe().replace({"data.split": {"shots": None, "validation": 10, "seed": 13}}), train)


def state(recipe):
    return next(step for step in recipe_steps(recipe, T) if step.tab == "data")


def test_validation_and_unlabelled_files_are_chosen_counted_and_cleared(recipe, tmp_path):
    held = write(tmp_path / "held.csv", [*labelled(6, start=100), ("", "class 0"), ("no label", "")])
    more = write(tmp_path / "more.csv", [("one",), ("two",), (" ",)], ("text",))
    chosen = data_files.with_extra(data_files.with_extra(recipe, "validation", held), "unlabeled", more)
    shown = data_files.extras(chosen)
    assert (shown["validation"].rows, shown["validation"].left_out) == (6, 2)
    assert (shown["unlabeled"].rows, shown["unlabeled"].left_out) == (2, 1)
    html = data_files.status_html(shown, T)
    assert "held.csv: 6 rows" in html and "more.csv: 2 rows" in html and "text or label is missing: 2" in html
    taken = labelled_view(chosen, T).taken
    assert [value for _, value in taken.facts] == ["40", "6", "2"] and taken.problem is None and state(chosen).state == "done"
    cleared = data_files.with_extra(data_files.with_extra(chosen, "validation", data_files.NONE), "unlabeled", None)
    assert cleared.data == recipe.data and data_files.status_html(data_files.extras(cleared), T) == ""


@pytest.mark.parametrize("role", data_files.ROLES)
def test_columns_that_do_not_match_are_told_at_once(recipe, tmp_path, role):
    other = write(tmp_path / "other.csv", [("a", "class 0")], ("review", "label"))
    chosen = data_files.with_extra(recipe, role, other)
    shown = data_files.extras(chosen)[role]
    assert "no column 'text'" in shown.problem[0] and "review" in shown.problem[1]
    assert "pw-problem" in data_files.status_html(data_files.extras(chosen), T)
    assert state(chosen).state == "wrong" and "other.csv" in state(chosen).problem
    assert "other.csv" in labelled_view(chosen, T).taken.problem[0]


def test_unlabelled_rows_need_no_label_column_and_a_label_unknown_to_training_is_told(recipe, tmp_path):
    other = write(tmp_path / "other.csv", [("a", "class 9")])
    unlabelled = write(tmp_path / "rows.csv", [("a",)], ("text",))
    assert data_files.extras(data_files.with_extra(recipe, "unlabeled", unlabelled))["unlabeled"].rows == 1
    problem = labelled_view(data_files.with_extra(recipe, "validation", other), T).taken.problem
    assert "class 9" in problem[0]


def test_a_model_that_writes_has_no_use_for_rows_without_answers(recipe, tmp_path):
    asked = write(tmp_path / "asked.csv", [("q", "a"), ("q", "")], ("question", "answer"))
    writing = data.with_file(recipe.replace({"task": "generation"}), asked)
    chosen = data_files.with_extra(writing, "validation", asked)
    assert set(data_files.extras(chosen)) == {"validation"} and data_files.extras(chosen)["validation"].rows == 1
    assert [update["visible"] for update in data_files.filled(chosen, T)[1::2]] == [True, False]


def test_visitors_read_presets_and_uploads_only(recipe, tmp_path):
    outside = write(tmp_path / "outside.csv", labelled(4))
    inside = (PRESETS / "data" / "en_movie_reviews.csv").as_posix()
    visitor = Principal("visitor", Role.VISITOR, Places(data=(PRESETS,)))
    chosen = data.with_file(Recipe(), inside)
    with acting_as(visitor):
        refused = extra_view(data_files.with_extra(chosen, "validation", outside), "validation")
        assert refused.rows == 0 and "presets" in refused.problem[0]
        assert extra_view(data_files.with_extra(chosen, "unlabeled", inside), "unlabeled").rows > 0
        with pytest.raises(AccessError):
            rows.splits(data_files.with_extra(chosen, "validation", outside))


def test_the_same_rows_are_not_shown_to_those_who_may_not_read_them(recipe):
    """What was read for one person is kept for the next who asks, who may be somebody else."""
    assert len(rows.splits(recipe).train) == 30
    with acting_as(Principal("visitor", Role.VISITOR, Places(data=(PRESETS,)))), pytest.raises(AccessError):
        rows.splits(recipe)


def test_rows_that_stand_in_both_files_are_shown_before_training(recipe, tmp_path):
    held = write(tmp_path / "held.csv", [*labelled(3), *labelled(3, start=100)])
    taken = labelled_view(data_files.with_extra(recipe, "validation", held), T).taken
    assert any("3 training rows removed, because the same text stands in validation" in note for note in taken.notes)
    assert [value for _, value in taken.facts] == ["37", "6"]
    told = data.about_html(labelled_view(data_files.with_extra(recipe, "validation", held), Words("zh")), [], Words("zh"))
    assert "删去了 3 行训练数据，因为验证集里有相同的文本。" in told


def test_few_shots_few_validation_rows_and_gaps_are_shown_before_training(recipe, tmp_path):
    few = write(tmp_path / "few.csv", [*labelled(12), ("", "class 0"), ("no label", " ")])
    chosen = data.with_file(recipe.replace({"data.split.shots": 8, "data.split.validation": 100}), few)
    notes = "\n".join(labelled_view(chosen, T).taken.notes)
    assert "fewer than the 8 shots" in notes and "validation rows instead of 100" in notes
    assert "1 row without text left out (line 14)" in notes and "1 row without label left out (line 15)" in notes


def test_what_cannot_be_split_is_said_where_the_rows_are_seen(recipe, tmp_path):
    alike = write(tmp_path / "alike.csv", [(f"text {n}", "same") for n in range(10)])
    shown = labelled_view(data.with_file(recipe, alike), T)
    assert "every row has the label 'same'" in shown.taken.problem[0] and shown.label_counts == {"same": 10}
    assert "pw-problem" in data.about_html(shown, [], T)


def test_a_file_whose_encoding_cannot_be_told_is_taken_and_asks_for_it(recipe, tmp_path):
    file = write(tmp_path / "big5.csv", BIG5, ("評論", "標記"), "big5hkscs")
    asked = data.with_file(recipe, file)
    assert asked.data.train == file and data_files.doubtful(asked) and state(asked).state == "wrong"
    assert data_files.encoding_update(asked, T)["elem_classes"] == []
    with pytest.raises(DataError, match="encoding"):
        data.view(asked, T)
    chosen, guess = data.proposed(asked, data.with_encoding(asked, "big5"))
    assert chosen.data.columns == {"text": "評論", "label": "標記"} and set(chosen.prompt.verbalizer["words"]) == {"好", "差"}
    assert read_table(file, encoding="big5").rows == BIG5 and data.view(chosen, T).rows[0][1:] == list(BIG5[0])
    assert state(chosen).state == "done" and data.proposal(chosen, guess, T)
    assert data.with_file(chosen, recipe.data.train).data.encoding == "auto", "another file is looked at anew"


def test_an_encoding_that_was_judged_is_said_and_can_be_changed(recipe, tmp_path):
    simplified = [("这部电影真的很好看，演员也不错。", "好"), ("房间太小了，服务态度很差。", "差")] * 4
    file = write(tmp_path / "gbk.csv", [(f"{text}{n}", label) for n, (text, label) in enumerate(simplified)], encoding="gbk")
    chosen = data.with_file(recipe, file)
    assert data_files.doubtful(chosen) and any("gb18030" in note for note in data.view(chosen, T).notes)
    assert data.view(chosen, T).rows[0][1].startswith(simplified[0][0])
    assert data_files.encoding_update(recipe, T)["elem_classes"] == ["pw-more"], "no doubt, so it waits behind all fields"
    assert ("koi8-r", "koi8-r") in data_files.encodings("koi8-r", T), "what a recipe names is listed"


def test_a_file_too_large_for_memory_is_shown_by_its_first_rows(recipe, tmp_path, monkeypatch):
    file = write(tmp_path / "large.csv", [(f"text number {n}", f"class {n % 3}") for n in range(3000)], ("words", "kind"))
    monkeypatch.setattr(streams, "LARGE_BYTES", 20_000)
    monkeypatch.setattr(streams, "SAMPLED_ROWS", 500)
    chosen, guess = data.proposed(recipe, data.with_file(recipe.replace({"data.split.shots": 4}), file))
    assert chosen.data.split.shots is None and chosen.data.columns == {"text": "words", "label": "kind"} and guess
    assert state(chosen).state == "done" and len(chosen.prompt.verbalizer["words"]) == 3
    shown = data.view(chosen, T)
    assert sum(shown.label_counts.values()) == 500 and shown.facts[0][1] == "first 500" and shown.taken.problem is None
    assert any("first 500 rows are shown" in note for note in shown.notes)
    streams.check_rows(chosen.data)
    for wrong in ({"data.split.shots": 4}, {"data.soft_labels": "p_"}):
        refused = chosen.replace(wrong)
        assert "needs a training file of at most" in data.view(refused, T).taken.problem[0]
        with pytest.raises(DataError):
            streams.check_rows(refused.data)
    for needs_all in (chosen.replace({"data.only": {"kind": "class 1"}}), chosen.replace({"task": "generation"})):
        assert state(needs_all).state == "wrong" and "larger than" in state(needs_all).problem
    assert "larger than" in data_files.extras(data_files.with_extra(chosen, "validation", file))["validation"].problem[0]


def test_the_first_rows_of_a_large_file_cost_no_more_memory_than_they_hold(tmp_path, monkeypatch):
    import tracemalloc

    file = tmp_path / "large.jsonl"
    with file.open("w", encoding="utf-8") as stream:
        for number in range(300):
            stream.write(f'{{"text": "{"word " * 40_000}{number}", "label": "a"}}\n')
    monkeypatch.setattr(streams, "LARGE_BYTES", 1_000_000)
    monkeypatch.setattr(streams, "FIRST_CHARACTERS", 2_000_000)
    tracemalloc.start()
    found = rows.table(str(file))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not found.whole and len(found) == 10 and file.stat().st_size > 60_000_000 and peak < 20_000_000
    endless = tmp_path / "endless.csv"
    endless.write_text("text,label\n" + "a" * 3_000_000, encoding="utf-8")
    monkeypatch.setattr(streams, "LONGEST_LINE", 100_000)
    with pytest.raises(DataError, match="line 2: the line has over 100,000 characters"):
        rows.table(str(endless))


def test_guessed_columns_are_a_proposal_until_somebody_chooses(recipe, tmp_path):
    file = write(tmp_path / "new.csv", [("great stuff to read", "up"), ("dull", "down"), ("fine", "up")], ("words", "mark"))
    chosen, guess = data.proposed(recipe, data.with_file(recipe, file))
    (note,) = data.proposal(chosen, guess, T)
    assert "Text columns: words; Label column: mark" in note
    assert "文本列：words；标签列：mark" in data.proposal(chosen, guess, Words("zh"))[0]
    assert data.proposal(chosen, None, T) == [] and data.proposal(recipe, guess, T) == []
    assert note in data.about_html(labelled_view(chosen, T), [note], T)
    assert data.proposed(recipe, data.with_file(recipe, recipe.data.train))[1] is None, "columns that fit are no guess"


@pytest.mark.parametrize("language", languages())
def test_the_handlers_stand_in_the_page_and_hide_what_is_seldom_needed(pages, language):
    built = pages(language)
    names = {fn.api_name for fn in built.fns.values()}
    assert {"data_validation", "data_validation_upload", "data_unlabeled", "data_unlabeled_upload", "data_encoding"} <= names
    parts = {block.elem_id: block for block in built.blocks.values() if getattr(block, "elem_id", None)}
    assert "pw-more" in parts["data-encoding"].elem_classes and not parts["data-more"].open
    assert isinstance(parts["data-validation"], gr.Dropdown) and isinstance(parts["data-unlabeled-upload"], gr.UploadButton)


def test_fifty_thousand_rows_and_twenty_classes_are_shown_in_seconds(tmp_path):
    lines = [(f"text number {n} of a file that is as long as people have them", f"class {n % 20:02}") for n in range(49_990)]
    file = write(tmp_path / "many.csv", [*lines, *lines[:10]])
    began = time.process_time()
    chosen = data.with_file(Recipe().replace({"data.split.shots": None}), file)
    shown = data.view(chosen, T)
    seconds = time.process_time() - began
    assert len(shown.label_counts) == 20 and sum(shown.label_counts.values()) == sum(shown.lengths) == 50_000
    assert dict(shown.facts)["Duplicates"] == "10" and dict(shown.taken.facts)["To validate on"] == "200"
    assert len(shown.rows) == 8 and len(chosen.prompt.verbalizer["words"]) == 20
    assert seconds < 15, "of this process, whatever else the machine does"
    began = time.process_time()
    data.view(chosen, T)
    assert time.process_time() - began < 5
