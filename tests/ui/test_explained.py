"""Every field says what it is; every number also what more or less of it does and which value is safe; terms have their entries."""

import re
from collections import Counter

import gradio as gr
import pytest

from workbench.options import chosen_fields
from workbench.recipe import Recipe, TrainingPart
from workbench.ui import forms, training_form
from workbench.ui.glossary import TERMS, glossary_html, lead
from workbench.ui.text import Words, languages

FIELDS = (gr.Textbox, gr.Number, gr.Dropdown, gr.Radio, gr.Checkbox, gr.Slider)
# Their label says all there is: a text to ask about, a message to send.
TEXTS = re.compile(r"(try|board|chat)-text-\d")
# What a person has or wants to see: there is none that is safe. The method's own sentence names LoRA.
NO_SAFE_CHOICE = {
    "preset", "model-embedded", "model-catalog-choose", "data-task", "data-file", "data-texts", "data-label", "data-validation",
    "data-unlabeled", "labels-column", "labels-books", "attention", "library", "method-name", "sweep-field-1", "sweep-field-2",
    "sweep-field-3", "queue-runs", "train-log", "try-run", "try-beside", "try-why", "try-hard", "take-kind", "chat-run", "chat-beside",
    "chat-kind", "board-budget", "board-methods", "board-further", "board-chosen", "board-detail-shots", "board-models", "runs-archived",
    "runs-chosen", "comparison-runs", "comparison-figure", "comparison-log",
}  # fmt: skip
T = Words("en")


@pytest.fixture(scope="module", params=sorted(languages()))
def built(request, pages):
    return Words(request.param), pages(request.param)


def fields(blocks):
    found = [c for c in blocks.blocks.values() if isinstance(c, FIELDS) and c.label and c.visible != "hidden"]
    return [c for c in found if not TEXTS.fullmatch(c.elem_id or "")]


def test_every_field_has_its_sentence_and_every_number_its_safe_value(built):
    t, blocks = built
    assert [c.label for c in fields(blocks) if not c.info] == []
    safe = t("forms.safe").split("{")[0]
    # The length of a written answer has its own sentence with a good start in it.
    numbers = [c for c in fields(blocks) if isinstance(c, (gr.Number, gr.Slider)) and c.elem_id != "prompt-new-tokens"]
    assert [c.label for c in numbers if safe not in c.info] == [] and len(numbers) > 25


def test_every_choice_that_trains_otherwise_says_which_is_safe(built):
    t, blocks = built
    safe = t("forms.safe").split("{")[0]
    choices = [c for c in fields(blocks) if isinstance(c, (gr.Dropdown, gr.Radio, gr.Checkbox))]
    assert {c.elem_id or c.label for c in choices if safe not in c.info} == {*NO_SAFE_CHOICE, t("model.source")} and len(choices) > 60
    said = {c.elem_id: c.info for c in choices}
    assert said["train-gradient-checkpointing"].endswith(t("forms.safe", value=t("forms.switched_off")))
    assert said["train-scheduler"].endswith(t("forms.safe", value=t("training.any.fields.scheduler.choices.linear")))
    starts = [c.info for c in choices if c.label == t("methods.soft_prompt.fields.init.label") and len(c.choices) == 4]
    words = t("forms.safe", value=t("methods.soft_prompt.fields.init.choices.vocabulary"))
    assert len(starts) == 2 and all(info.endswith(words) for info in starts), "also where random numbers are the published start"


def test_the_learning_rate_says_what_more_and_less_of_it_does(built):
    t, blocks = built
    (rate,) = (c for c in fields(blocks) if c.elem_id == "train-rate")
    assert t("train.rate_higher") in rate.info and t("forms.safe", value="auto") in rate.info


def test_what_few_people_need_waits_behind_the_switch(built):
    _, blocks = built
    more = {c.elem_id for c in fields(blocks) if "pw-more" in (c.elem_classes or [])}
    assert {"train-batch-size", "train-seed"} <= more and not {"train-shots", "train-epochs", "train-rate"} & more


def at_first(block):
    """Whether a field is seen on an untouched page: no part around it is hidden, folded or behind the switch."""
    while block is not None:
        folded = isinstance(block, gr.Accordion) and not block.open
        if folded or block.visible is not True or "pw-more" in (getattr(block, "elem_classes", None) or []):
            return False
        block = block.parent
    return True


def tab_of(block):
    while block is not None and not isinstance(block, gr.Tab):
        block = block.parent
    return block.id if block is not None else "above"


def test_each_tab_shows_about_five_fields_at_first(built):
    _, blocks = built
    counts = Counter(tab_of(c) for c in blocks.blocks.values() if isinstance(c, FIELDS) and c.label and at_first(c))
    assert max(counts.values()) <= 6 and counts["prompt"] <= 5 and len(counts) == 9, counts


@pytest.mark.parametrize("language", sorted(languages()))
def test_numbers_of_methods_say_what_more_of_them_does(language):
    from workbench.methods import method_info, method_names

    t = Words(language)
    for name in method_names():
        for field in method_info(name).fields:
            assert field.kind not in ("int", "float") or t.get(f"methods.{name}.fields.{field.name}.higher", ""), (name, field.name)
    for field in chosen_fields(TrainingPart, training_form.NAMES):
        key = f"training.any.fields.{field.name}"
        assert t.get(f"{key}.help", "") and (field.kind not in ("int", "float") or t.get(f"{key}.higher", "")), field.name


@pytest.mark.parametrize("language", sorted(languages()))
def test_terms_are_linked_once_and_every_link_has_its_entry(language):
    t = Words(language)
    html = glossary_html(t)
    assert html.count('id="term-') == len(TERMS) and "arXiv:2106.09685" in html
    text = f'{t("glossary.lora.name")} <b> {t("glossary.lora.name")} {t("glossary.template.name")}'
    linked = lead(text, t)
    assert linked.count("#term-lora") == 1 and linked.count("#term-template") == 1 and "<b>" not in linked
    assert set(re.findall('href="#(.*?)"', linked)) <= set(re.findall('id="(.*?)"', html))


def test_settings_behind_the_switch_go_into_the_recipe_and_back():
    recipe = Recipe()
    assert recipe.replace(training_form.set_stop(recipe, "loss", 5)).training.early_stopping.patience == 5
    stopped = recipe.replace(training_form.set_stop(recipe, "macro_f1", None))
    metric, patience = training_form.fill(stopped, T)[-2:]
    assert (metric["value"], patience) == ("macro_f1", 1) and training_form.fill(recipe, T)[-2]["value"] == "off"
    assert stopped.replace(training_form.set_stop(stopped, "off", 3)) == recipe
    assert len(training_form.fill(recipe, T)) == len(training_form.NAMES) + 2


def test_early_stopping_offers_what_the_task_measures_and_follows_it():
    stopped = Recipe().replace({"training.early_stopping": {"metric": "macro_f1", "patience": 2}})
    writes = training_form.stopping_for(stopped, "generation").replace({"task": "generation"})
    assert (writes.training.early_stopping.metric, writes.training.early_stopping.patience) == ("loss", 2)
    offered = {name for _, name in training_form.fill(writes, T)[-2]["choices"]}
    assert offered == {"off", "loss", "perplexity", "bleu", "rouge_l"}
    old = stopped.replace({"task": "generation"})  # as the page wrote it before there was a choice
    assert training_form.fill(old, T)[-2]["value"] == "loss"
    kept = training_form.stopping_for(writes, "classification")
    assert kept.training.early_stopping.metric == "loss" and training_form.stopping_for(Recipe(), "generation") == Recipe()


@pytest.mark.parametrize(
    ("name", "given", "kept"), [("batch_tokens", 2048, 2048), ("batch_tokens", None, None), ("cache_features", "never", "never")]
)
def test_how_rows_are_read_goes_into_the_recipe_and_back(name, given, kept):
    (field,) = chosen_fields(TrainingPart, [name])
    recipe = Recipe().replace({f"training.{name}": forms.given(field, given)})
    assert getattr(recipe.training, name) == kept
    assert training_form.fill(recipe, T)[training_form.NAMES.index(name)] == kept
