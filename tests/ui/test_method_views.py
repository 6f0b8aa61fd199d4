"""The method's drawing and what a run learnt: pure functions from values to HTML."""

from __future__ import annotations

import pytest

from workbench.methods import attach, check_method, method_info, method_names
from workbench.models.known import NotHereError
from workbench.recipe import PROJECT, anchor, load_recipe
from workbench.ui.learnt import learnt_html
from workbench.ui.method_drawing import description, drawing
from workbench.ui.tabs import method
from workbench.ui.text import Words, _entries

OPTIONS = {"p_tuning": [{"backbone": "trained"}, {"encoder": "mlp"}], "adapter": [{"kind": "pfeiffer"}, {"kind": "parallel"}]}
OPTIONS |= {"prefix_tuning": [{"reparameterise": False}], "lora": [{"targets": ["all"]}, {"dora": True}]}
CASES = [(name, more) for name in method_names() for more in ({}, *OPTIONS.get(name, []))]


@pytest.mark.parametrize(("name", "more"), CASES, ids=str)
def test_the_formula_gives_the_counted_number_and_trained_parts_are_drawn(name, more, tiny, service):
    shown = method.view(service, tiny.replace({"method": {"name": name, **more}}))
    if shown.formula is not None:
        text, value = shown.formula
        assert value == shown.trainable
        # The formula as a person reads it comes to the same number.
        readable = text.replace("\u00b7", "*").replace("\u00d7", "*").replace("\u00b2", "**2")
        assert evaluate(readable) == value
    for language in ("en", "zh"):
        t = Words(language)
        html = method.view_html(shown, t)
        assert t("method.where") in html and "pw-draw-trained" in drawing(shown.places, shown.layers, t)


def evaluate(text: str) -> int:
    """Sums, products and squares of whole numbers, read by hand."""
    import ast

    def value(node: ast.expr) -> int:
        if isinstance(node, ast.Constant):
            return int(node.value)
        assert isinstance(node, ast.BinOp)
        left, right = value(node.left), value(node.right)
        return {ast.Add: left + right, ast.Mult: left * right}.get(type(node.op), left**2)

    return value(ast.parse(text, mode="eval").body)


def test_frozen_and_trained_parts_differ_by_method():
    t = Words("en")
    assert drawing(frozenset({"prompt"}), 4, t).count("pw-draw-trained") == 2  # the soft tokens and the legend
    assert "4 layers like this" in drawing(frozenset({"head"}), 4, t)
    assert "adapter" in description(frozenset({"adapter_attention", "adapter_feed_forward"}), t)


@pytest.mark.parametrize("name", method_names())
def test_every_option_has_a_sentence_in_both_languages(name):
    for language in ("en", "zh"):
        entries = _entries(language)
        assert entries[f"methods.{name}.title"] and entries[f"methods.{name}.description"]
        for field in method_info(name).fields:
            assert entries[f"methods.{name}.fields.{field.name}.label"] and entries[f"methods.{name}.fields.{field.name}.help"]
            for choice in field.choices if field.name != "activation" else ():
                assert entries[f"methods.{name}.fields.{field.name}.choices.{choice}"]
    assert check_method({"name": name})


def test_what_was_learnt_is_shown_and_escaped():
    t = Words("en")
    words = {"what": "nearest_words", "rows": [{"part": "1", "layer": None, "value": 0.9, "words": [["<b>great", 0.9], ["fine", 0.5]]}]}
    html = learnt_html(words, t)
    assert 'data-csv="learnt"' in html
    assert "&lt;b&gt;great 0.90" in html and "fine 0.50" in html
    shares = {"what": "update_norms", "rows": [{"part": "query", "layer": n, "value": n / 100, "words": []} for n in (1, 2)]}
    html = learnt_html(shares, t)
    assert "Layer 2 \u00b7 query" in html and "2.00%" in html and "width:50.0%" in html
    assert learnt_html({}, t) == ""


GENERATION = ["en-positive-reviews-prefix", "zh-negative-reviews-lora", "zh-positive-reviews-lora"]


@pytest.mark.parametrize("preset", GENERATION)
def test_what_trains_is_drawn_for_recipes_that_write(preset, service):
    recipe = anchor(load_recipe(preset), PROJECT)
    assert recipe.task == "generation"
    shown = method.view(service, recipe)
    loaded = service.pool.get(recipe.model)
    attached = attach(loaded, recipe.method, prompt=recipe.prompt)
    try:  # the run itself counts so
        assert (shown.trainable, shown.total) == (attached.trainable_parameters, attached.total_parameters)
        assert shown.learning_rate == attached.learning_rate and shown.formula == attached.formula()
    finally:
        attached.detach()
    for language in ("en", "zh"):
        html = method.view_html(shown, Words(language))
        assert f"{shown.trainable:,}" in html and Words(language)("method.where") in html


def test_questions_and_answers_need_no_label_column(tmp_path, service):
    (tmp_path / "rows.jsonl").write_text('{"question": "Who?", "response": "I."}\n', encoding="utf-8")
    recipe = anchor(load_recipe(GENERATION[0]), PROJECT).replace({
        "data.train": str(tmp_path / "rows.jsonl"), "data.columns": {"question": "question", "response": "response"},
        "data.only": {}, "prompt.templates": ["{question} [MASK]"],
    })  # fmt: skip
    for name in method_names():
        shown = method.view(service, recipe.replace({"method": {"name": name}}))
        assert shown.trainable > 0 and shown.rows


def test_a_model_that_is_not_here_is_not_downloaded_for_a_look(tiny, service):
    with pytest.raises(NotHereError, match="not on this machine"):
        method.view(service, tiny.replace({"model.path": "owner/never-seen"}))
