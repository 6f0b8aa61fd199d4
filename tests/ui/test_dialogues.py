"""Text generation in the tabs Data and Prompt: columns, what is learnt, and what the untuned model answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tests.training.test_generation import save_qwen
from workbench.data.conversations import conversations
from workbench.data.readers import read_table
from workbench.errors import DataError, ModelError
from workbench.recipe import Recipe
from workbench.ui import data_view, dialogues
from workbench.ui.rows import dataset
from workbench.ui.tabs import data
from workbench.ui.tabs.prompt import editor, writing
from workbench.ui.text import Words

T = Words("en")


@pytest.fixture
def alpaca(tmp_path: Path) -> Path:
    rows = [{"instruction": "say it", "input": word, "output": f"it is {word}", "source": "x"} for word in ("good", "bad", "great")]
    file = tmp_path / "alpaca.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return file


@pytest.fixture
def sharegpt(tmp_path: Path) -> Path:
    talk = [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "good day"}]
    file = tmp_path / "talks.json"
    file.write_text(json.dumps([{"id": str(i), "conversations": talk} for i in range(4)]), encoding="utf-8")
    return file


def writing_recipe(tiny: Recipe, file: Path, **changes: object) -> Recipe:
    return data.with_task(tiny.replace({"data.train": str(file), "data.columns": {"text": "input", "label": "source"}}), "generation")


def test_known_layouts_find_their_columns(tiny: Recipe, alpaca: Path, sharegpt: Path) -> None:
    recipe = writing_recipe(tiny, alpaca)
    assert recipe.data.columns == {"instruction": "instruction", "input": "input", "response": "output"}
    assert recipe.prompt.templates == ["{instruction}\n{input} [MASK]"] and recipe.fields == ("instruction", "input")
    recipe = writing_recipe(tiny, sharegpt)
    assert recipe.data.columns == {"messages": "conversations"} and recipe.prompt.templates == ["{message} [MASK]"]
    assert editor.field_pieces(recipe) == "{message}"


def test_a_labelled_file_asks_with_its_label_and_comes_back_as_it_was(tiny: Recipe) -> None:
    recipe = data.with_task(tiny, "generation")
    assert recipe.data.columns == {"label": "label", "response": "text"} and recipe.prompt.templates == ["{label} [MASK]"]
    back = data.with_task(recipe, "classification")
    assert back.data.columns == tiny.data.columns and set(back.prompt.verbalizer["words"]) == {"pos", "neg"}


def test_what_a_person_wrote_to_choose_between_classes_comes_back_with_the_task(tiny: Recipe, alpaca: Path) -> None:
    templates = ["{said} it was [MASK] .", "the [MASK] : {said}"]
    words = [None, {"pos": ["nice"], "neg": ["bad"]}]
    columns = {"said": "text", "label": "label"}
    own = tiny.replace({"prompt.templates": templates, "prompt.template_words": words, "data.columns": columns})
    writing, left = data.with_task_again(own, "generation", None)
    assert writing.prompt.templates == ["{label} [MASK]"]
    assert data.with_task_again(writing, "generation", left) == (writing, left)
    assert data.with_task_again(writing, "classification", left) == (own, left)
    other = data.with_file(writing, str(alpaca))
    back, _ = data.with_task_again(other, "classification", left)
    assert back.prompt.templates == ["{text} [MASK]"] and back.data.train == str(alpaca), "another file has other fields"


def test_the_page_shows_the_rows_that_the_recipe_reads_and_says_so(tiny: Recipe) -> None:
    everything = data.view(tiny, T)
    recipe = data.with_task(tiny, "generation").replace({"data.only": {"label": "pos"}})
    shown = data.view(recipe, T)
    assert dict(shown.facts)[T("data.rows")] == "24" and dict(everything.facts)[T("data.rows")] == "48"
    assert {row[-1] for row in shown.rows} == {"pos"} and shown.notes == [T("data.only_note", wanted="label: pos")]
    assert everything.notes == []
    assert data.with_task(recipe, "classification").data.only == {}
    assert {e.label for e in dataset(tiny.replace({"data.only": {"label": "neg"}})).examples} == {"neg"}


def test_rows_that_the_layout_makes_too_long_are_counted_as_cut(tiny: Recipe, tmp_path: Path) -> None:
    rows = [{"question": "say it", "answer": "a b " * n} for n in (1, 20, 30)]
    file = tmp_path / "long.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    recipe = writing_recipe(tiny, file)
    tokenizer = AutoTokenizer.from_pretrained(save_qwen(tmp_path / "qwen"), trust_remote_code=False)
    encoder = dialogues.ChatEncoder(tokenizer, recipe.prompt, max_length=512)
    lengths = encoder.whole_lengths(conversations(read_table(file), recipe.data.columns))
    bare = [len(tokenizer(f"{row['question']} {row['answer']}", add_special_tokens=False)["input_ids"]) for row in rows]
    # The two longest fit by their own text; with what the layout writes around them the last one does not.
    limit = lengths[2] - 1
    assert bare[2] <= limit and lengths[1] <= limit
    shown = dialogues.data_view(recipe.replace({"prompt.max_length": limit}), T, tokenizer)
    assert dict(shown.facts)[T("data.truncated")] == "1" and sum(shown.lengths) == 3


def test_chosen_columns_become_question_and_answer(alpaca: Path, sharegpt: Path) -> None:
    assert dialogues.named_columns(read_table(alpaca), ["input"], "output") == {"input": "input", "response": "output"}
    assert dialogues.named_columns(read_table(sharegpt), [], "conversations") == {"messages": "conversations"}
    with pytest.raises(DataError, match="question"):
        dialogues.named_columns(read_table(alpaca), [], "output")


def test_a_template_that_still_fits_stays(tiny: Recipe, alpaca: Path) -> None:
    recipe = writing_recipe(tiny, alpaca).replace({"prompt.templates": ["Do: {input} [MASK]"]})
    assert dialogues.with_columns(recipe, {"input": "input", "response": "output"}).prompt.templates == ["Do: {input} [MASK]"]
    changed = dialogues.with_columns(recipe, {"instruction": "instruction", "response": "output"})
    assert changed.prompt.templates == ["{instruction} [MASK]"]


def test_data_counts_answered_rows(tiny: Recipe, alpaca: Path) -> None:
    with alpaca.open("a", encoding="utf-8") as file:
        file.write('\n{"instruction": "say", "input": "", "output": "", "source": "x"}\n')
    shown = data.view(writing_recipe(tiny, alpaca), T)
    assert dict(shown.facts)["Rows"] == "4" and dict(shown.facts)["With an answer"] == "3"
    assert sum(shown.lengths) == 3 and not shown.label_counts


def test_the_preview_colours_what_is_learnt_and_answers(tiny: Recipe, alpaca: Path, tmp_path: Path, service) -> None:
    recipe = writing_recipe(tiny, alpaca).replace({"model.path": str(save_qwen(tmp_path / "qwen")), "prompt.max_new_tokens": 4})
    for layout, special in (("chat", True), ("plain", False)):
        shown = dialogues.views(service, recipe.replace({"prompt.chat": layout}), answers=True)
        assert len(shown) == 3 and all(view.answer is not None for view in shown)
        for view in shown:
            learnt = "".join(text for text, role in view.tokens if role == "answer")
            asked = "".join(text for text, role in view.tokens if role == "text:input").strip()
            assert learnt.strip().startswith(f"it is {asked}"), "the answer, and the token that ends it"
            assert any(text == "<|im_start|>" for text, _ in view.tokens) is special
        html = dialogues.views_html(shown, T)
        assert html.count("<article") == 3 and "pw-role-answer" in html and "<|im" not in html


def test_what_does_not_fit_is_said(tiny: Recipe, alpaca: Path, tmp_path: Path, service) -> None:
    recipe = writing_recipe(tiny, alpaca).replace({"model.path": str(save_qwen(tmp_path / "qwen")), "prompt.max_length": 8})
    assert any(view.cut for view in dialogues.views(service, recipe.replace({"prompt.chat": "plain"})))
    with pytest.raises(ModelError, match="masked"):
        dialogues.views(service, writing_recipe(tiny, alpaca))


def test_the_form_shows_what_the_task_needs(tiny: Recipe, alpaca: Path) -> None:
    recipe = writing_recipe(tiny, alpaca)
    assert writing.fill(recipe)[0]["visible"] and not writing.fill(tiny)[0]["visible"]
    assert writing.fill(recipe)[1:] == ["auto", "", 64]


def test_of_a_long_value_the_rows_show_the_beginning(tmp_path):
    file = tmp_path / "long.csv"
    file.write_text(f"text,label\n{'x' * 3000},{'y' * 200}\n", encoding="utf-8")
    headers, rows = data_view.sampled_rows(read_table(file), T)
    assert headers[1:] == ["text", "label"] and rows[0][0] == "2"
    assert len(rows[0][1]) == data_view.LONGEST_CELL and rows[0][1].endswith("x\u2026") and rows[0][2] == "y" * 200
