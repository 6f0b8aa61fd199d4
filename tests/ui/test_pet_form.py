"""PET's settings go from the form into the recipe and back, and outlive the switch."""

import json

import gradio as gr
import pytest

from tests.ui.served import request_of, sent
from workbench.methods import method_info
from workbench.options import chosen_fields
from workbench.recipe import PetPart, Recipe
from workbench.ui import pet_form
from workbench.ui.text import Words, languages


def unchanged(answer):
    """Whether neither the YAML nor what the browser keeps changes."""
    return answer[2:] == [gr.skip()] * 2


SET = {"generations": 2, "seeds": 5, "unlabeled": 60, "distill": "head", "weighting": "uniform", "temperature": 1.5, "distill_epochs": 1.5,
       "growth": 3, "teachers": 0.5}  # fmt: skip


def test_every_setting_of_pet_stands_in_the_form():
    assert set(pet_form.NAMES) == set(PetPart.model_fields) == set(SET)


@pytest.mark.parametrize("language", sorted(languages()))
def test_every_setting_says_what_it_is_and_what_more_of_it_does(language):
    t = Words(language)
    for field in chosen_fields(PetPart, pet_form.NAMES):
        key = f"pet.any.fields.{field.name}"
        assert t.get(f"{key}.label", "") and t.get(f"{key}.help", ""), field.name
        assert t.get(f"{key}.higher", "") if field.kind in ("int", "float") else all(t.get(f"{key}.choices.{c}", "") for c in field.choices)


def test_switching_pet_off_and_on_again_keeps_what_was_set():
    values = [SET[name] for name in pet_form.NAMES]
    on = Recipe().replace(pet_form.set_pet(Recipe(), True, *values))
    assert on.kind == "pet" and on.pet.model_dump() == SET
    off = on.replace(pet_form.set_pet(on, False, *values))
    assert off == Recipe() and off.replace(pet_form.set_pet(off, True, *values)) == on
    switch, settings, *filled = pet_form.fill(on)
    assert (switch["value"], settings["visible"], filled) == (True, True, values)
    switch, settings, *filled = pet_form.fill(off)
    assert (switch["value"], settings["visible"]) == (False, False) and filled == [gr.skip()] * len(values), "nothing is forgotten"


def test_pet_that_a_task_cannot_have_can_be_switched_off():
    writing = Recipe().replace({"task": "generation", "pet": PetPart().model_dump()})
    assert pet_form.fill(writing)[0]["visible"] and not pet_form.fill(writing.replace({"pet": None}))[0]["visible"]


@pytest.mark.parametrize("language", sorted(languages()))
def test_what_is_no_setting_does_not_hold_the_switch(pages, monkeypatch, language):
    said = []
    monkeypatch.setattr("workbench.ui.frame.gr.Warning", lambda text, **options: said.append(text))
    built = pages(language)
    for name, value in (("seeds", 99), ("temperature", 0), ("unlabeled", None), ("teachers", 2), ("generations", -1)):
        values = [{**SET, name: value}[each] for each in pet_form.NAMES]
        _, _, code, kept = sent(built, "train_pet", None, True, *values)
        assert json.loads(kept)["pet"] == {**SET, name: PetPart().model_dump()[name]} and "pet:" in code
        assert json.loads(sent(built, "train_pet", None, False, *values)[3])["pet"] is None
        assert said == []


@pytest.mark.parametrize("language", sorted(languages()))
def test_a_number_out_of_bounds_is_refused_by_the_recipe_in_the_page_s_language(pages, monkeypatch, language):
    said = []
    monkeypatch.setattr("workbench.ui.frame.gr.Warning", lambda text, **options: said.append(text))
    built = pages(language)
    wrong = {"train_shots": -1, "train_epochs": -2, "train_batch_size": 0, "train_warmup": 1, "prompt_new_tokens": 5000}
    for name, value in wrong.items():
        assert unchanged(sent(built, name, None, value))
        assert len(said) == 1 and str(value) in said[0] and ("\u201c" in said.pop()) == (language == "zh")
    rank = [512 + 1, *(field.default for field in method_info("lora").fields[1:])]
    assert unchanged(sent(built, "method_lora_r", None, *rank)) and "513" in said.pop()
    assert json.loads(sent(built, "train_stop_early", None, "off", 0)[3])["training"]["early_stopping"] is None and not said


def test_every_number_of_the_page_leaves_refusing_to_the_recipe(pages):
    numbers = [block for block in pages("en").blocks.values() if isinstance(block, gr.Number)]
    assert len(numbers) > 40 and any(number.maximum is not None for number in numbers)
    assert all(number.preprocess(value) == value for number in numbers for value in (-(10**9), 10**9))


def test_the_page_sets_them_one_by_one(pages, tiny, monkeypatch):
    said = []
    monkeypatch.setattr("workbench.ui.frame.gr.Warning", lambda text, **options: said.append(text))
    handlers = {fn.api_name: fn.fn for fn in pages("zh").fns.values()}
    draft = handlers["train_pet"](request_of(), tiny.model_dump(), True, *(getattr(PetPart(), name) for name in pet_form.NAMES))[0]
    for name, value in SET.items():
        draft = handlers[f"pet_{name}"](request_of(), draft, value)[0]
    assert draft["pet"] == SET and not said
    handlers["pet_seeds"](request_of(), draft, 21)
    assert len(said) == 1 and "pet.seeds" in said[0] and "21" in said[0]
    assert handlers["pet_seeds"](request_of(), tiny.model_dump(), 4)[0]["pet"] is None, "a setting alone does not switch PET on"
